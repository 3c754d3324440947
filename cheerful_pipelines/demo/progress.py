"""Where the demo stands, in one small JSON file: which world it is, what is loaded, how far the player came.

The anchor day is written before the first delivery, so that a restart on another day goes on with the same world.
"""

import os
from datetime import date
from pathlib import Path

from pydantic import BaseModel, ConfigDict

FILE_NAME = "demo.json"


class DemoProgress(BaseModel):
    """One demo. `filled`: messages of the first weeks delivered, by alias. `played`: live events delivered."""

    model_config = ConfigDict(frozen=True)
    seed: int
    anchor: date
    filled: dict[str, int] = {}
    is_seeded: bool = False
    played: int = 0


def load_progress(home: Path) -> DemoProgress | None:
    """The stored progress, or None where no demo was begun."""
    path = home / FILE_NAME
    return DemoProgress.model_validate_json(path.read_text(encoding="utf-8")) if path.exists() else None


def save_progress(home: Path, progress: DemoProgress) -> None:
    """Replace the file in one step: a crash leaves the old one or the new one, never half of either."""
    home.mkdir(parents=True, exist_ok=True)
    draft = home / f"{FILE_NAME}.new"
    draft.write_text(progress.model_dump_json(indent=2) + "\n", encoding="utf-8")
    os.replace(draft, home / FILE_NAME)  # noqa: PTH105  (atomic on every platform, and says so)
