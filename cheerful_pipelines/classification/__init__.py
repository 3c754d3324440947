"""WHAT IT MEANT: a conversation becomes a verdict."""
