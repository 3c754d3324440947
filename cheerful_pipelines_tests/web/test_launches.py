"""Which tags and which run config a launch may carry, for any tags from anywhere."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cheerful_pipelines.web.launches import (
    ALLOWED,
    INFRASTRUCTURE,
    LAUNCHED_BY,
    LaunchRefusedError,
    approved_tags,
    check_run_config,
)

KEYS = st.one_of(
    st.sampled_from(sorted(ALLOWED)),
    st.sampled_from([LAUNCHED_BY, "dagster/partition/month", "cheerful/campaign", "dagster/priority", "ecs/cpu"]),
    st.sampled_from(INFRASTRUCTURE),
    st.text(max_size=20),
)
TAGS = st.dictionaries(KEYS, st.text(max_size=5), max_size=6)


@settings(deadline=None)
@given(tags=TAGS, own=TAGS, inherited=TAGS)
def test_an_analysts_launch_carries_only_what_is_allowed_ours_or_inherited(
    tags: dict[str, str], own: dict[str, str], inherited: dict[str, str]
) -> None:
    try:
        stored = approved_tags("analyst", "me", tags, own=own, inherited=inherited)
    except LaunchRefusedError:
        return
    assert stored.pop(LAUNCHED_BY) == "me"
    for key, value in stored.items():
        assert tags[key] == value
        is_plain = key in ALLOWED or key.startswith("dagster/partition/")
        is_inherited = inherited.get(key) == value and not key.startswith(INFRASTRUCTURE)
        assert is_plain or is_inherited or own.get(key) == value


@settings(deadline=None)
@given(tags=TAGS, role=st.sampled_from(["analyst", "engineer"]))
def test_the_launcher_is_always_who_launches(tags: dict[str, str], role: str) -> None:
    everything = {**tags, LAUNCHED_BY: "somebody else"}
    stored = approved_tags(role, "me", everything, own=everything, inherited=everything)  # type: ignore[arg-type]
    assert stored[LAUNCHED_BY] == "me"


def test_what_is_refused_is_named_without_its_value() -> None:
    with pytest.raises(LaunchRefusedError, match="may not set these tags: dagster/priority, ecs/cpu") as refused:
        approved_tags("analyst", "me", {"ecs/cpu": "secret", "dagster/priority": "9"}, own={}, inherited={})
    assert "secret" not in str(refused.value)
    assert refused.value.what_to_do


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=12), st.sampled_from([None, {}, {"a": 1}, "x"]), max_size=4))
def test_an_analyst_configures_only_ops_whatever_a_section_is_called(config: dict[str, object]) -> None:
    is_plain = all(content in (None, {}) or name in ("ops", "solids", "inputs") for name, content in config.items())
    try:
        check_run_config("analyst", config, inherited={})
        is_accepted = True
    except LaunchRefusedError:
        is_accepted = False
    assert is_accepted is is_plain
    check_run_config("analyst", config, inherited=config)
    check_run_config("engineer", config, inherited={})
