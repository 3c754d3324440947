"""The one way to make a sensor: cursor, failed work and run keys are handled here, alike for all.

`@work_sensor(...)` is `@dg.sensor(...)` whose function gets a `Tick`. A sensor that requests work names its kinds
(`mailbox`, `sheet`, ...), finds out what is to be done now, and gives that to `tick.work(...)`, which answers what is
worth a run: nothing that a run covers already, nothing whose next try is not due (retries.py). Requests carry
`tick.tags(...)`, by which the outcome of the run is found again. A test holds that every sensor is made here.

Clocks of their own that sensors keep, since they pace work that has not failed: the portfolio is drawn at most every
ten minutes; `note_in_step` is written once a minute per mailbox; backfills count their own attempts, since a person
sees them.
"""

import functools
import inspect
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

import dagster as dg
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from cheerful_pipelines.core.logs import get_logger, log_fields
from cheerful_pipelines.orchestration.failures import run_failure
from cheerful_pipelines.orchestration.retries import DueWork, FailureClass, Work, WorkFailure, due, is_from_the_future
from cheerful_pipelines.orchestration.run_retries import ended_at, is_being_repeated
from cheerful_pipelines.orchestration.work_failure_store import WorkFailureStore
from cheerful_pipelines.storage.engine import Database

logger = get_logger(__name__)

KIND_TAG = "cheerful/kind"
"""What a run does, by kind of unit; dagster.yaml limits how many of one kind run at once."""
WORK_TAG = "cheerful/work"
"""The units that a run is for, each with its watermark, as JSON."""

BACKGROUND_TAG = "cheerful/background"
BACKGROUND = {
    **dict.fromkeys(("archive", "reconcile"), "mail"),
    **dict.fromkeys(("count", "export", "report", "definitions"), "numbers"),
}
"""Kinds that share few places, so that they never take those of news (dagster.yaml)."""

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]

_MOST_RUNS = 500
_MOST_CLEARED = 200
_OVERLAP = timedelta(minutes=2)
"""Runs are written by other processes: what ended shortly before the last look is looked at once more."""
_WITHOUT_CURSOR = timedelta(hours=6)
_SETTLES = timedelta(seconds=30)
"""What a run has done shows in our tables by then."""

REGISTERED: dict[str, dg.SensorDefinition] = {}
"""Every sensor that was made here, by name."""


Moment = Annotated[AwareDatetime, Field(ge=datetime(2000, 1, 1, tzinfo=UTC))]
"""A time that a cursor may hold: one without a zone, or before our time, comes from damage, and could not be used."""


