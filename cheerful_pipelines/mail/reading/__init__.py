"""What one mail says: its kind, whose words it holds, what a delivery report tells."""
