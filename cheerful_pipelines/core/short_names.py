"""The short names of clients, campaigns and mailboxes: partition keys, run tags, parts of URLs. Pure.

Dagster refuses some characters in a partition key and joins the dimensions of a multi-partition with `|`; thread keys
are ALIAS/THREAD; addresses must not get into logs. So there is one form for all three.
"""

import re

from cheerful_pipelines.core.errors import ConfigurationError

MAX_LENGTH = 63
"""As DNS labels: run tags of Kubernetes and Docker take as much."""
FORM = (
    f"Use 1 to {MAX_LENGTH} lower-case letters (a-z), digits and single hyphens, without @, with a letter or "
    "digit at both ends, such as spring-2026."
)
_SHORT_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


def is_short_name(text: str) -> bool:
    """Whether the text has the form.

    >>> [is_short_name(text) for text in ("spring-2026", "Spring", "a--b", "a@b", "")]
    [True, False, False, False, False]
    """
    return len(text) <= MAX_LENGTH and _SHORT_NAME.fullmatch(text) is not None


def require_short_name(text: str, *, of: str) -> str:
    """The text itself. Raises ConfigurationError with the form; `of` says what is named: client, campaign, account."""
    if is_short_name(text):
        return text
    # An address may have been typed: error messages end up in logs, which hold none.
    shown = f"{text!r}" if "@" not in text else "An address"
    raise ConfigurationError(f"{shown} cannot be a partition key, which the short name of a {of} is.", what_to_do=FORM)
