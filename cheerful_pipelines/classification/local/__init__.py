"""The embedded classifier: rules, extraction, a small model; needs no key."""
