"""WHO ANSWERED WHOM: stored mail becomes conversations with a replayable history."""
