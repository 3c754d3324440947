"""A Gmail, Sheets and Drive on this machine, over real HTTP, for the demo and the tests."""
