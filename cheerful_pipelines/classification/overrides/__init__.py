"""What people decided in the client's sheet."""
