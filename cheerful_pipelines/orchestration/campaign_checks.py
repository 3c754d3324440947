"""Asset checks on one campaign's partition, each written once as a plain function.

Dagster evaluates a check beside its asset; a run over many campaigns evaluates the same function itself and logs the
result for each partition (refresh/bulk_refresh.py).
"""

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

import dagster as dg

from cheerful_pipelines.orchestration.failures import dagster_failures
from cheerful_pipelines.orchestration.partitions import CAMPAIGN_PARTITIONS

Results = dg.AssetCheckResult | Iterable[dg.AssetCheckResult]


class CampaignCheck(NamedTuple):
    """What Dagster loads, and the function behind it."""

    definition: dg.AssetChecksDefinition
    evaluate: Callable[..., Results]
    """Takes `slug` and, by name, the resources that it needs."""

    def results(self, slug: str, resources: Mapping[str, Any]) -> list[dg.AssetCheckResult]:
        """The results for one campaign, each with its asset and name. Raises `Failure` like any asset of ours."""
        with dagster_failures():
            found = self.evaluate(slug=slug, **picked(self.evaluate, resources.__getitem__))
            results = [found] if isinstance(found, dg.AssetCheckResult) else list(found)
        (asset,) = {key.asset_key for key in self.definition.check_keys}
        names = [key.name for key in self.definition.check_keys]
        return [
            result._replace(asset_key=asset, check_name=result.check_name or names[0])  # a single check needs no name
            for result in results
        ]


def campaign_check(*, asset: str, description: str) -> Callable[[Callable[..., dg.AssetCheckResult]], CampaignCheck]:
    """Make the check named like the function, which takes `slug` and, by name, resources (see resources.py)."""

    def decorate(evaluate: Callable[..., dg.AssetCheckResult]) -> CampaignCheck:
        @dg.asset_check(
            asset=asset,
            name=evaluate.__name__,
            description=description,
            partitions_def=CAMPAIGN_PARTITIONS,
            required_resource_keys=resources_of(evaluate),
        )
        def check(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
            resources = context.op_execution_context.resources
            with dagster_failures():
                return evaluate(slug=context.partition_key, **picked(evaluate, partial(getattr, resources)))

        return CampaignCheck(check, evaluate)

    return decorate


def resources_of(function: Callable[..., Any]) -> set[str]:
    """The resources that a function of one campaign names: its parameters without `slug` and `run_id`.

    Parameters with a default, such as an option fixed by `functools.partial`, are none.
    """
    parameters = inspect.signature(function).parameters.values()
    required = {one.name for one in parameters if one.default is inspect.Parameter.empty}
    return required - {"slug", "run_id"}


def picked(function: Callable[..., Any], resource: Callable[[str], Any]) -> dict[str, Any]:
    """The resources that a function names, as its arguments; `resource` gives one by its name."""
    return {name: resource(name) for name in resources_of(function)}
