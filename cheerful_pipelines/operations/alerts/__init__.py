"""What is worth telling a person, told once."""
