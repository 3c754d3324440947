"""The player: everything once, in order, over restarts; quiet at the end."""

from datetime import timedelta
from threading import Event
from typing import Any

import pytest

from cheerful_pipelines.core.errors import TransientError
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.demo.models import SheetEdit
from cheerful_pipelines.demo.player import play, play_on
from cheerful_pipelines.demo.progress import DemoProgress, load_progress, save_progress
from cheerful_pipelines.local_google.admin import LocalGoogleAdmin
from cheerful_pipelines_tests.demo.worlds import TODAY, world

FAST = 6_000_000.0


class Recorder:
    """An admin that writes down what it is asked to do."""

    def __init__(self, *, failures: int = 0) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self._failures = failures

    def deliver(self, address: str, raw: bytes, *, label_ids: Any, internal_date: Any) -> None:
        if self._failures:
            self._failures -= 1
            raise TransientError("away")
        self.calls.append(("deliver", address, raw, internal_date))

    def append_rows(self, spreadsheet_id: str, tab: str, rows: list[list[str]]) -> None:
        self.calls.append(("append", spreadsheet_id, rows))

    def edit_cell(self, spreadsheet_id: str, tab: str, cell: str, value: str) -> None:
        self.calls.append(("edit", spreadsheet_id, cell, value))


def test_it_plays_every_event_once_in_order_and_stops_at_the_end():
    admin = Recorder()

    index = play(admin, world(), start_index=0, events_per_minute=FAST, stop=Event())  # type: ignore[arg-type]

    assert index == len(world().live()) == len(admin.calls)
    dates = [call[3] for call in admin.calls if call[0] == "deliver"]
    assert dates == sorted(dates)
    assert {call[0] for call in admin.calls} == {"deliver", "append", "edit"}


def test_a_restart_goes_on_with_the_next_event(settings: Settings):
    save_progress(settings.home, DemoProgress(seed=7, anchor=TODAY, is_seeded=True))
    stop = Event()
    first, second = Recorder(), Recorder()
    original = first.deliver

    def deliver_five(*args: Any, **more: Any) -> None:
        original(*args, **more)
        if len(first.calls) >= 5:
            stop.set()

    first.deliver = deliver_five  # type: ignore[method-assign]
    played = play_on(first, settings, events_per_minute=FAST, stop=stop)  # type: ignore[arg-type]
    rest = play_on(second, settings, events_per_minute=FAST, stop=Event())  # type: ignore[arg-type]
    again = play_on(second, settings, events_per_minute=FAST, stop=Event())  # type: ignore[arg-type]

    assert played == 5
    assert played + rest == len(world().live())
    assert again == 0
    everything = Recorder()
    play(everything, world(), start_index=0, events_per_minute=FAST, stop=Event())  # type: ignore[arg-type]
    assert first.calls + second.calls == everything.calls


def test_while_the_server_is_away_the_same_event_waits(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("cheerful_pipelines.demo.player._PATIENCE_SECONDS", 0.001)
    admin = Recorder(failures=2)

    play(admin, world(), start_index=0, events_per_minute=FAST, stop=Event())  # type: ignore[arg-type]

    assert len(admin.calls) == len(world().live())


def test_nothing_is_played_where_nothing_is_seeded(settings: Settings):
    assert play_on(Recorder(), settings, events_per_minute=FAST, stop=Event()) == 0  # type: ignore[arg-type]
    assert load_progress(settings.home) is None


def test_a_speed_of_zero_is_refused():
    with pytest.raises(ValueError, match="above zero"):
        play(Recorder(), world(), start_index=0, events_per_minute=0, stop=Event())  # type: ignore[arg-type]


def test_the_real_server_takes_played_mail_and_edits(google: LocalGoogleAdmin):
    made = world()
    for account in made.accounts:
        google.add_mailbox(account.address)
    for sheet in made.sheets:
        google.put_sheet(sheet.spreadsheet_id, title=sheet.title, tabs=sheet.tabs)

    index = play(google, made, start_index=0, events_per_minute=FAST, stop=Event())

    assert index == len(made.live())
    assert sum(isinstance(item, SheetEdit) for item in made.live()) >= 4
    assert all(item.at < made.loaded_until + timedelta(days=10) for item in made.live())
