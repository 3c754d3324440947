"""From facts to outcomes to numbers, and what is behind each."""
