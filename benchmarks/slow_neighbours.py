"""What slow mailboxes and sheets cost everybody else.

`python benchmarks/slow_neighbours.py --minutes 10` starts a system of its own with `--mailboxes` mailboxes and a few
sheets; one mailbox hangs, one drips a byte a second, one sheet hangs. Mail keeps arriving in all others, and sheets
keep changing: it says how long each took to be stored or imported. The bar is 30 seconds.

`python benchmarks/slow_neighbours.py --polls` asks 120 mailboxes of 0.4 seconds a call by the sensor's own rules, 100
ticks on a virtual clock, and says how many were never asked. The bar is none.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import sqlalchemy as sa

from benchmarks.system import System, until
from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.mail.gmail.sensors import MAILBOXES_A_TICK, POLL_SECONDS_A_TICK, POLLS_AT_ONCE
from cheerful_pipelines.orchestration.side_by_side import whom_to_poll
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines_tests.builders import a_message

PATIENCE_SECONDS = 180.0
BAR_SECONDS = 30.0
CALL_SECONDS = 0.4


def never_asked(mailboxes: int, ticks: int, *, hang: int = 0) -> tuple[int, float]:
    """(mailboxes that were never asked, seconds of the longest tick) on a virtual clock: no call is made."""
    names = [f"m{number:03d}" for number in range(mailboxes)]
    slow, asked = set(names[:hang]), set[str]()
    go_on_at, not_reached, longest = "", list[str](), 0.0
    for _ in range(ticks):
        turn = whom_to_poll(names, go_on_at=go_on_at, not_reached=not_reached, slow=slow, most=MAILBOXES_A_TICK)
        free_at, reached = [0.0] * POLLS_AT_ONCE, list[str]()
        for name in turn.names:
            worker = min(range(POLLS_AT_ONCE), key=free_at.__getitem__)
            if free_at[worker] >= POLL_SECONDS_A_TICK:
                break
            free_at[worker] += 5.0 if name in slow else CALL_SECONDS
            reached.append(name)
        asked |= set(reached)
        longest = max(longest, min(max(free_at), POLL_SECONDS_A_TICK))
        go_on_at, not_reached = turn.go_on_at, turn.names[len(reached) :]
    return mailboxes - len(asked), longest


class Neighbours(System):
    """A system with mailboxes and sheets of its own."""

    def register(self, mailboxes: int, sheets: int) -> None:
        """Everything known, nothing read yet."""
        self.database = Database(self.environment["CHEERFUL_DATABASE_URL"]).for_every_client()
        store, key = CampaignStore(self.database), self.environment["CHEERFUL_CREDENTIALS_KEY"]
        self.aliases = [f"m{number:03d}" for number in range(mailboxes)]
        self.slugs = [f"s{number:02d}" for number in range(sheets)]
        store.add_client(slug="brand", name="Brand")
        for alias in self.aliases:
            self.google.add_mailbox(self.address(alias))
            store.add_account(
                client_slug="brand", alias=alias, address=self.address(alias), scope="all", credentials_key=key,
                credentials_json=self.google.credentials_json(self.address(alias)),
            )  # fmt: skip
        for slug in self.slugs:
            self.write(slug, 1)
            store.add_campaign(
                client_slug="brand", slug=slug, name=slug, campaign_type="GIFTING", status="ACTIVE",
                starts_at=datetime.now(UTC) - timedelta(days=2), spreadsheet_id=slug, sender_aliases=self.aliases,
            )  # fmt: skip

    def timeline(self) -> None:
        """What the runs of the last minutes did: asked for, started and ended, in seconds before now."""
        query = (
            "select pipeline_name, status, "
            "extract(epoch from now() at time zone 'utc' - create_timestamp)::int as asked, "
            "(extract(epoch from now()) - start_time)::int as began, "
            "(extract(epoch from now()) - end_time)::int as over, "
            "(select string_agg(value, ' ') from run_tags t where t.run_id = runs.run_id and key in "
            "('cheerful/sync', 'cheerful/work', 'cheerful/kind')) as what from runs order by id desc limit 60"
        )
        with self.dagsters.connect() as connection:
            for row in reversed(connection.execute(sa.text(query)).all()):
                print(
                    f"{row.pipeline_name} {row.status} asked {row.asked} began {row.began} over {row.over} {row.what}"
                )

    @staticmethod
    def address(alias: str) -> str:
        """Of a mailbox."""
        return f"{alias}@brand.example"

    def write(self, slug: str, people: int) -> None:
        """A sheet with so many people."""
        rows = [["Name", "Email"], *([f"P{n}", f"p{n}@creator.example"] for n in range(people))]
        self.google.put_sheet(slug, title=slug, tabs={"Creators": rows})

    def deliver(self, alias: str, number: int) -> None:
        """A message of a listed person."""
        raw = a_message().sender("p0@creator.example").to(self.address(alias))
        self.google.deliver(self.address(alias), raw.message_id(f"<{alias}-{number}@creator.example>").bytes())

    def stored(self, alias: str) -> int:
        """Messages of a mailbox in our database."""
        query = (
            "select count(*) from gmail_message m join gmail_account a on a.id = m.gmail_account_id where alias = :a"
        )
        with self.database.transaction() as connection:
            return int(connection.execute(sa.text(query), {"a": alias}).scalar_one())

    def people(self, slug: str) -> int:
        """Recipients of a campaign in our database."""
        query = "select count(*) from campaign_recipient r join campaign c on c.id = r.campaign_id where slug = :s"
        with self.database.transaction() as connection:
            return int(connection.execute(sa.text(query), {"s": slug}).scalar_one())


def took(is_done: Callable[[], bool]) -> float:
    """Seconds until it was done; infinity if it was not within the patience."""
    began = time.monotonic()
    while time.monotonic() < began + PATIENCE_SECONDS:
        if is_done():
            return time.monotonic() - began
        time.sleep(0.2)
    return float("inf")


def drill(found: Neighbours, minutes: float, mailboxes: int, sheets: int) -> int:
    """The exit code: 0 if nobody else waited longer than the bar."""
    found.start(demo=False)
    found.register(mailboxes, sheets)
    for alias in found.aliases:
        found.deliver(alias, 0)
    listed = until(lambda: all(found.stored(alias) >= 1 for alias in found.aliases), 900, "first listings")
    until(lambda: all(found.people(slug) >= 1 for slug in found.slugs), 900, "first imports")
    print(f"{mailboxes} mailboxes were listed after {listed:.0f} s, {sheets} sheets are imported", flush=True)
    hanging, dripping, closed = found.aliases[0], found.aliases[1], found.slugs[0]
    lasting = minutes * 60 + 2 * PATIENCE_SECONDS
    found.google.inject_fault(
        path_contains="", status=200, kind="hang", mailbox=found.address(hanging), lasting_seconds=lasting
    )
    found.google.inject_fault(
        path_contains="", status=200, kind="drip", mailbox=found.address(dripping), lasting_seconds=lasting
    )
    found.google.inject_fault(path_contains=closed, status=200, kind="hang", lasting_seconds=lasting)
    mail, imports = list[float](), list[float]()
    ends_at, number = time.monotonic() + minutes * 60, 0
    while time.monotonic() < ends_at:
        number += 1
        alias, slug = found.aliases[2 + number % (mailboxes - 2)], found.slugs[1 + number % (sheets - 1)]
        messages, people = found.stored(alias), found.people(slug) + 1
        for one in (hanging, dripping, alias):
            found.deliver(one, number)
        found.write(slug, people)
        mail.append(took(lambda alias=alias, messages=messages: found.stored(alias) > messages))
        imports.append(mail[-1] + took(lambda slug=slug, people=people: found.people(slug) >= people))
        print(f"mail {mail[-1]:.1f} s, sheet {imports[-1]:.1f} s", flush=True)
    found.timeline()
    print(
        f"\nslowest mail of another mailbox {max(mail):.1f} s of {len(mail)}, slowest import of another sheet "
        f"{max(imports):.1f} s; bar {BAR_SECONDS:.0f} s"
    )
    return 0 if max(*mail, *imports) < BAR_SECONDS else 1


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--polls", action="store_true", help="the figure of 120 mailboxes, on a virtual clock")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--mailboxes", type=int, default=12)
    parser.add_argument("--sheets", type=int, default=4)
    given = parser.parse_args()
    if given.polls:
        worst = 0
        for hang in (0, 3, POLLS_AT_ONCE, 40):
            missed, longest = never_asked(120, 100, hang=hang)
            print(f"120 mailboxes at {CALL_SECONDS} s, {hang} of them hang: {missed} never asked in 100 ticks; "
                  f"polls of a tick took {longest:.1f} s at most")  # fmt: skip
            worst = max(worst, missed)
        return 1 if worst else 0
    with tempfile.TemporaryDirectory(prefix="cheerful-slow-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        found = Neighbours(Path(folder) / "home")
        try:
            return drill(found, given.minutes, given.mailboxes, given.sheets)
        finally:
            found.tidy()


if __name__ == "__main__":
    raise SystemExit(main())
