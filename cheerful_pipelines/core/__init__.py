"""What every layer may import, and what imports nothing of ours: text, Markdown, short names, threads."""
