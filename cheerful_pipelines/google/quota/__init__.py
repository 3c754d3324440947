"""WHAT GMAIL LETS US ASK: prices in quota units, what is spent of a minute, and who has to wait."""
