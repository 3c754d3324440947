"""Who was erased and must not come back: keyed hashes of addresses, which tell nobody whose they are.

Asked wherever a person could come in again: by an import of a sheet, and by a mail. Erasing itself is in `people`.
"""

import hashlib
import hmac
import re
from uuid import UUID

import sqlalchemy as sa

from cheerful_pipelines.core.addresses import address_key
from cheerful_pipelines.core.errors import ConfigurationError
from cheerful_pipelines.storage.schema.people import person_request

_ADDRESS = re.compile(r"[A-Za-z0-9._%+'=~-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}")
_WIDE_ADDRESS = re.compile(r"[^\s<>\"',;:()\[\]]{1,64}@[^\s<>\"',;:()\[\]]{1,253}")


def address_hash(address: str, *, key_hex: str) -> str:
    """HMAC-SHA256 of the address's key: equal for every way in which a person writes the same address."""
    return hmac.new(bytes.fromhex(key_hex), address_key(address).encode(), hashlib.sha256).hexdigest()


def addresses_in(text: str) -> set[str]:
    """Keys of everything in a text that looks like an address."""
    found = {*_ADDRESS.findall(text), *_WIDE_ADDRESS.findall(text)}
    return {key for one in found for key in (address_key(one), address_key(one.rstrip(".!?'")))}


class ErasedPeople:
    """One client's erased people. Empty costs nothing: no text is looked through."""

    def __init__(self, hashes: frozenset[str], key_hex: str | None) -> None:
        if hashes and key_hex is None:
            raise ConfigurationError(
                "People of this client were erased, and CHEERFUL_ADDRESS_HASH_KEY is not set: they could come back.",
                what_to_do="Set it to the key of that time: 32 hexadecimal characters.",
            )
        self.hashes = hashes
        self._key_hex = key_hex or ""

    def has(self, address: str) -> bool:
        """Whether this person was erased."""
        return bool(self.hashes) and address_hash(address, key_hex=self._key_hex) in self.hashes

    def is_named_in(self, *texts: str | None) -> bool:
        """Whether any of these texts names an erased person's address."""
        return bool(self.hashes) and any(self.has(key) for text in texts if text for key in addresses_in(text))


def erased_people(connection: sa.Connection, user_id: UUID, *, key_hex: str | None) -> ErasedPeople:
    """Of this client. Raises ConfigurationError where somebody was erased and the key is not known."""
    hashes = connection.execute(
        sa.select(person_request.c.address_hash).where(
            person_request.c.user_id == user_id, person_request.c.kind == "erase"
        )
    ).scalars()
    return ErasedPeople(frozenset(hashes), key_hex)
