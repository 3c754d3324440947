"""Raw mail, content-addressed: the key is the SHA-256 of the bytes, the value the bytes compressed with zstd.

A folder by default, any S3-compatible bucket by URL (through obstore). Nothing here knows what a mail is.
"""

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse
from urllib.request import url2pathname

import obstore
import zstandard
from obstore.exceptions import BaseError
from obstore.store import LocalStore, MemoryStore, ObjectStore, from_url

from cheerful_pipelines.errors import ConfigurationError, NotFoundError, PermanentError, TransientError
from cheerful_pipelines.storage.passing_errors import as_passing_error

if TYPE_CHECKING:
    from obstore.store import RetryConfig  # of its stubs only

_RETRY: "RetryConfig" = {"max_retries": 3, "retry_timeout": timedelta(seconds=20)}
"""Of one call to a bucket. obstore's default of three minutes would hold a mailbox for longer than its time."""
_COMPRESSION_LEVEL = 3  # measured: level 9 saves 2 % more bytes for five times the CPU


def sha256_hex(content: bytes) -> str:
    """Key of a blob."""
    return hashlib.sha256(content).hexdigest()


@contextlib.contextmanager
def _passing_errors() -> Iterator[None]:
    """A bucket or disk that is away or full raises TransientError, in words; other errors stay as they are."""
    try:
        yield
    except Exception as error:
        if (passing := as_passing_error(error)) is not None:
            raise passing from error
        raise


class BlobStore:
    """Put bytes, get the same bytes by their hash. Putting twice is harmless."""

    def __init__(self, store: ObjectStore, *, folder: Path | None = None) -> None:
        self._store = store
        self._folder = folder
        self._of_thread = threading.local()

    @classmethod
    def from_url(cls, url: str) -> "BlobStore":
        """`file:///folder`, `memory:///`, or what obstore takes: `s3://bucket/prefix`, credentials by AWS_*."""
        parsed = urlparse(url)
        if parsed.scheme == "file":
            folder = Path(url2pathname(parsed.path))
            folder.mkdir(parents=True, exist_ok=True)
            return cls(LocalStore(folder), folder=folder)
        if parsed.scheme == "memory":
            return cls(MemoryStore())
        try:
            return cls(from_url(url, retry_config=_RETRY))
        except (ValueError, BaseError):  # its words repeat the URL, which may hold a key
            raise ConfigurationError(
                "CHEERFUL_BLOB_URL cannot be read.", what_to_do="Write file:///folder or s3://bucket/prefix."
            ) from None

    def put(self, content: bytes) -> str:
        """Store and return the SHA-256. An existing blob is left alone. Raises TransientError if the store fails."""
        key = sha256_hex(content)
        with _passing_errors(), contextlib.suppress(obstore.exceptions.AlreadyExistsError):
            obstore.put(self._store, self._path(key), self._compressed(content), mode="create")
        return key

    def _compressed(self, content: bytes) -> bytes:
        """One compressor a thread: two threads in one compressor write each other's bytes."""
        if not hasattr(self._of_thread, "compressor"):
            self._of_thread.compressor = zstandard.ZstdCompressor(level=_COMPRESSION_LEVEL)
        compressed: bytes = self._of_thread.compressor.compress(content)
        return compressed

    def get(self, key: str) -> bytes:
        """The exact bytes, checked against their hash.

        Raises NotFoundError, PermanentError for a damaged blob, TransientError if the store fails.
        """
        try:
            with _passing_errors():
                compressed = bytes(obstore.get(self._store, self._path(key)).bytes())
        except (FileNotFoundError, obstore.exceptions.NotFoundError):
            if self._folder is not None and not (self._folder / "raw").is_dir():
                raise TransientError(
                    "The folder of the blob store is not there, or empty.",
                    what_to_do="Check the disk or mount behind CHEERFUL_BLOB_URL; what waits is done by itself then.",
                ) from None
            raise NotFoundError(
                f"Raw mail {key} is not in the blob store.",
                what_to_do="Check CHEERFUL_BLOB_URL; rematerialize gmail_archive for the month to fetch it again.",
            ) from None
        try:
            content = zstandard.ZstdDecompressor().decompress(compressed)
        except zstandard.ZstdError:
            content = b""
        if sha256_hex(content) != key:
            raise PermanentError(
                f"Raw mail {key} is damaged in the blob store.",
                what_to_do=f"Restore {self._path(key)} from a backup, or delete it and the message's row, and "
                "rematerialize gmail_archive for the month to fetch it again.",
            )
        return content

    def delete(self, key: str) -> None:
        """Remove for good. One that is not there is no trouble."""
        with _passing_errors(), contextlib.suppress(FileNotFoundError, obstore.exceptions.NotFoundError):
            obstore.delete(self._store, self._path(key))

    @staticmethod
    def _path(key: str) -> str:
        return f"raw/{key[:2]}/{key}.zst"
