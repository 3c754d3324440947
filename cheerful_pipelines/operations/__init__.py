"""Running it: backfills of a campaign, how everything is, and who is told when it is not."""
