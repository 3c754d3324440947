"""Which mail of a mailbox is in scope: the rules, the addresses, what was passed over."""
