"""What each Gmail call costs in quota units: Google's two published price lists. No I/O."""

from typing import Literal

Operation = Literal["getProfile", "history.list", "messages.list", "messages.get"]

PRICES_SINCE_MAY_2026: dict[Operation, int] = {
    "getProfile": 1, "history.list": 2, "messages.list": 5, "messages.get": 20,
}  # fmt: skip
"""Projects created on or after 1 May 2026: 6,000 units a minute and mailbox."""

PRICES_BEFORE: dict[Operation, int] = {
    "getProfile": 1, "history.list": 2, "messages.list": 5, "messages.get": 5,
}  # fmt: skip
"""Older projects: usually 15,000 units a minute and mailbox."""
