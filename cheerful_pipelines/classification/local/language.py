"""Which of five languages a reply is in, by its small words. Good enough for a threshold and a column, no more."""

import json
import re
from functools import lru_cache
from importlib import resources

from cheerful_pipelines.classification.local.normalise import fold

_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
_READ_AT_MOST = 600
_WEIGHT_OF_A_LETTER = 1.5  # ñ, ß, ã: one says more than a small word, and less than two


@lru_cache(maxsize=1)
def _knowledge() -> tuple[dict[str, frozenset[str]], dict[str, str]]:
    text = resources.files("cheerful_pipelines.classification.local").joinpath("small_words.json").read_text("utf-8")
    content = json.loads(text)
    words = {language: frozenset(listed.split()) for language, listed in content["words"].items()}
    return words, content["telling_letters"]


def language_of(normalised: str) -> str:
    """`en`, `es`, `pt`, `fr`, `de`, or `und` where no small word speaks for one."""
    known_words, telling_letters = _knowledge()
    words = _WORD.findall(fold(normalised[:_READ_AT_MOST]))
    scores = {language: float(len(known.intersection(words))) for language, known in known_words.items()}
    lowered = normalised[:_READ_AT_MOST].lower()
    for language, letters in telling_letters.items():
        scores[language] += _WEIGHT_OF_A_LETTER * sum(letter in lowered for letter in letters)
    best = max(scores, key=lambda language: scores[language])
    return best if scores[best] > 0 else "und"
