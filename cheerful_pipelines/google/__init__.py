"""What Gmail, Sheets and Drive have in common: limits on the time of a call."""
