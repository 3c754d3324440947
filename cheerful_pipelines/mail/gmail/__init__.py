"""WHAT WAS SAID: Gmail's history becomes stored mail."""
