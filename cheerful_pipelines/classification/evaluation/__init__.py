"""How well a classifier does on the golden set."""
