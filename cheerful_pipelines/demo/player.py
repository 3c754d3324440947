"""Lets the demo go on living: delivers what comes after the first six weeks, one event at a time, at a chosen speed.

    python -m cheerful_pipelines.demo.player --per-minute 4

Where it stands is written after each event, so that a restart goes on with the next one. It stops quietly at the end,
or when it is told to (SIGINT, SIGTERM). A played mail keeps its own date: the world's, which lies in the past.
"""

import argparse
import signal
from collections.abc import Callable
from threading import Event

from cheerful_pipelines.core.errors import TransientError
from cheerful_pipelines.core.logs import configure_logging, get_logger
from cheerful_pipelines.core.settings import Settings, load_settings
from cheerful_pipelines.demo.models import DemoDelivery, DemoWorld, SheetEdit
from cheerful_pipelines.demo.progress import load_progress, save_progress
from cheerful_pipelines.demo.world import generate_world
from cheerful_pipelines.local_google.admin import LocalGoogleAdmin

_log = get_logger(__name__)
_PATIENCE_SECONDS = 5.0


def play(
    admin: LocalGoogleAdmin, world: DemoWorld, *, start_index: int, events_per_minute: float, stop: Event,
    played: Callable[[int], None] = lambda index: None,
) -> int:  # fmt: skip
    """Deliver live events from `start_index` on; the index after the last one delivered comes back.

    `played(index)` is called after each event with the index to go on with. While the server is away the same event
    waits. Raises ValueError for a speed of zero or less.
    """
    if events_per_minute <= 0:
        raise ValueError("events_per_minute must be above zero")
    events = world.live()
    index = start_index
    while index < len(events) and not stop.is_set():
        try:
            _happen(admin, events[index])
        except TransientError:
            stop.wait(_PATIENCE_SECONDS)
            continue
        index += 1
        played(index)
        stop.wait(60.0 / events_per_minute)
    return index


def play_on(admin: LocalGoogleAdmin, settings: Settings, *, events_per_minute: float, stop: Event) -> int:
    """Play from where the progress file stands, and write it down as it goes. 0 events where nothing is seeded."""
    progress = load_progress(settings.home)
    if progress is None or not progress.is_seeded:
        _log.info("demo_not_seeded")
        return 0
    world = generate_world(progress.seed, progress.anchor)
    _log.info("demo_playing", at=progress.played, of=len(world.live()))
    index = play(
        admin,
        world,
        start_index=progress.played,
        events_per_minute=events_per_minute,
        stop=stop,
        played=lambda at: save_progress(settings.home, progress.model_copy(update={"played": at})),
    )
    return max(0, index - progress.played)


def _happen(admin: LocalGoogleAdmin, event: DemoDelivery | SheetEdit) -> None:
    if isinstance(event, DemoDelivery):
        admin.deliver(event.address, event.raw, label_ids=event.label_ids, internal_date=event.at)
    elif event.cell is None:
        admin.append_rows(event.spreadsheet_id, event.tab, [list(row) for row in event.rows])
    else:
        admin.edit_cell(event.spreadsheet_id, event.tab, event.cell, event.value)


def main() -> None:
    """The process that the supervisor runs."""
    parser = argparse.ArgumentParser(description="Deliver the rest of the demo's mail, little by little.")
    parser.add_argument("--per-minute", type=float, default=4.0, help="events a minute (default 4)")
    arguments = parser.parse_args()
    configure_logging()
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    settings = load_settings()
    play_on(
        LocalGoogleAdmin(settings.local_google_url),
        settings,
        events_per_minute=arguments.per_minute,
        stop=stop,
    )


if __name__ == "__main__":
    main()
