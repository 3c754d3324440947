"""Pytest fixtures for the local Google server."""
