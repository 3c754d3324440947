"""The learned half of the embedded default: a softmax over word and character n-grams. Standard library only.

The weights ship as `ngram_weights.json.gz`, made by `training/train.py`. All arithmetic at run time is on integers,
so that the same text gives the same answer on every machine.
"""

import base64
import gzip
import hashlib
import json
import math
import re
from collections.abc import Iterable
from functools import lru_cache
from importlib import resources
from itertools import repeat

from cheerful_pipelines.classification.local.normalise import fold, normalise

_LANE_BITS = 24  # a lane holds the sum of at most 2**16 biased bytes
_LANE_MASK = (1 << _LANE_BITS) - 1
_BIAS = 128
READ_AT_MOST = 1500
"""Characters of the newest words that the model looks at: replies say it early, and time stays bounded."""

_TOKEN = re.compile(r"[^\W\d_]+|\d+|[?!€$£%@]")
_NUMBER = re.compile(r"\d+")


def features(text: str) -> set[str]:
    """Names of what occurs in a text: words (`w:`), pairs of words (`b:`), 3 to 5 characters (bare), its length."""
    tokens = [
        f"#{min(len(token), 5)}" if token.isdigit() else token
        for token in _TOKEN.findall(fold(normalise(text))[:READ_AT_MOST])
    ]
    found = {f"w:{token}" for token in tokens}
    found.update(f"b:{one} {two}" for one, two in zip(["^", *tokens], [*tokens, "$"], strict=True))
    line = f" {' '.join(tokens)} "
    size = len(line)
    for width in (3, 4, 5):
        found.update([line[start : start + width] for start in range(size - width + 1)])
    found.add(f"n:{min(len(tokens).bit_length(), 7)}")
    return found


class NgramModel:
    """Weights in memory. `scores(text)` gives a probability for each label, highest first not implied.

    A feature's weights for all labels sit side by side in one large integer (24 bits a label, biased to be
    positive): one dictionary look-up and one addition a feature instead of ten. That is most of the speed.
    """

    def __init__(self, document: dict[str, object], digest: str) -> None:
        self.labels: tuple[str, ...] = tuple(document["labels"])  # type: ignore[arg-type]
        self.digest = digest
        self._scale = float(document["scale"])  # type: ignore[arg-type]
        self._norm_scale = float(document["norm_scale"])  # type: ignore[arg-type]
        names: list[str] = str(document["features"]).split("\n")
        rows = base64.b85decode(str(document["rows"]))
        width = len(self.labels) + 1  # one more for the squared idf, from which the length comes
        self._table = {name: _packed(rows[number * width : (number + 1) * width]) for number, name in enumerate(names)}

    def scores(self, text: str) -> dict[str, float]:
        """Label to probability; they sum to 1."""
        return softmax(self.logits(text))

    def logits(self, text: str) -> dict[str, float]:
        """Label to raw score."""
        rows = [row for row in map(self._table.get, features(text), repeat(0)) if row]
        total, count = sum(rows), len(rows)
        lanes = [(total >> (_LANE_BITS * lane)) & _LANE_MASK for lane in range(len(self.labels) + 1)]
        length = math.sqrt(lanes[-1] * self._norm_scale) or 1.0
        return {
            label: (lane - _BIAS * count) * self._scale / length
            for label, lane in zip(self.labels, lanes, strict=False)
        }


def _packed(row: Iterable[int]) -> int:
    value = 0
    for lane, weight in enumerate(row):
        value |= weight << (_LANE_BITS * lane)
    return value


def softmax(logits: dict[str, float]) -> dict[str, float]:
    """Probabilities of raw scores."""
    top = max(logits.values())
    powers = {label: math.exp(value - top) for label, value in logits.items()}
    total = sum(powers.values())
    return {label: power / total for label, power in powers.items()}


@lru_cache(maxsize=1)
def shipped_model() -> NgramModel:
    """The model of this release, read once a process."""
    packed = resources.files("cheerful_pipelines.classification.local").joinpath("ngram_weights.json.gz").read_bytes()
    content = gzip.decompress(packed)
    return NgramModel(json.loads(content), hashlib.sha256(content).hexdigest()[:12])
