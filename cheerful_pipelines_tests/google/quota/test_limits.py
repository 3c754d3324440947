"""What the settings allow of Gmail's quota."""

from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.google.quota.limits import project_units_a_minute, quota_plan, units_a_minute


def _settings(**values: object) -> Settings:
    return Settings.model_construct(**{"mode": "live", **values})


def test_the_project_s_table_decides() -> None:
    assert units_a_minute(_settings()) == 6_000
    assert units_a_minute(_settings(gmail_quota="before-2026-05")) == 15_000
    assert quota_plan(_settings(gmail_quota="before-2026-05")).prices["messages.get"] == 5
    assert project_units_a_minute(_settings()) == 1_200_000


def test_a_limit_of_one_s_own_goes_first() -> None:
    settings = _settings(gmail_units_per_minute=500, gmail_project_units_per_minute=900)

    assert (units_a_minute(settings), project_units_a_minute(settings)) == (500, 900)


def test_the_local_server_needs_no_patience_unless_asked_for() -> None:
    assert units_a_minute(_settings(mode="local")) == 1_200_000
    assert units_a_minute(_settings(mode="local", gmail_units_per_minute=500)) == 500
