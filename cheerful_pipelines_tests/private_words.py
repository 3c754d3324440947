"""Whether anything that a run wrote carries what must not leave our tables: keys, tokens, addresses, subjects, bodies.

Looks through log files, captured output and every text in Dagster's database (events, tags, metadata, run config,
partition keys, ticks) for the very values that stand in our own tables and in the installation's keys.
"""

from pathlib import Path

import sqlalchemy as sa

from cheerful_pipelines.storage.engine import Database

_OF_OURS = {
    "address": "select email from campaign_recipient union select email_key from campaign_recipient "
    "union select from_key from gmail_message union select address from gmail_account",
    "subject": "select distinct subject from gmail_message where length(subject) > 8",
    "name": "select name from campaign_recipient where name like '% %'",
    "words of a mail": "select distinct left(btrim(split_part(new_words, chr(10), 1)), 60) from message_reading "
    "where length(btrim(split_part(new_words, chr(10), 1))) > 20",
    "quotation": "select distinct evidence_quote from thread_verdict where length(evidence_quote) > 20",
    "sealed token": "select sealed_credentials from gmail_account where sealed_credentials is not null",
}
_TEXTS = sa.text(
    "select table_name, column_name from information_schema.columns where table_schema = 'public' "
    "and data_type in ('text', 'character varying', 'json', 'jsonb')"
)


def private_words_written(home: Path, database: Database, dagster: Database, secrets: dict[str, str]) -> list[str]:
    """`what in where` of each value that was found; empty where all is well. `secrets`: name to value."""
    needles = {(name, value) for name, value in secrets.items() if len(value) >= 8}
    with database.transaction() as connection:
        for what, query in _OF_OURS.items():
            needles |= {(what, value) for value in connection.execute(sa.text(query)).scalars() if value}
    assert len(needles) > 100, "too little to look for"
    written = _files(home) | _columns(dagster)
    assert len(written) > 20, "too little was written"
    found = []
    for where, text in written.items():
        lowered = text.lower()
        found += [f"{what} in {where}" for what, value in sorted(needles) if value.lower() in lowered]
    return sorted(set(found))


def _files(home: Path) -> dict[str, str]:
    """Logs and captured output by their path."""
    folders = ("logs", "compute_logs", "dagster_home")
    return {
        str(path.relative_to(home)): path.read_text("utf-8", "replace")
        for folder in folders
        for path in (home / folder).rglob("*")
        if path.is_file()
    }


def _columns(dagster: Database) -> dict[str, str]:
    """Every text of Dagster's database by table and column."""
    with dagster.login_transaction() as connection:
        columns = connection.execute(_TEXTS).all()
        return {
            f"{table}.{column}": "\n".join(
                value
                for value in connection.execute(sa.text(f'select cast("{column}" as text) from "{table}"')).scalars()
                if value
            )
            for table, column in columns
        }
