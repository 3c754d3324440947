"""`cheerful threads`: a campaign's conversations, now or as they were known; what changed; the proof by replay.

Prints addresses: it is for the person at the terminal, and nothing of it is logged.
"""

from collections.abc import Hashable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import typer

from cheerful_pipelines.cli.connections import campaign_store, database_of, shown_campaign
from cheerful_pipelines.cli.recipients import moment
from cheerful_pipelines.cli.tables import print_table
from cheerful_pipelines.core.errors import ConfigurationError, NotFoundError
from cheerful_pipelines.core.settings import load_settings
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.threads.changes import changes_between
from cheerful_pipelines.threads.history_store import HistoryStore
from cheerful_pipelines.threads.models import ThreadDocument
from cheerful_pipelines.threads.replay import replay_campaign
from cheerful_pipelines.threads.reply_tree import TreeMessage, reply_tree
from cheerful_pipelines.threads.store import ThreadStore

app = typer.Typer(no_args_is_help=True)

Slug = Annotated[str, typer.Argument(help="The campaign.")]
AsOf = Annotated[str, typer.Option(help="What was known then: 2026-11-01, or 2026-11-01T09:30+01:00.")]


@app.command("list")
def list_threads(slug: Slug, as_of: AsOf = "") -> None:
    """Every thread of the campaign with who has to move, now or as it was known at an instant."""
    campaign, instant = shown_campaign(slug), _instant(as_of)
    aliases = {account.id: account.alias for account in campaign_store().accounts()}
    found = HistoryStore(database_of(slug)).as_of(campaign.id, instant)
    print_table(
        ("thread", "version", "messages", "waits on", "newest of theirs", "known since"),
        [
            (
                f"{aliases[one.gmail_account_id]}/{one.gmail_thread_id}", one.version, len(one.document.messages),
                one.document.waiting_on, one.document.newest_human_id, f"{one.created_at:%Y-%m-%d %H:%M:%S}",
            )
            for one in found
        ],
    )  # fmt: skip
    print(f"{len(found)} threads as of {instant:%Y-%m-%d %H:%M:%S %Z}")


@app.command("show")
def show_thread(
    slug: Slug,
    thread: Annotated[str, typer.Argument(help="ALIAS/THREAD, as `list` prints it: an id alone is not unique.")],
    as_of: AsOf = "",
) -> None:
    """One thread: its mail as a tree of answers, and every version with its cause."""
    instant, key = _instant(as_of), _thread_key(thread)
    history = HistoryStore(database_of(slug))
    found = history.as_of(campaign_store().campaign(slug).id, instant, thread=key)
    if not found:
        raise NotFoundError(
            f"Campaign {slug!r} has no thread {thread} with a state by {instant:%Y-%m-%d %H:%M:%S %Z}.",
            what_to_do=f"See: cheerful threads list {slug}.",
        )
    document = found[0].document
    _print_tree(slug, document)
    print(f"waits on {document.waiting_on}\n")
    versions, before = [], None
    for one in history.versions(key, until=instant):
        versions.append((one.version, f"{one.created_at:%Y-%m-%d %H:%M:%S}", one.reason, one.cause_gmail_message_id,
                         "; ".join(changes_between(before, one.document))))  # fmt: skip
        before = one.document
    print_table(("version", "known since", "why", "message", "what changed"), versions)


@app.command("changes")
def list_changes(
    slug: Slug,
    since: Annotated[str, typer.Option(help="From then on: 2026-11-01, or with a time and zone.")],
    until: Annotated[str, typer.Option(help="Before then; now unless given.")] = "",
) -> None:
    """What changed in the campaign's threads since an instant, and the mail that did it."""
    campaign = shown_campaign(slug)
    found = HistoryStore(database_of(slug)).changes(campaign.id, since=moment(since), until=_instant(until))
    print_table(
        ("when", "thread", "version", "why", "message", "what changed"),
        [
            (
                f"{one.after.created_at:%Y-%m-%d %H:%M:%S}", f"{one.alias}/{one.after.gmail_thread_id}",
                one.after.version, one.after.reason, one.after.cause_gmail_message_id,
                "; ".join(changes_between(one.before, one.after.document)),
            )
            for one in found
        ],
    )  # fmt: skip
    print(f"{len(found)} changes")


@app.command("replay")
def replay(
    slug: Slug,
    sample: Annotated[int | None, typer.Option(help="So many threads at random; all unless given.", min=1)] = None,
) -> None:
    """Rebuild every state from raw mail and compare byte for byte. Writes nothing; fails where a state differs."""
    blobs = BlobStore.from_url(load_settings().effective_blob_url())
    seed = int(datetime.now(UTC).timestamp())
    report = replay_campaign(ThreadStore(database_of(slug)), blobs, slug, sample=sample, seed=seed)
    print(f"{report.threads} threads, {report.states} states: {report.equal} threads equal byte for byte")
    if report.made_by_other_code:
        print(f"{report.made_by_other_code} threads have states of an older code version and were not compared")
    for name in report.differences:
        print(f"differs: {name}")
    for name in report.unreadable:
        print(f"cannot be read: {name}")
    if report.differences:
        raise typer.Exit(1)


def _instant(text: str) -> datetime:
    return moment(text) if text else datetime.now(UTC)


def _thread_key(text: str) -> tuple[UUID, str]:
    alias, slash, thread_id = text.partition("/")
    if not slash or not thread_id:
        raise ConfigurationError(
            f"{text!r} names no thread.", what_to_do="Write ALIAS/THREAD: a thread id is unique per account only."
        )
    return campaign_store().account(alias).id, thread_id


def _print_tree(slug: str, document: ThreadDocument) -> None:
    stored = ThreadStore(database_of(slug)).messages([(document.gmail_account_id, document.gmail_thread_id)])
    links = {one.gmail_message_id: one.parsed for one in stored}
    shown = {one.gmail_message_id: one for one in document.messages}
    parents = reply_tree(
        TreeMessage(
            name, one.rfc822_message_id, links[name].in_reply_to, links[name].reference_ids, one.at
        )
        for name, one in shown.items()
    )  # fmt: skip
    rows = [
        (f"{'  ' * depth}{name}", f"{shown[name].at:%Y-%m-%d %H:%M}", shown[name].direction, shown[name].kind,
         shown[name].from_key)
        for name, depth in _by_depth(list(shown), parents)
    ]  # fmt: skip
    print_table(("message", "at", "whose", "kind", "from"), rows)


def _by_depth(names: Sequence[str], parents: Mapping[Hashable, Hashable | None]) -> list[tuple[str, int]]:
    """Names in the order of a tree, each below what it answers."""
    children: dict[Hashable | None, list[str]] = {}
    for name in names:
        children.setdefault(parents[name], []).append(name)
    ordered: list[tuple[str, int]] = []
    waiting = [(name, 0) for name in reversed(children.get(None, []))]
    while waiting:
        name, depth = waiting.pop()
        ordered.append((name, depth))
        waiting.extend((child, depth + 1) for child in reversed(children.get(name, [])))
    return ordered
