"""What everything else may import, and what imports nothing else of ours."""
