"""`generate_world`: one seed and one day give one world, byte for byte. Pure: no clock, no I/O.

The world spans 52 days that end the day before `today`: six weeks loaded at once, ten days to play.
Every story has a `Random` of its own, seeded by name, so that a change in one leaves the others as they are.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from random import Random

from cheerful_pipelines.campaigns.models import CampaignStatus, CampaignType
from cheerful_pipelines.demo.bystanders import bystander_mail
from cheerful_pipelines.demo.fates import Fate, deal_fates, working_hour
from cheerful_pipelines.demo.models import (
    DemoAccount,
    DemoCampaign,
    DemoClient,
    DemoDelivery,
    DemoSheet,
    DemoWorld,
    MailFact,
    Person,
    RowFact,
    SheetEdit,
)
from cheerful_pipelines.demo.people import people
from cheerful_pipelines.demo.sheets import build_sheet, edits
from cheerful_pipelines.demo.story import Story

LOADED_DAYS = 42
TOTAL_DAYS = 52
CLIENTS = (DemoClient("lumen-skin", "Lumen Skin"), DemoClient("harbor-pine", "Harbor & Pine Agency"))
ACCOUNTS = (
    DemoAccount("lumen-skin", "lumen-mia", "mia@lumen-skin.example", "Mia Duarte"),
    DemoAccount("lumen-skin", "lumen-theo", "theo@lumen-skin.example", "Theo Brandt"),
    DemoAccount("harbor-pine", "harbor-nora", "nora@harborpine.example", "Nora Lindqvist"),
    DemoAccount("harbor-pine", "harbor-jonas", "jonas@harborpine.example", "Jonas Okafor"),
)
# slug, name, client's number, type, status, first day, days of first mails, creators, brand, product
_PLANS: tuple[tuple[str, str, int, CampaignType, CampaignStatus, int, int, int, str, str], ...] = (
    ("glow-serum", "Glow Serum gifting", 0, "GIFTING", "ACTIVE", 2, 38, 96, "Lumen Skin", "Dew Glow Serum"),
    ("ridge-runner", "Ridge Runner", 1, "PAID_PROMOTION", "ACTIVE", 5, 37, 90, "Trailmark", "Ridge shoe"),
    ("lip-balm", "Lip balm try-out", 0, "GIFTING", "COMPLETED", 0, 12, 60, "Lumen Skin", "Velvet Lip Balm"),
)  # fmt: skip


def first_day(today: date) -> datetime:
    """Midnight UTC of the world's first day."""
    return datetime.combine(today, time(), tzinfo=UTC) - timedelta(days=TOTAL_DAYS)


def campaigns_of(today: date) -> tuple[DemoCampaign, ...]:
    """The three campaigns as of a world that ends the day before `today`."""
    begins = first_day(today)
    return tuple(
        DemoCampaign(
            client_slug=CLIENTS[client].slug, slug=slug, name=name, campaign_type=kind, status=status,
            starts_at=begins + timedelta(days=start),
            ends_at=begins + timedelta(days=40) if status == "COMPLETED" else None,
            time_zone=("America/New_York", "Europe/Berlin")[client],
            senders=tuple(account for account in ACCOUNTS if account.client_slug == CLIENTS[client].slug),
            spreadsheet_id=f"demo-sheet-{slug}", sheet_tab="Creators" if slug == "lip-balm" else None,
            metrics_spreadsheet_id=f"demo-metrics-{slug}", brand=brand, product=product,
        )
        for slug, name, client, kind, status, start, _, _, brand, product in _PLANS
    )  # fmt: skip


