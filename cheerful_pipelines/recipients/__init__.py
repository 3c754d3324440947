"""WHO WE WROTE TO: from a client's sheet to stored recipients, and why a row was not taken."""