class Cursor(BaseModel):
    """What a sensor remembers between ticks. Subclasses add fields, each with a default; small, since Dagster keeps
    it with every tick."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    sensor: str = ""
    version: int = 1
    looked_at: Moment | None = None
    """Up to when ended runs were looked at."""
    cleared: dict[str, str] = {}
    """The runs whose failures were cleared, by unit: they are not written down again. The newest few."""


C = TypeVar("C", bound=Cursor)


class Tick(Generic[C]):
    """One evaluation of a sensor."""

    def __init__(self, context: dg.SensorEvaluationContext, cursor: C, *, is_first: bool, kinds: Sequence[str]) -> None:
        self.context, self.cursor, self._kinds = context, cursor, kinds
        self.is_first = is_first  # nothing was remembered, or nothing that could be read
        self.now = now()
        self._looked_at = cursor.looked_at
        self._failures: dict[str, WorkFailure] | None = None
        self.unfinished: list[dg.DagsterRun] = []  # runs of these kinds; known once `work` was asked

    @property
    def instance(self) -> dg.DagsterInstance:
        """Dagster's instance."""
        return self.context.instance

    def keep(self, **fields: Any) -> None:
        """Remember these fields of the cursor for the next tick."""
        self.cursor = self.cursor.model_copy(update=fields)

    def failures(self, database: Database) -> dict[str, WorkFailure]:
        """Failures of these kinds by unit; read once per tick."""
        if self._failures is None:
            self._failures = WorkFailureStore(database).failures(*self._kinds)
        return self._failures

    def work(self, database: Database, wanted: Iterable[Work], *, up_to_date: Collection[str] = ()) -> list[DueWork]:
        """What of `wanted` is worth a run now, in the same order.

        Failures of ended runs are written down first; those of units that are `up_to_date` are cleared. A unit that
        an unfinished run covers waits for its end.
        """
        store, wanted = WorkFailureStore(database), list(wanted)
        failures = self.failures(database)
        if over := [unit for unit in up_to_date if unit in failures]:
            store.clear(over)
            ended = {unit: run_id for unit in over if (run_id := failures.pop(unit).run_id) is not None}
            kept = {unit: run_id for unit, run_id in self.cursor.cleared.items() if unit not in ended}
            self.keep(cleared=dict(list((kept | ended).items())[-_MOST_CLEARED:]))
        if not wanted:
            return []
        self.unfinished = unfinished_runs(self.instance, self._kinds)
        covered = {unit for run in self.unfinished for unit in work_of(run)}
        since = min(self._looked_at or self.now - _WITHOUT_CURSOR, self.now) - _OVERLAP
        newest = _newest_runs(self.instance, self._kinds, since)
        ready, repeated = [], list[datetime]()
        for work in wanted:
            run = newest.get(work.unit)
            if work.unit in covered or (run is not None and run.is_settling(work, self.now)):
                continue
            if run is not None and is_being_repeated(self.instance, run.run, run.ended, self.now):
                repeated.append(run.ended)  # by Dagster's run retries: one machine repeats a run, not two
                continue
            if run is not None and (failure := self._written(store, work, run, failures.get(work.unit))) is not None:
                failures[work.unit] = failure
            ready.append(work)
        self.keep(looked_at=min([self.now, *repeated]))  # a retry that never begins must not be forgotten
        found = due(ready, failures, self.now)
        return [one.after(newest[one.unit].run_id) if one.unit in newest else one for one in found]

    def _written(
        self, store: WorkFailureStore, work: Work, run: "_EndedRun", known: WorkFailure | None
    ) -> WorkFailure | None:
        """The failure of the unit's newest run, written down if no row tells of it yet."""
        if (known is not None and known.run_id == run.run_id) or self.cursor.cleared.get(work.unit) == run.run_id:
            return None
        if known is not None and known.failed_at >= run.ended and not is_from_the_future(known, self.now):
            return None
        outcome = _outcome(self.instance, run, work)
        if outcome is None:
            return None
        return store.record(
            work.unit, outcome.failure_class, at=min(run.ended, self.now), error=outcome.error,
            summary=outcome.summary, what_to_do=outcome.what_to_do, run_id=run.run_id, watermark=run.work[work.unit],
        )  # fmt: skip

    def make_due(self, database: Database, units: Collection[str]) -> None:
        """What these units failed of is repaired: they are asked for in this tick, and their rows are kept."""
        WorkFailureStore(database).make_due(units, at=self.now)
        self._failures = None

    def requests(self, work: Sequence[DueWork], **options: Any) -> list[dg.RunRequest]:
        """One run per unit whose partition is named behind the kind. `options` go to dg.RunRequest."""
        given = options.pop("tags", {})
        return [
            dg.RunRequest(run_key=one.key, partition_key=one.name or None, tags={**given, **self.tags(one)}, **options)
            for one in work
        ]

    def tags(self, *work: DueWork) -> dict[str, str]:
        """For a run over these units: what it is for."""
        return work_tags(self._kinds[0], {one.unit: one.watermark for one in work})


def now() -> datetime:
    """The time, in one place for tests."""
    return datetime.now(UTC)


def work_tags(kind: str, work: Mapping[str, str]) -> dict[str, str]:
    """Tags of a run over units of one kind."""
    background = {BACKGROUND_TAG: BACKGROUND[kind]} if kind in BACKGROUND else {}
    return {KIND_TAG: kind, WORK_TAG: json.dumps(dict(work), separators=(",", ":")), **background}


def unfinished_runs(instance: dg.DagsterInstance, kinds: Sequence[str]) -> list[dg.DagsterRun]:
    """Runs of these kinds that are queued or under way."""
    which = dg.RunsFilter(statuses=UNFINISHED, tags={KIND_TAG: list(kinds)})
    return [record.dagster_run for record in instance.get_run_records(which)]


def unit_of(run: dg.DagsterRun, kind: str, name: str) -> tuple[str, str | None]:
    """(unit, watermark) of one partition of a run: as the run was asked for it, or by the kind of the asset."""
    asked = work_of(run)
    found = next((unit for unit in asked if unit.partition(":")[2] == name), f"{kind}:{name}")
    return found, asked.get(found)


