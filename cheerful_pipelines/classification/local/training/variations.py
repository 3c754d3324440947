"""Mail dress for training utterances: greetings, thanks and sign-offs that come with every meaning.

Without them a model learns that "Thanks" means no and "Hi Mia" means yes. Chosen by number, not by chance.
"""

import json
from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=1)
def _dress() -> dict[str, dict[str, list[str]]]:
    content: dict[str, dict[str, list[str]]] = json.loads(Path(__file__).with_name("dress.json").read_text("utf-8"))
    return content


def variations(text: str, language: str, number: int) -> tuple[str, ...]:
    """Two dressed forms of one utterance; the same number always gives the same ones."""
    openings, closings = _dress()["openings"][language], _dress()["closings"][language]
    first = openings[number % len(openings)]
    second = openings[(number * 5 + 2) % len(openings)]
    return (
        f"{first}\n\n{text}\n\n{closings[(number * 3 + 1) % len(closings)]}",
        f"{second} {text} {closings[number % len(closings)]}",
    )
