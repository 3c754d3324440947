"""What running the pipeline is told in, as frozen values. No I/O, no rule."""

from datetime import date, datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from cheerful_pipelines.orchestration.retries import FailureClass, WorkFailure

Stage = Literal["sheet", "archive", "campaign"]
STAGES: tuple[Stage, ...] = ("sheet", "archive", "campaign")
"""The sheet says whose mail is wanted, the archive brings it, the campaign's assets make it into numbers."""
PartState = Literal["waiting", "requested", "done", "failed", "cancelled"]
Severity = Literal["critical", "error", "warning"]
"""critical: everything waits. error: this waits until a person acts. warning: it is tried again by itself."""
BackfillState = Literal["running", "done", "failed", "cancelled"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class BackfillPlan(_Frozen):
    """What a campaign's backfill goes through. Months by their first days; parts in the order of the work."""

    campaign_id: UUID
    slug: str
    since: date
    until: date
    stages: tuple[Stage, ...]
    accounts: tuple[str, ...]
    parts: tuple[tuple[Stage, str], ...]
    """(stage, partition key of what the stage materializes)."""


class BackfillEstimate(_Frozen):
    """What a backfill would take. Dollars None: the model's price is not known."""

    partitions: int
    messages: int
    quota_units: int
    minutes: float
    llm_calls: int
    llm_cache_hits: int
    llm_usd: float | None
    skipped_accounts: tuple[str, ...] = ()
    """Mailboxes that cannot be asked now: to be reconnected, or paused."""


class BackfillPart(_Frozen):
    """One partition of a backfill."""

    number: int
    stage: Stage
    partition_key: str
    state: PartState
    attempt: int
    requested_at: datetime | None
    run_id: str | None


class Backfill(_Frozen):
    """One backfill with its parts."""

    id: UUID
    slug: str
    since: date
    until: date
    state: BackfillState
    estimate: BackfillEstimate | None
    requested_by: str
    created_at: datetime
    finished_at: datetime | None
    parts: tuple[BackfillPart, ...]

    def count(self, state: PartState) -> int:
        """How many parts are in that state."""
        return sum(part.state == state for part in self.parts)


class AccountHealth(_Frozen):
    """How one mailbox is. `lag_seconds`: since it was last known to be in step with Gmail."""

    alias: str
    status: str
    lag_seconds: float | None
    complete_from: date | None
    dead_letters: int
    is_throttled: bool


class CampaignHealth(_Frozen):
    """How one campaign is. `news`: changes that are stored and not counted yet."""

    slug: str
    status: str
    imported_at: datetime | None
    counted_at: datetime | None
    exported_at: datetime | None
    wants_export: bool
    news: int
    oldest_news_seconds: float | None
    row_problems: int


class FailedWork(_Frozen):
    """Work whose newest run failed: what, on which partition, since when."""

    what: str
    partition: str | None
    failed_at: datetime
    run_id: str
    words: str
    what_to_do: str = ""
    failure_class: FailureClass = "unknown"


class FailingTicks(_Frozen):
    """A sensor or schedule whose newest tick failed."""

    name: str
    kind: Literal["sensor", "schedule"]
    since: datetime
    """The first failure after the last good tick."""
    count: int
    """Failures since then, at most a hundred."""
    error: str
    """Class name."""
    words: str
    """What it said, if it is an error of ours."""


class SilentDaemon(_Frozen):
    """A daemon of Dagster's that no longer beats, or that beats and reports an error."""

    name: str
    last_beat_at: datetime
    error: str | None


class HealthReport(_Frozen):
    """Everything on one page."""

    at: datetime
    environment: str
    mode: str
    accounts: tuple[AccountHealth, ...]
    campaigns: tuple[CampaignHealth, ...]
    failed: tuple[FailedWork, ...]
    failing_checks: tuple[str, ...]
    failing_units: tuple[WorkFailure, ...] = ()
    """Mailboxes, sheets, campaigns and the like whose newest attempt failed, without what is gone or completed."""
    failing_ticks: tuple[FailingTicks, ...] = ()
    silent_daemons: tuple[SilentDaemon, ...] = ()
    spent_today_usd: float
    budget_day_usd: float
    gmail_units_last_minute: int
    sheets_calls_last_minute: int
    open_batches: int
    open_backfills: int
    database_bytes: int
    connections: int
    versions: dict[str, str]


class Trouble(_Frozen):
    """One thing that is wrong. `key` is the same as long as it is the same thing."""

    key: str
    kind: Literal[
        "failed_run", "failing_unit", "failing_check", "failing_ticks", "daemon", "lag", "reauthorisation", "budget",
        "dead_letters", "backlog",
    ]  # fmt: skip
    words: str
    what_to_do: str
    severity: Severity = "error"
    since: datetime | None = None
    run_id: str | None = None
    """The run that shows it."""
