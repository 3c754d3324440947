"""The labels, as `taxonomy.json` defines them. Their order is their precedence where several fit.

`no_reply` is no label: a thread without an inbound message gets no verdict, and metrics count it as silent.
"""

import json
from functools import lru_cache
from importlib import resources
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict

from cheerful_pipelines.classification.models import Label


class LabelDefinition(BaseModel):
    """What one label means, and what follows from it. `creator_status` is a suggestion; None: leave it as it is."""

    model_config = ConfigDict(frozen=True)
    name: Label
    precedence: int
    definition: str
    example: str
    metric_class: Literal["positive", "positive_when_paid", "neutral", "negative", "undelivered", "not_a_reply"]
    creator_status: Literal["OPTED_OUT", "SKIPPED", "PENDING_DETAILS", "DECLINED"] | None


class Taxonomy(BaseModel):
    """One version of all labels, in order of precedence."""

    model_config = ConfigDict(frozen=True)
    version: str
    labels: tuple[LabelDefinition, ...]

    def precedence(self, label: str) -> int:
        """1 wins over 13."""
        return next(item.precedence for item in self.labels if item.name == label)


@lru_cache(maxsize=1)
def shipped_taxonomy() -> Taxonomy:
    """The taxonomy of this release. Raises ValueError where the file and the contract `Label` disagree."""
    text = resources.files("cheerful_pipelines.classification.labels").joinpath("taxonomy.json").read_text("utf-8")
    taxonomy = Taxonomy.model_validate(json.loads(text))
    if [item.name for item in taxonomy.labels] != list(get_args(Label)):
        raise ValueError("taxonomy.json and models.Label must hold the same labels in the same order")
    return taxonomy


def taxonomy_version() -> str:
    """TAXONOMY_VERSION: part of every verdict."""
    return shipped_taxonomy().version
