"""A campaign brought up to date in one step: estimate, parts, progress."""