def generate_world(seed: int, today: date) -> DemoWorld:
    """A world in which nothing has a date on or after `today`."""
    begins = first_day(today)
    ends = begins + timedelta(days=TOTAL_DAYS)
    made = [_campaign_world(seed, number, campaign, begins) for number, campaign in enumerate(campaigns_of(today))]
    stories = [story for parts in made for story in parts.stories]
    deliveries = [item for story in stories for item in story.deliveries]
    deliveries += _bystanders(seed, begins, [parts.persons for parts in made])
    facts = sorted((fact for story in stories for fact in story.facts), key=_when)
    return DemoWorld(
        seed=seed,
        today=today,
        loaded_until=begins + timedelta(days=LOADED_DAYS),
        clients=CLIENTS,
        accounts=ACCOUNTS,
        campaigns=campaigns_of(today),
        sheets=tuple(parts.sheet for parts in made),
        deliveries=tuple(sorted((item for item in deliveries if item.at < ends), key=_when)),
        edits=tuple(sorted((edit for parts in made for edit in parts.edits), key=lambda edit: edit.at)),
        facts=tuple(fact for fact in facts if fact.at < ends),
        rows=tuple(row for parts in made for row in parts.rows),
    )


class _Parts:
    """What one campaign adds to the world."""

    def __init__(
        self,
        persons: list[Person],
        stories: list[Story],
        sheet: DemoSheet,
        found: list[SheetEdit],
        rows: list[RowFact],
    ) -> None:
        self.persons = persons
        self.stories = stories
        self.sheet = sheet
        self.edits = found
        self.rows = rows


def _campaign_world(seed: int, number: int, campaign: DemoCampaign, begins: datetime) -> _Parts:
    _, _, _, _, status, start, span, count, _, _ = _PLANS[number]
    random = Random(f"{seed}/{campaign.slug}")
    is_active = status == "ACTIVE"
    everybody = _persons(seed, number, count + (3 if is_active else 1))
    persons, later = everybody[:count], everybody[count:]
    sheet, rows, mended_row = build_sheet(random, campaign, number, persons, to_mend=later[-1])
    fates = deal_fates(random, campaign, len(everybody))
    stories: list[Story] = []
    for position, person in enumerate(persons):
        day = begins + timedelta(days=start + span * position / count)
        stories.append(_story(seed, campaign, person, fates[position], position, day))
    if not is_active:
        return _Parts(persons, stories, sheet, [], rows)
    live = begins + timedelta(days=LOADED_DAYS, hours=9)
    times = [live + timedelta(days=1 + 2 * offset, minutes=17 * offset) for offset in range(len(later))]
    found, rows = edits(
        random, campaign, number, sheet, rows, added=list(zip(later[:-1], times[:-1], strict=True)),
        mended_row=mended_row, mended=(later[-1], times[-1]),
    )  # fmt: skip
    for offset, (person, at) in enumerate(zip(later, times, strict=True)):
        position = count + offset
        stories.append(_story(seed, campaign, person, fates[position], position, at + timedelta(days=1)))
    return _Parts(everybody, stories, sheet, found, rows)


def _persons(seed: int, number: int, count: int) -> list[Person]:
    """Nobody is in two campaigns of one client; two creators are in a campaign of either client."""
    taken: set[str] = set()
    if number == 2:
        taken = {person.key for person in _persons(seed, 0, _PLANS[0][7] + 3)}
    found = people(Random(f"{seed}/people/{number}"), count, taken=taken)
    if number == 1:
        shared = [
            person for person in _persons(seed, 0, _PLANS[0][7] + 3)[:20] if person.key not in {p.key for p in found}
        ]
        found[3], found[11] = shared[4], shared[9]
    return found


def _story(seed: int, campaign: DemoCampaign, person: Person, fate: Fate, position: int, day: datetime) -> Story:
    random = Random(f"{seed}/{campaign.slug}/{person.key}")
    sender = campaign.senders[position % len(campaign.senders)]
    story = Story(random, campaign, person, sender, begins=working_hour(random, day))
    fate(story)
    return story


def _bystanders(seed: int, begins: datetime, persons: Sequence[Sequence[Person]]) -> list[DemoDelivery]:
    found: list[DemoDelivery] = []
    for position, account in enumerate(ACCOUNTS):
        others = [other for other in ACCOUNTS if other.client_slug == account.client_slug and other != account]
        drafts = [persons[position // 2][-4 - position]]
        random = Random(f"{seed}/bystanders/{account.alias}")
        found += bystander_mail(random, account, others, begins=begins, days=TOTAL_DAYS, drafts_to=drafts)
    return found


def _when(item: DemoDelivery | MailFact) -> datetime:
    return item.at
