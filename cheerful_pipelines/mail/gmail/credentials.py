"""What a mailbox's credentials must hold, told before anything is asked of Google. No I/O.

Both kinds of JSON that Google hands out: an authorized user's (OAuth) and a service account's.
"""

import json
from typing import Any
from urllib.parse import urlsplit

from cheerful_pipelines.core.errors import AuthError

FIELDS = {
    "authorized_user": ("refresh_token", "client_id", "client_secret"),
    "service_account": ("client_email", "private_key", "token_uri"),
}
"""What google-auth needs of each kind of file."""


def credentials_info(credentials_json: str) -> dict[str, Any]:
    """The parsed credentials of one mailbox. Raises AuthError if they cannot be used: only this mailbox is affected.

    A file without `type` counts as an authorized user's, as older ones have none.
    """
    try:
        info = json.loads(credentials_json)
    except (ValueError, RecursionError):
        raise damaged("not JSON") from None
    if not isinstance(info, dict):
        raise damaged("not a JSON object")
    kind = "service_account" if info.get("type") == "service_account" else "authorized_user"
    wrong = missing_fields(info, FIELDS[kind])
    if wrong:
        raise damaged(f"no usable {', '.join(wrong)}")
    if info.get("token_uri") is not None and not _is_address(info["token_uri"]):
        raise damaged("token_uri is not an address")
    return info


def missing_fields(info: dict[str, Any], wanted: tuple[str, ...]) -> list[str]:
    """Of the wanted fields, those that hold no text that can be sent."""
    return [field for field in wanted if not _is_text(info.get(field))]


def damaged(what: str) -> AuthError:
    """The error of one mailbox whose stored credentials are of no use; never shows their content."""
    return AuthError(
        f"The stored credentials of this mailbox are damaged ({what}).",
        what_to_do="Connect the account again: cheerful accounts add.",
    )


def _is_text(value: object) -> bool:
    if not isinstance(value, str) or not value:
        return False
    return not any("\ud800" <= character <= "\udfff" for character in value)  # half a character cannot be sent


def _is_address(value: object) -> bool:
    try:
        found = urlsplit(value) if isinstance(value, str) else None
        return found is not None and found.scheme in ("http", "https") and bool(found.hostname)
    except ValueError:
        return False
