"""The chain is declared once: what is derived from it follows it, and both ways of running it log the same."""

import json
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from cheerful_pipelines.classification.local.local_classifier import LocalClassifier
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.definitions import build_defs
from cheerful_pipelines.operations.backfills.backfill_plan import ASSETS_OF
from cheerful_pipelines.refresh.bulk_refresh import bulk_campaign_refresh
from cheerful_pipelines.refresh.chain import CAMPAIGN_ASSETS, CHAIN, CHAIN_ASSETS, ONLY_ALONE
from cheerful_pipelines.refresh.jobs import CAMPAIGN_REFRESH
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines_tests.builders import a_campaign, an_account
from cheerful_pipelines_tests.threads.mailroom import Mailroom, answer, pitch

NEVER_EQUAL = {"counted_at"}
"""Metadata that differ from one run to the next by their nature."""


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        found.add_dynamic_partitions("campaign", ["alone", "together"])
        yield found


@pytest.fixture
def resources(database: Database, blobs: BlobStore, settings: Settings) -> dict[str, Any]:
    """Two campaigns with the same mail, but for their names."""
    mia, room = an_account(database), Mailroom(database, blobs)
    for slug in ("alone", "together"):
        first, creator = f"<p-{slug}@brand.example>", f"{slug}@creator.example"
        room.recipients(a_campaign(database, slug=slug), creator)
        room.receive(mia, pitch(creator, first), thread=slug)
        reply = answer(f"Count me in for {slug}!", f"<r-{slug}@creator.example>").sender(creator)
        room.receive(mia, reply.replying_to(first), thread=slug)
    return {"database": database, "blobs": blobs, "classifier": LocalClassifier(), "settings": settings}


def logged(result: dg.ExecuteInProcessResult, slug: str) -> dict[str, Any]:
    """What a run logged about a campaign, comparable with what another logged about its twin."""
    events: dict[str, Any] = {}
    for event in result.all_events:
        if event.is_step_materialization and event.partition == slug:
            one = event.materialization
            events[one.asset_key.to_user_string()] = (
                _metadata(one.metadata, slug),
                (one.tags or {})["dagster/code_version"],
            )
        elif event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            check = event.asset_check_evaluation_data
            if check.partition == slug:
                name = f"{check.asset_key.to_user_string()}:{check.check_name}"
                events[name] = check.passed, check.severity, check.description, _metadata(check.metadata, slug)
    return events


def _metadata(metadata: Any, slug: str) -> dict[str, str]:
    return {
        key: json.dumps(one.value, default=str).replace(slug, "SLUG")
        for key, one in metadata.items()
        if key not in NEVER_EQUAL
    }


def test_a_run_over_many_campaigns_logs_what_a_run_of_one_logs(
    resources: dict[str, Any], instance: dg.DagsterInstance
) -> None:
    job = build_defs(**resources, sheets=None).resolve_job_def(CAMPAIGN_REFRESH.name)
    config = {step.name: {"config": dict(step.config)} for step in CHAIN if step.config}
    alone = job.execute_in_process(
        instance=instance, partition_key="alone", run_config={"ops": config},
        asset_selection=[step.asset.key for step in CHAIN],
    )  # fmt: skip
    together = bulk_campaign_refresh.execute_in_process(
        instance=instance, resources=resources,
        run_config={"ops": {"refresh_each": {"config": {"campaigns": ["together"]}}}},
    )  # fmt: skip

    of_one, of_many = logged(alone, "alone"), logged(together, "together")
    left_out = {name for name in of_one if name.split(":")[-1] in ONLY_ALONE}
    assert set(of_one) - set(of_many) == left_out
    assert len(left_out) == len(ONLY_ALONE), "each exception is a check that exists"
    assert {name: of_one[name] for name in of_many} == of_many
    assert set(CHAIN_ASSETS) <= set(of_many)


def test_every_check_of_an_asset_of_the_chain_is_in_the_chain_or_named_as_an_exception() -> None:
    loaded = {
        key.name
        for check in build_defs().asset_checks or ()
        for key in check.check_keys
        if key.asset_key.to_user_string() in CHAIN_ASSETS
    }
    in_chain = {key.name for step in CHAIN for check in step.checks for key in check.definition.check_keys}

    assert loaded == in_chain | ONLY_ALONE


def test_job_and_backfill_follow_the_chain() -> None:
    job = build_defs().resolve_job_def(CAMPAIGN_REFRESH.name)

    assert {key.to_user_string() for key in job.asset_layer.executable_asset_keys} == set(CAMPAIGN_ASSETS)
    assert ASSETS_OF["campaign"] == CAMPAIGN_ASSETS
