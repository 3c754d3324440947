"""The golden set: conversations with the label each must get, written for this project, and the lock that splits it."""
