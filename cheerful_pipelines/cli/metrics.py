"""`cheerful metrics`: a campaign's numbers now or in the past, who is behind them, and what changed them.

Prints ids and counts, never an address or a word of a mail.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, get_args

import typer

from cheerful_pipelines.campaigns.models import Campaign
from cheerful_pipelines.cli.connections import database_of, shown_campaign
from cheerful_pipelines.cli.recipients import moment
from cheerful_pipelines.cli.tables import print_table
from cheerful_pipelines.core.errors import ConfigurationError, NotFoundError
from cheerful_pipelines.metrics.counting.compute import Part, compute_metrics, rows_of_outcomes
from cheerful_pipelines.metrics.counting.curves import whole_hour
from cheerful_pipelines.metrics.counting.definitions import BY_KEY
from cheerful_pipelines.metrics.counting.fact_store import FactStore
from cheerful_pipelines.metrics.counting.outcome_store import OutcomeStore
from cheerful_pipelines.metrics.counting.outcomes import Outcome
from cheerful_pipelines.metrics.counting.past import happened_by
from cheerful_pipelines.metrics.counting.receipts import Receipt, changes_between, explain
from cheerful_pipelines.metrics.models import Grain, MetricRow
from cheerful_pipelines.metrics.report.tables import cohort_table, in_words, margin, vendor_rows
from cheerful_pipelines.metrics.store import MetricStore

app = typer.Typer(no_args_is_help=True)

Slug = Annotated[str, typer.Argument(help="The campaign.")]
AsOf = Annotated[str, typer.Option(help="As it was known then: 2026-11-01, or 2026-11-01T09:30+01:00.")]
By = Annotated[str, typer.Option(help="campaign, day, sender, step or cohort.")]
Key = Annotated[str, typer.Option(help="One part: a day, a mailbox's alias, a step's number, a week such as 2026-W45.")]


@app.command("show")
def show(
    slug: Slug,
    by: By = "campaign",
    as_of: AsOf = "",
    until: Annotated[str, typer.Option(help="What had happened by then, as known today.")] = "",
) -> None:
    """The numbers: now, as they were known at a moment, or counted up to a moment."""
    if as_of and until:
        raise ConfigurationError(
            "--as-of and --until ask two different questions.",
            what_to_do="--as-of: the numbers of a report of that day. --until: what had happened by then.",
        )
    campaign, grain = shown_campaign(slug), _grain(by)
    if until:
        rows: Sequence[MetricRow] = compute_metrics(
            happened_by(FactStore(database_of(slug)).facts(slug), moment(until))
        )
    elif as_of:
        known_at = moment(as_of)
        rows = rows_of_outcomes(_outcomes(campaign, as_of), campaign.time_zone, known_at)
    else:
        rows = MetricStore(database_of(slug)).rows(slug=slug)
    shown = [row for row in rows if row.grain == grain]
    print_table(
        ("part", "metric", "value", "made of", "95 %", ""),
        [
            (
                row.grain_key or "all", row.metric, in_words(row),
                "" if row.numerator is None else f"{row.numerator:.0f} / {row.denominator or 0:.0f}",
                margin(row), "too early to tell" if row.is_early else "",
            )
            for row in shown
        ],
    )  # fmt: skip
    print("no numbers yet" if not shown else f"definitions {shown[0].definition_version}")


@app.command("explain")
def explain_metric(
    slug: Slug,
    metric: Annotated[str, typer.Argument(help="Such as reply_rate; `cheerful metrics definitions` lists them.")],
    by: By = "campaign",
    key: Key = "",
    as_of: AsOf = "",
) -> None:
    """Who is behind a number: the recipients and threads that were counted, with the mail that made it so."""
    campaign = shown_campaign(slug)
    part: Part = (_grain(by), key)
    if (part[0] == "campaign") != (key == ""):
        raise ConfigurationError(
            "One part is explained at a time.", what_to_do="For example: --by sender --key mia, or neither of the two."
        )
    found = explain(_outcomes(campaign, as_of), metric, part, campaign.time_zone)
    print(f"{found.definition.title}: {found.definition.words}\ncounted: {found.definition.formula}\n")
    _print_receipts(found.counted)
    total = sum(item.adds for item in found.counted)
    if found.of is None:
        print(f"{total} in all, {len(found.counted)} recipients")
        return
    whole = sum(item.adds for item in found.of)
    behind = {item.recipient_id for item in found.counted}
    print(f"{total} of {whole}" + (f" = {total / whole:.1%}" if whole else ""))
    rest = [item for item in found.of if item.recipient_id not in behind]
    if rest:
        print(f"\nin the whole of {whole}, and not among the {total}:")
        _print_receipts(rest)


@app.command("changes")
def changes(
    slug: Slug, since: Annotated[str, typer.Option(help="A report's moment: 2026-11-16, or 2026-11-16T09:00+01:00.")]
) -> None:
    """What changed since a report, and the mail that did it. Late mail restates the past, and is marked."""
    campaign, instant = shown_campaign(slug), moment(since)
    store = OutcomeStore(database_of(slug))
    _require_counted(store, campaign, instant)
    found = [
        change
        for before, after in store.changed_since(campaign.id, instant)
        for change in changes_between(before, after)
    ]
    print_table(
        ("recipient", "metric", "", "thread", "mail", "happened", ""),
        [
            (
                item.recipient_id, item.metric, "counts now" if item.counts_now else "no longer",
                item.thread_key or "a person's word", item.message_id, f"{item.happened_at:%Y-%m-%d %H:%M}",
                "before the report: the past is restated" if item.happened_at <= instant else "",
            )
            for item in sorted(found, key=lambda item: (item.happened_at, item.recipient_id, item.metric))
        ],
    )  # fmt: skip
    late = sum(item.happened_at <= instant for item in found)
    print(f"{len(found)} changes since {instant:%Y-%m-%d %H:%M %Z}, {late} of them by mail from before")


@app.command("compare")
def compare(slug: Slug) -> None:
    """The same campaign under other vendors' definitions, beside ours."""
    rows = MetricStore(database_of(slug)).rows(slug=slug, grains=["campaign"])
    shown_campaign(slug)
    print_table(
        ("whose", "rate", "value", "made of", "in words", "source"),
        [(one.whose, one.title, one.value, one.made_of, one.words, one.source) for one in vendor_rows(rows)],
    )


