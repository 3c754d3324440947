"""Numbers into the client's sheet."""
