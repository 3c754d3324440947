"""Credentials at rest: AES-256-GCM with a versioned prefix and a key id. Plaintext is refused on reading.

Format: ``v1:<key id>:<base64url of nonce and ciphertext>``. The key id is the first 8 hexadecimal characters of
SHA-256 of the key, so that a rotated key is recognised without trying.
"""

import base64
import hashlib
import os
import re
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cheerful_pipelines.core.errors import AuthError, ConfigurationError

_PREFIX = "v1"
_KEY_ID = re.compile("[0-9a-f]{8}")
_RECONNECT = "Connect the account again: cheerful accounts add."


def key_id(key_hex: str) -> str:
    """Short, public name of a key."""
    return hashlib.sha256(bytes.fromhex(key_hex)).hexdigest()[:8]


def seal(plaintext: str, *, key_hex: str) -> str:
    """Encrypt. `key_hex` is 64 hexadecimal characters (settings validates that)."""
    nonce = os.urandom(12)
    cipher = AESGCM(bytes.fromhex(key_hex)).encrypt(nonce, plaintext.encode(), _PREFIX.encode())
    return f"{_PREFIX}:{key_id(key_hex)}:{base64.urlsafe_b64encode(nonce + cipher).decode()}"


def unseal(sealed: str, *, keys: Sequence[str]) -> str:
    """Decrypt by the key that sealed it.

    Raises AuthError for damage or plaintext, which is this one secret's fault, and ConfigurationError for a key that
    this process does not have. Never shows the content. Several keys are there while one is being replaced.
    """
    parts = sealed.split(":", 2)
    if len(parts) != 3 or parts[0] != _PREFIX or not _KEY_ID.fullmatch(parts[1]):
        raise AuthError("Stored credentials are not sealed.", what_to_do=_RECONNECT)
    key_hex = next((key for key in keys if key_id(key) == parts[1]), None)
    if key_hex is None:
        raise ConfigurationError(
            f"Stored credentials were sealed with key {parts[1]}, this process has {', '.join(map(key_id, keys))}.",
            what_to_do="Set CHEERFUL_CREDENTIALS_KEY to the key they were sealed with, or name that one as "
            "CHEERFUL_CREDENTIALS_KEY_PREVIOUS and run cheerful accounts rotate-key. If that key is lost, connect the "
            "account again: cheerful accounts add.",
        )
    try:
        blob = base64.urlsafe_b64decode(parts[2])
        return AESGCM(bytes.fromhex(key_hex)).decrypt(blob[:12], blob[12:], _PREFIX.encode()).decode()
    except (InvalidTag, ValueError):  # ValueError: not base64, too short for a nonce, not UTF-8
        raise AuthError("Stored credentials are damaged.", what_to_do=_RECONNECT) from None


def was_sealed_with(key_hex: str) -> str:
    """How everything begins that this key has sealed."""
    return f"{_PREFIX}:{key_id(key_hex)}:"
