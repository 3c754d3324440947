"""Where alerts go: to the log, and by apprise to what CHEERFUL_ALERT_URLS names (Slack, e-mail, webhooks, …).

Each address is a sink with a state of its own (alert_store.py): it is told once of each change, whatever becomes of the
others. One that takes nothing is a row of `work_failure`, which the others are told of, and is tried again less and
less often.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import get_args

from cheerful_pipelines.core.errors import ConfigurationError, TransientError
from cheerful_pipelines.core.logs import get_logger
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.google.deadlines import Limit, finish_within
from cheerful_pipelines.operations.alerts.alert_store import Alert, AlertStore
from cheerful_pipelines.operations.models import Severity
from cheerful_pipelines.orchestration.failures import failure_class_of, told
from cheerful_pipelines.orchestration.retries import WorkFailure, may_be_tried
from cheerful_pipelines.orchestration.side_by_side import SideBySide
from cheerful_pipelines.orchestration.work_failure_store import WorkFailureStore
from cheerful_pipelines.storage.engine import Database

logger = get_logger(__name__)

SEVERITIES = get_args(Severity)
"""Worst first."""

LOG = "log"
"""The sink that is always there."""

SINK_SECONDS = 20.0
"""One message to one sink, by the wall clock: the tick of a sensor ends after 60 s."""
FIRST_WAIT, LONGEST_WAIT = timedelta(minutes=1), timedelta(minutes=30)
"""Before a sink that took nothing is tried again; the wait doubles each time."""

_SINKS = SideBySide(at_once=8, seconds=SINK_SECONDS + 5)


@dataclass(frozen=True)
class Sink:
    """One address of CHEERFUL_ALERT_URLS, which holds secrets: the database and the log know the digest alone."""

    number: int
    url: str = field(repr=False)

    @property
    def name(self) -> str:
        """The same as long as the address is."""
        return hashlib.sha256(self.url.encode()).hexdigest()[:16]

    @property
    def unit(self) -> str:
        """The unit of work that telling it is (orchestration/retries.py)."""
        return f"alert_sink:{self.name}"


def sinks_of(settings: Settings) -> list[Sink]:
    """In the order of the setting, each address once."""
    text = settings.alert_urls.get_secret_value() if settings.alert_urls is not None else ""
    urls = dict.fromkeys(url.strip() for url in text.split(",") if url.strip())
    return [Sink(number, url) for number, url in enumerate(urls, start=1)]


def notify(settings: Settings, database: Database, failures: Mapping[str, WorkFailure], now: datetime) -> list[str]:
    """Tell the log and each sink what has changed for it. Returns what happened, in words; raises for no sink.

    `failures`: those of sinks, by unit.
    """
    store, failed = AlertStore(database), WorkFailureStore(database)
    sinks = {sink.name: sink for sink in sinks_of(settings)}
    store.forget_sinks_but([LOG, *sinks])
    words = _log(store)
    waiting = [name for name, sink in sinks.items() if (one := failures.get(sink.unit)) and not may_be_tried(one, now)]
    changes = {name: found for name in sinks if name not in waiting and (found := store.changes_for(name))}
    # The rest is configured no longer, or has nothing left that it could fail to take: what it missed is resolved, or
    # came through after its time was up.
    failed.clear(failures.keys() - {sinks[name].unit for name in (*waiting, *changes)})
    answers = _SINKS.ask(changes, lambda name: _tell(sinks[name], changes[name], store, settings.web_url))
    for name in (*answers.late, *answers.hanging):
        answers.answered[name] = TransientError("The sink has not answered in time.")
    for name, answer in answers.answered.items():
        sink = sinks[name]
        if isinstance(answer, BaseException):
            words.append(f"sink {sink.number} failed")
            _note_failure(failed, sink, answer, failures.get(sink.unit), now)
        elif sink.unit in failures:
            failed.clear([sink.unit])
    return words + [f"sink {sinks[name].number} waits for its next try" for name in waiting]


def _log(store: AlertStore) -> list[str]:
    changes = store.changes_for(LOG)
    for one in changes:
        state = "resolved" if one.resolved_at else "opened"
        logger.warning("alert", alert=one.key, kind=one.kind, severity=one.severity, state=state, run=one.run_id)
    store.note_notified(LOG, changes)
    return [f"{len(changes)} changes notified"] if changes else []


def _tell(sink: Sink, changes: Sequence[Alert], store: AlertStore, web_url: str) -> None:
    """One message with everything that changed. Raises SlowCallError, TransientError or ConfigurationError."""
    import apprise  # a third of a second, and only for those who use it; not within the limit of the first message

    def tell() -> None:
        one = apprise.Apprise()
        if not one.add(sink.url):
            raise ConfigurationError(
                f"The address number {sink.number} of CHEERFUL_ALERT_URLS is none that apprise can read.",
                what_to_do="See apprise's list of address forms.",
            )
        if not one.notify(title=title(changes), body=body(changes, web_url)):
            raise TransientError(
                f"The address number {sink.number} of CHEERFUL_ALERT_URLS does not take alerts.",
                what_to_do="See whether the service behind it works and knows the key in the address.",
            )
        store.note_notified(sink.name, changes)  # here, so that an answer after the limit counts as well

    finish_within(Limit(SINK_SECONDS), tell, name=f"The message to address number {sink.number} of CHEERFUL_ALERT_URLS")


def _note_failure(
    store: WorkFailureStore, sink: Sink, error: BaseException, before: WorkFailure | None, now: datetime
) -> None:
    """A row of its own, which `status`, the health report and the other sinks show."""
    logger.warning("alert_sink_failed", sink=sink.name, number=sink.number, error=type(error).__name__)
    summary, what_to_do = told(error)
    wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(before.attempts if before is not None else 0, 10))
    store.record(
        sink.unit, failure_class_of(error), at=now, error=type(error).__name__, summary=summary,
        what_to_do=what_to_do, not_before=now + wait,
    )  # fmt: skip


def title(alerts: Sequence[Alert]) -> str:
    """`Cheerful: 2 new alerts, 1 resolved`."""
    new = sum(one.resolved_at is None for one in alerts)
    resolved = len(alerts) - new
    parts = [f"{new} new alert{'s' if new > 1 else ''}"] if new else []
    return "Cheerful: " + ", ".join(parts + ([f"{resolved} resolved"] if resolved else []))


def body(alerts: Sequence[Alert], web_url: str) -> str:
    """Each with severity, what, since when, what to do and where to look; the worst first. Ids only."""
    lines = []
    for one in sorted(alerts, key=lambda alert: (alert.resolved_at is not None, SEVERITIES.index(alert.severity))):
        since = f"since {one.since or one.opened_at:%Y-%m-%d %H:%M} UTC"
        if one.resolved_at is None:
            lines += [f"NEW {one.severity}: {one.words} ({since})", f"    {one.what_to_do}"]
            lines += [f"    {link}"] if (link := link_of(one, web_url)) else []
        else:
            lines.append(f"RESOLVED {one.words} ({since})")
    return "\n".join([*lines, "", web_url])


def link_of(alert: Alert, web_url: str) -> str | None:
    """Where Dagster shows it."""
    return f"{web_url.rstrip('/')}/runs/{alert.run_id}" if alert.run_id else None
