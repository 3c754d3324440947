"""The labels and what follows from one."""
