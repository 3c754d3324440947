"""Every mutation of Dagster's GraphQL schema that launches something, and ways to write each as a document."""

import json
from typing import Any, NamedTuple

from dagster_graphql.schema import create_schema
from graphql import GraphQLUnionType, get_named_type

Tags = list[dict[str, str]]


class Enum(str):
    """A word that GraphQL writes without quotes."""


class Variable(str):
    """The name of a variable, within a literal."""


def launching_mutations() -> frozenset[str]:
    """From the schema: whose result says that something was launched or resumed."""
    mutations = create_schema().graphql_schema.mutation_type
    assert mutations is not None
    return frozenset(name for name, field in mutations.fields.items() if _says_launched(get_named_type(field.type)))


def _says_launched(result: Any) -> bool:
    results = [kind.name for kind in result.types] if isinstance(result, GraphQLUnionType) else [result.name]
    return any(
        name.startswith(("Launch", "Resume")) and name.endswith(("Success", "Result", "Runs")) for name in results
    )


class Parents(NamedTuple):
    """What is executed again."""

    run_id: str
    backfill_id: str


def selector(job: str, **more: Any) -> dict[str, Any]:
    """Of a job of the small installation."""
    return {
        "repositoryLocationName": "tiny.py", "repositoryName": "__repository__", "jobName": job, **more,
    }  # fmt: skip


def launch_params(tags: Tags, *, config: str = "{}", job: str = "tagged", **metadata: Any) -> dict[str, Any]:
    """ExecutionParams."""
    return {
        "selector": selector(job), "runConfigData": config, "mode": "default",
        "executionMetadata": {"tags": tags, **metadata},
    }  # fmt: skip


def backfill_params(tags: Tags) -> dict[str, Any]:
    """LaunchBackfillParams of a job."""
    where = {"repositoryLocationName": "tiny.py", "repositoryName": "__repository__"}
    return {
        "selector": {"partitionSetName": "seasonal_partition_set", "repositorySelector": where},
        "partitionNames": ["spring"], "tags": tags,
    }  # fmt: skip


def calls(tags: Tags, parents: Parents) -> dict[str, list[tuple[str, str, Any]]]:
    """Of each mutation: (argument, its type, its value), with these tags wherever it takes tags."""
    params = launch_params(tags)
    again = launch_params(tags, parentRunId=parents.run_id, rootRunId=parents.run_id)
    extra = {"parentRunId": parents.run_id, "strategy": Enum("ALL_STEPS"), "extraTags": tags}
    runs = [
        ("executionParams", "ExecutionParams", again),
        ("reexecutionParams", "ReexecutionParams", extra),
        ("reexecutionParams", "ReexecutionParams", {**extra, "useParentRunTags": False}),
    ]
    launch = [("executionParams", "ExecutionParams!", params)]
    once_more = {"parentRunId": parents.backfill_id, "strategy": Enum("ALL_STEPS")}
    assets = {"assetSelection": [{"path": ["by_season"]}], "partitionNames": ["spring"], "tags": tags}
    pairs = {"partitionsByAssets": [{"assetKey": {"path": ["by_season"]}}], "tags": tags}
    return {
        "launchRun": launch,
        "launchPipelineExecution": launch,
        "launchMultipleRuns": [("executionParamsList", "[ExecutionParams!]!", [params, params])],
        "launchRunReexecution": runs,
        "launchPipelineReexecution": runs,
        "launchPartitionBackfill": [
            ("backfillParams", "LaunchBackfillParams!", one) for one in (backfill_params(tags), assets, pairs)
        ],
        "resumePartitionBackfill": [("backfillId", "String!", parents.backfill_id)],
        "reexecutePartitionBackfill": [("reexecutionParams", "ReexecutionParams", once_more)],
    }


def documents(mutation: str, argument: str, kind: str, value: Any) -> list[tuple[str, dict[str, Any]]]:
    """The same call written in five ways: (document, variables)."""
    optional = kind.rstrip("!")
    literal = _literal(value)
    written = f"{mutation}({argument}: {literal}) {{ __typename }}"
    hidden = _literal(_with_variable(value))
    found = [
        (f"mutation Go($v: {kind}) {{ {mutation}({argument}: $v) {{ __typename }} }}", {"v": value}),
        (f"mutation {{ {written} }}", {}),
        (f"mutation ($v: {optional}! = {literal}) {{ {mutation}({argument}: $v) {{ __typename }} }}", {}),
        (f"mutation Go {{ ...f }} fragment f on Mutation {{ other: {written} }}", {}),
    ]
    if hidden != literal:
        document = f"mutation ($who: String!) {{ {mutation}({argument}: {hidden}) {{ __typename }} }}"
        found.append((document, {"who": "somebody else"}))
    return found


def _with_variable(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_variable(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_with_variable(one) for one in value]
    return Variable("who") if value == "somebody else" else value


def _literal(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_literal(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_literal(one) for one in value) + "]"
    if isinstance(value, Enum):
        return str(value)
    return f"${value}" if isinstance(value, Variable) else json.dumps(value)
