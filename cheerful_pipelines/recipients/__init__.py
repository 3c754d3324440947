"""WHO WE WROTE TO: a Google Sheet becomes stored recipients."""
