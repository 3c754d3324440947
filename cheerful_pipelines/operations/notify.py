"""Where alerts go: to the log, and by apprise to what CHEERFUL_ALERT_URLS names (Slack, e-mail, webhooks, …)."""

from collections.abc import Sequence

from cheerful_pipelines.errors import TransientError
from cheerful_pipelines.logs import get_logger
from cheerful_pipelines.operations.alert_store import Alert
from cheerful_pipelines.settings import Settings

logger = get_logger(__name__)


def say(settings: Settings, alerts: Sequence[Alert]) -> None:
    """One message for everything that changed. Raises TransientError where a sink could not be reached."""
    for one in alerts:
        state = "resolved" if one.resolved_at else "opened"
        logger.warning("alert", alert=one.key, kind=one.kind, state=state)
    if settings.alert_urls is None:
        return
    import apprise  # a third of a second, and only for those who use it

    sinks = apprise.Apprise()
    urls = [url.strip() for url in settings.alert_urls.get_secret_value().split(",") if url.strip()]
    refused = [number for number, url in enumerate(urls, start=1) if not sinks.add(url)]
    if refused or not sinks.notify(title=title(alerts), body=body(alerts, settings.web_url)):
        which = f"address number {refused[0]} of CHEERFUL_ALERT_URLS" if refused else "a sink of CHEERFUL_ALERT_URLS"
        raise TransientError(
            f"{len(alerts)} alerts could not be said: {which} does not take them.",
            what_to_do="They are tried again each minute; see apprise's list of address forms.",
        )


def title(alerts: Sequence[Alert]) -> str:
    """`Cheerful: 2 new troubles, 1 over`."""
    new = sum(one.resolved_at is None for one in alerts)
    over = len(alerts) - new
    words = [f"{new} new trouble{'s' if new > 1 else ''}"] if new else []
    return "Cheerful: " + ", ".join(words + ([f"{over} over"] if over else []))


def body(alerts: Sequence[Alert], web_url: str) -> str:
    """Each with what to do. Ids only."""
    lines = []
    for one in alerts:
        if one.resolved_at is None:
            lines += [f"NEW  {one.words}", f"     {one.what_to_do}"]
        else:
            lines.append(f"OVER {one.words} (since {one.opened_at:%Y-%m-%d %H:%M} UTC)")
    return "\n".join([*lines, "", web_url])
