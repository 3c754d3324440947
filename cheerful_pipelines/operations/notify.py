"""Where alerts go: to the log, and by apprise to what CHEERFUL_ALERT_URLS names (Slack, e-mail, webhooks, …)."""

from collections.abc import Sequence
from typing import get_args

from cheerful_pipelines.errors import TransientError
from cheerful_pipelines.logs import get_logger
from cheerful_pipelines.operations.alert_store import Alert
from cheerful_pipelines.operations.models import Severity
from cheerful_pipelines.settings import Settings

logger = get_logger(__name__)

SEVERITIES = get_args(Severity)
"""Worst first."""


def say(settings: Settings, alerts: Sequence[Alert]) -> None:
    """One message for everything that changed. Raises TransientError where a sink could not be reached."""
    for one in alerts:
        state = "resolved" if one.resolved_at else "opened"
        logger.warning("alert", alert=one.key, kind=one.kind, severity=one.severity, state=state, run=one.run_id)
    if settings.alert_urls is None:
        return
    import apprise  # a third of a second, and only for those who use it

    sinks = apprise.Apprise()
    urls = [url.strip() for url in settings.alert_urls.get_secret_value().split(",") if url.strip()]
    refused = [number for number, url in enumerate(urls, start=1) if not sinks.add(url)]
    if refused or not sinks.notify(title=title(alerts), body=body(alerts, settings.web_url)):
        which = f"address number {refused[0]} of CHEERFUL_ALERT_URLS" if refused else "a sink of CHEERFUL_ALERT_URLS"
        raise TransientError(
            f"{len(alerts)} alerts could not be delivered: {which} does not take them.",
            what_to_do="They are tried again each minute; see apprise's list of address forms.",
        )


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