class _EndedRun(NamedTuple):
    run: dg.DagsterRun
    ended: datetime
    work: Mapping[str, str]

    @property
    def run_id(self) -> str:
        return self.run.run_id

    def is_settling(self, work: Work, at: datetime) -> bool:
        """Whether it has just done this very work: our tables show that in a moment."""
        is_done = self.run.status == dg.DagsterRunStatus.SUCCESS and self.work[work.unit] == work.watermark
        return is_done and timedelta(0) <= at - self.ended < _SETTLES


class _Outcome(NamedTuple):
    failure_class: FailureClass
    error: str
    summary: str
    what_to_do: str


def _newest_runs(instance: dg.DagsterInstance, kinds: Sequence[str], since: datetime) -> dict[str, _EndedRun]:
    """The newest ended run of each unit: of a unit one runs at a time, so the order of their making counts, which no
    clock that is set back can turn round."""
    which = dg.RunsFilter(statuses=FINISHED, tags={KIND_TAG: list(kinds)}, updated_after=since)
    found: dict[str, _EndedRun] = {}
    for record in instance.get_run_records(which, limit=_MOST_RUNS):  # newest first
        ended = ended_at(record)
        work = work_of(record.dagster_run)
        for unit in work:
            found.setdefault(unit, _EndedRun(record.dagster_run, ended, work))
    return found


def _outcome(instance: dg.DagsterInstance, run: _EndedRun, work: Work) -> _Outcome | None:
    """How the run failed for the unit; None if it did not."""
    unit = work.unit
    if run.run.status == dg.DagsterRunStatus.SUCCESS:
        if run.work[unit] != work.watermark:
            return None
        told = "The run ended well, and the same work is still to be done."
        return _Outcome("unknown", "NotDone", told, "See the log of the run.")
    failure = run_failure(instance, run.run)
    kind = failure.failure_class
    if failure.failed_units is not None:
        if unit not in failure.failed_units:
            return None
        kind = failure.failed_units[unit]
    return _Outcome(kind, failure.error, failure.summary, failure.what_to_do)


def work_of(run: dg.DagsterRun) -> Mapping[str, str]:
    """The units that a run was asked for, each with its watermark; empty for a run that a person started."""
    try:
        found = json.loads(run.tags.get(WORK_TAG, "{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def read_cursor(text: str | None, model: type[C], sensor: str) -> tuple[C, bool]:
    """(cursor, whether it begins again): what Dagster kept if it is this sensor's and can be read."""
    if text:
        try:
            found = model.model_validate_json(text)
        except ValidationError:
            found = None
        if found is not None and found.sensor == sensor and found.version == model().version:
            return found, False
        logger.warning("sensor_cursor_begins_again", sensor=sensor)
    return model(sensor=sensor), True


def work_sensor(
    *, name: str, kinds: Sequence[str] = (), cursor: type[Cursor] = Cursor, **options: Any
) -> Callable[[Callable[..., Any]], dg.SensorDefinition]:
    """A sensor whose function gets a `Tick` in place of Dagster's context. `options` go to dg.sensor.

    A damaged cursor, or one of another sensor or version, begins again with a warning; it never fails a tick.
    """

    def made(body: Callable[..., Any]) -> dg.SensorDefinition:
        tick_name = next(iter(inspect.signature(body).parameters))

        @functools.wraps(body)  # Dagster reads the resources from the body's own signature
        def evaluate(**given: Any) -> Any:
            context = given.pop(tick_name)
            remembered, is_first = read_cursor(context.cursor, cursor, name)
            tick = Tick(context, remembered, is_first=is_first, kinds=kinds)
            with log_fields(sensor=name):
                found = body(tick, **given)
                if inspect.isgenerator(found):
                    found = list(found)  # the cursor is whole only when the body has ended
            kept = tick.cursor.model_dump_json(exclude_defaults=True)
            if isinstance(found, dg.SensorResult):
                return found._replace(cursor=kept)
            context.update_cursor(kept)
            return found

        sensor = dg.sensor(name=name, default_status=dg.DefaultSensorStatus.RUNNING, **options)(evaluate)
        REGISTERED[name] = sensor
        return sensor

    return made
