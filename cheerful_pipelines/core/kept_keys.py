"""The keys of an installation: made once, kept in CHEERFUL_HOME/keys.env, readable by its owner only.

A key that is lost cannot be replaced: what it sealed (OAuth tokens) cannot be opened again, and people who were erased
are no longer recognised. So nothing here ever overwrites one. The key of sessions is not among them: a new one only
ends sign-ins.
"""

import contextlib
import fcntl
import os
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

FILE = "keys.env"
_BYTES: Mapping[str, int] = {
    "CHEERFUL_CREDENTIALS_KEY": 32,
    "CHEERFUL_ADDRESS_HASH_KEY": 16,
}


def kept_keys(home: Path) -> dict[str, str]:
    """The keys in `home`/keys.env; those that are missing are made and added. Twice, or at the same time, equals once.

    Raises OSError where the folder cannot be written.
    """
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = home / FILE
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    with _only_one(home):
        known = _read(path)
        missing = {name: secrets.token_hex(size) for name, size in _BYTES.items() if name not in known}
        if missing:
            _replace(path, known | missing)
    return known | missing


def _read(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="utf-8").split()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def _replace(path: Path, keys: Mapping[str, str]) -> None:
    """Whole or not at all: a crash in between leaves the file as it was."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f"{FILE}.")  # mode 0600
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.writelines(f"{key}={value}\n" for key, value in keys.items())
        file.flush()
        os.fsync(file.fileno())
    Path(name).replace(path)


@contextlib.contextmanager
def _only_one(home: Path) -> Iterator[None]:
    with (home / f"{FILE}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
