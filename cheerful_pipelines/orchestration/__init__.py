"""How runs are asked for: the one retry table, failed work per unit, and the helper of every sensor."""
