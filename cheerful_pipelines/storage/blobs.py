"""Raw mail, content-addressed: the key is the SHA-256 of the bytes, the value the bytes compressed with zstd.

A folder by default, any S3-compatible bucket by URL (through obstore). Nothing here knows what a mail is.
"""

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlparse
from urllib.request import url2pathname

import obstore
import zstandard
from obstore.exceptions import BaseError
from obstore.store import LocalStore, MemoryStore, ObjectStore, from_url

from cheerful_pipelines.core.errors import ConfigurationError, NotFoundError, PermanentError, TransientError
from cheerful_pipelines.storage.passing_errors import as_passing_error

if TYPE_CHECKING:
    from obstore.store import RetryConfig  # of its stubs only

_RETRY: "RetryConfig" = {"max_retries": 3, "retry_timeout": timedelta(seconds=20)}
"""Of one call to a bucket. obstore's default of three minutes would hold a mailbox for longer than its time."""
_RAW, _SET_ASIDE = "raw", "set-aside"
_LARGEST_CONTENT = 2**30  # Gmail's mails end far below
_COMPRESSION_LEVEL = 3  # measured: level 9 saves 2 % more bytes for five times the CPU


def sha256_hex(content: bytes) -> str:
    """Key of a blob."""
    return hashlib.sha256(content).hexdigest()


_CHECK_FOLDER = "Check the disk or mount behind CHEERFUL_BLOB_URL; what waits is done by itself then."


@contextlib.contextmanager
def _passing_errors() -> Iterator[None]:
    """A bucket or disk that is away or full raises TransientError, in words; other errors stay as they are."""
    try:
        yield
    except Exception as error:
        if (passing := as_passing_error(error)) is not None:
            raise passing from error
        raise


def _decompressed(compressed: bytes) -> bytes:
    """The content; nothing if it is damaged. A damaged header may ask for more memory than there is."""
    try:
        if zstandard.frame_content_size(compressed) > _LARGEST_CONTENT:
            return b""
        return zstandard.ZstdDecompressor().decompress(compressed)
    except zstandard.ZstdError:
        return b""


class StoredBlob(NamedTuple):
    """One blob as the store lists it."""

    key: str
    modified: datetime
    is_set_aside: bool


class BlobStore:
    """Put bytes, get the same bytes by their hash. Putting twice is harmless."""

    def __init__(self, store: ObjectStore, *, folder: Path | None = None) -> None:
        self._store = store
        self._folder = folder
        self._of_thread = threading.local()

    @classmethod
    def from_url(cls, url: str) -> "BlobStore":
        """`file:///folder`, `memory:///`, or what obstore takes: `s3://bucket/prefix`, credentials by AWS_*.

        Raises ConfigurationError for a URL that cannot be read, TransientError for a folder that cannot be used now.
        """
        parsed = urlparse(url)
        if parsed.scheme == "file":
            folder = Path(url2pathname(parsed.path))
            try:
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            except OSError as error:  # a mount that is away, a disk that is full, a file in its place
                raise TransientError(
                    f"The folder of the blob store cannot be used ({type(error).__name__}).", what_to_do=_CHECK_FOLDER
                ) from error
            with _passing_errors():
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
        compressed = self._read(self._path(key)) or self._read(self._path(key, _SET_ASIDE))
        if compressed is None:
            if self._folder is not None and not (self._folder / "raw").is_dir():
                raise TransientError("The folder of the blob store is not there, or empty.", what_to_do=_CHECK_FOLDER)
            raise NotFoundError(
                f"Raw mail {key} is not in the blob store.",
                what_to_do="Check CHEERFUL_BLOB_URL; rematerialize gmail_archive for the month to fetch it again.",
            )
        content = _decompressed(compressed)
        if sha256_hex(content) != key:
            raise PermanentError(
                f"Raw mail {key} is damaged in the blob store.",
                what_to_do=f"Restore {self._path(key)} from a backup, or delete it and the message's row, and "
                "rematerialize gmail_archive for the month to fetch it again.",
            )
        return content

    def delete(self, key: str) -> None:
        """Remove for good, also what was set aside. One that is not there is no error."""
        self._remove(self._path(key))
        self._remove(self._path(key, _SET_ASIDE))

    # --- blobs that no row names (operations/sweep.py) ---

    def stored(self) -> Iterator[StoredBlob]:
        """Every blob, those that were set aside too. Raises TransientError if the store fails."""
        for folder in (_RAW, _SET_ASIDE):
            with _passing_errors():
                for batch in obstore.list(self._store, prefix=folder):
                    for found in batch:
                        name = found["path"].rpartition("/")[2]
                        if name.endswith(".zst"):
                            yield StoredBlob(name.removesuffix(".zst"), found["last_modified"], folder == _SET_ASIDE)

    def set_aside(self, key: str) -> None:
        """Out of the way of `put`, which then stores the same bytes again; `get` still finds it. Twice is harmless."""
        self._move(self._path(key), self._path(key, _SET_ASIDE))

    def take_back(self, key: str) -> None:
        """Undo `set_aside`."""
        self._move(self._path(key, _SET_ASIDE), self._path(key))

    def delete_set_aside(self, key: str) -> None:
        """Remove what was set aside for good; the same bytes that were stored since stay."""
        self._remove(self._path(key, _SET_ASIDE))

    def _move(self, source: str, to: str) -> None:
        """Written first, removed after: a crash in between leaves two, never none. The copy's time is now."""
        content = self._read(source)
        if content is not None:
            with _passing_errors():
                obstore.put(self._store, to, content)
            self._remove(source)

    def _read(self, path: str) -> bytes | None:
        try:
            with _passing_errors():
                return bytes(obstore.get(self._store, path).bytes())
        except (FileNotFoundError, obstore.exceptions.NotFoundError):
            return None

    def _remove(self, path: str) -> None:
        with _passing_errors(), contextlib.suppress(FileNotFoundError, obstore.exceptions.NotFoundError):
            obstore.delete(self._store, path)

    @staticmethod
    def _path(key: str, folder: str = _RAW) -> str:
        return f"{folder}/{key[:2]}/{key}.zst"