@app.command("cohorts")
def cohorts(slug: Slug) -> None:
    """By week of the first mail: the share that had answered after so many days. Days in the future are blank."""
    campaign = shown_campaign(slug)
    timings = OutcomeStore(database_of(slug)).timings(campaign.id)
    header, rows = cohort_table(timings, whole_hour(datetime.now(UTC)))
    print_table(header, rows)


@app.command("definitions")
def definitions(
    metric: Annotated[str, typer.Argument(help="One of them; all without it.")] = "",
) -> None:
    """What each number means, in words and as a formula."""
    if metric and metric not in BY_KEY:
        raise ConfigurationError(f"There is no metric {metric!r}.", what_to_do=f"One of: {', '.join(sorted(BY_KEY))}.")
    for item in [BY_KEY[metric]] if metric else BY_KEY.values():
        adds_up = "" if item.is_additive else " Parts do not add up."
        print(f"{item.key} ({item.unit}): {item.words}{adds_up}\n    {item.formula}\n    by {', '.join(item.grains)}")


def _outcomes(campaign: Campaign, as_of: str) -> list[Outcome]:
    store = OutcomeStore(database_of(campaign.slug))
    instant = moment(as_of) if as_of else None
    _require_counted(store, campaign, instant or datetime.now(UTC))
    return store.outcomes(campaign.id, as_of=instant)


def _require_counted(store: OutcomeStore, campaign: Campaign, instant: datetime) -> None:
    first = store.first_count(campaign.id)
    if first is None or instant < first:
        since = "was never counted" if first is None else f"was first counted at {first:%Y-%m-%d %H:%M:%S %Z}"
        raise NotFoundError(
            f"Campaign {campaign.slug!r} {since}: nothing was known at {instant:%Y-%m-%d %H:%M:%S %Z}.",
            what_to_do="Ask with --until what had happened by then, as known today.",
        )


def _grain(text: str) -> Grain:
    for grain in get_args(Grain):
        if grain == text:
            return grain  # type: ignore[no-any-return]
    raise ConfigurationError(f"There are no numbers by {text!r}.", what_to_do=f"One of: {', '.join(get_args(Grain))}.")


def _print_receipts(found: Sequence[Receipt]) -> None:
    print_table(
        ("recipient", "adds", "thread", "mail", "when", "all threads"),
        [
            (
                item.recipient_id, item.adds, item.event and item.event.thread_key,
                item.event and item.event.message_id, item.event and f"{item.event.at:%Y-%m-%d %H:%M}",
                " ".join(item.threads),
            )
            for item in found
        ],
    )  # fmt: skip
