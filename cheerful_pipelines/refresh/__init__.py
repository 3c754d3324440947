"""The campaign chain from stored mail to numbers: declared once, run for one campaign or for many."""
