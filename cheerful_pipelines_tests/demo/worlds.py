"""Worlds for the tests of this folder, made once each."""

from datetime import date
from functools import lru_cache

from cheerful_pipelines.demo.models import DemoWorld
from cheerful_pipelines.demo.world import generate_world

TODAY = date(2026, 11, 23)


@lru_cache(maxsize=4)
def world(seed: int = 7, today: date = TODAY) -> DemoWorld:
    """A generated world, remembered."""
    return generate_world(seed, today)
