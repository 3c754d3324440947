"""Campaigns and accounts become partitions by themselves, and never stop being partitions by themselves."""

import dagster as dg

from cheerful_pipelines.campaigns.sensors import missing, registry_partitions
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines_tests.builders import a_campaign, an_account


def _tick(database: Database, instance: dg.DagsterInstance) -> dg.SensorResult | dg.SkipReason:
    context = dg.build_sensor_context(instance=instance, resources={"database": database})
    found = registry_partitions(context)
    assert isinstance(found, dg.SensorResult | dg.SkipReason)
    return found


def test_only_what_is_not_there_yet_is_added_once_and_in_order() -> None:
    assert missing(["b", "a", "b", "c"], {"c", "gone"}) == ["a", "b"]


def test_new_campaigns_and_accounts_are_added_and_drafts_are_not(database: Database) -> None:
    an_account(database)
    a_campaign(database, slug="spring")
    a_campaign(database, slug="summer", status="COMPLETED")
    a_campaign(database, slug="winter", status="DRAFT")

    with dg.DagsterInstance.ephemeral() as instance:
        result = _tick(database, instance)

    assert isinstance(result, dg.SensorResult)
    assert {
        request.partitions_def_name: list(request.partition_keys)
        for request in result.dynamic_partitions_requests or []
    } == {
        "campaign": ["spring", "summer"],
        "gmail_account": ["mia"],
    }


def test_with_nothing_new_the_tick_skips_in_words_and_deletes_nothing(database: Database) -> None:
    an_account(database)
    a_campaign(database)

    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("campaign", ["spring", "long-gone"])
        instance.add_dynamic_partitions("gmail_account", ["mia"])
        result = _tick(database, instance)

    assert isinstance(result, dg.SkipReason)
    assert "has its partition" in str(result.skip_message)
