"""A seeded generator of invented campaigns that knows the truth, and a player that lets them go on living."""
