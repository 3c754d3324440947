"""What each role may do. Pure: a GraphQL document in, a decision out.

Reading is for everybody who is signed in. A mutation that is not listed here is for engineers: what a later Dagster
adds is not open by accident.
"""

from collections.abc import Mapping
from typing import Any, Literal, get_args

from graphql import FragmentDefinitionNode, GraphQLError, OperationDefinitionNode, OperationType, parse
from graphql.language import FieldNode, FragmentSpreadNode, InlineFragmentNode, SelectionSetNode

Role = Literal["viewer", "analyst", "engineer"]
ROLES: tuple[Role, ...] = get_args(Role)

LAUNCHES = frozenset(
    {
        "launchRun", "launchMultipleRuns", "launchPipelineExecution", "launchPipelineReexecution",
        "launchRunReexecution", "launchPartitionBackfill",
    }
)  # fmt: skip
"""Start work, and can carry a tag that says who started it."""

MAY_SEND: Mapping[Role, frozenset[str]] = {
    "viewer": frozenset(),
    "analyst": LAUNCHES
    | {
        "terminateRun", "terminateRuns", "terminatePipelineExecution", "cancelPartitionBackfill",
        "resumePartitionBackfill", "reexecutePartitionBackfill", "reportRunlessAssetEvents", "setNuxSeen",
        "logTelemetry",
    },
}  # fmt: skip
"""Of each role below engineer: the mutations it may send."""


def mutations_in(query: str, operation_name: str | None) -> tuple[str, ...]:
    """Root fields of the operation that would run, fragments followed; empty for a query or a subscription.

    Raises GraphQLError for what cannot be read, or where it is not clear which operation would run.

    >>> wiping = "fragment more on Mutation { wipeAssets { x } }"
    >>> mutations_in("mutation Go { a: launchRun(x: 1) { id } ...more } " + wiping, None)
    ('launchRun', 'wipeAssets')
    """
    document = parse(query, no_location=True, max_tokens=20_000)
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    if operation_name:
        operations = [node for node in operations if node.name is not None and node.name.value == operation_name]
    if len(operations) != 1:
        raise GraphQLError("Name one operation of the document.")
    if operations[0].operation is not OperationType.MUTATION:
        return ()
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    found: list[str] = []
    _collect(operations[0].selection_set, fragments, found, set())
    return tuple(found)


def _collect(
    selected: SelectionSetNode, fragments: Mapping[str, FragmentDefinitionNode], found: list[str], seen: set[str]
) -> None:
    for node in selected.selections:
        if isinstance(node, FieldNode):
            found.append(node.name.value)
        elif isinstance(node, InlineFragmentNode):
            _collect(node.selection_set, fragments, found, seen)
        elif isinstance(node, FragmentSpreadNode) and node.name.value not in seen:
            seen.add(node.name.value)
            if node.name.value in fragments:
                _collect(fragments[node.name.value].selection_set, fragments, found, seen)


def may_send(role: Role, mutations: tuple[str, ...]) -> bool:
    """Whether the role may send all of them."""
    return role == "engineer" or MAY_SEND[role].issuperset(mutations)


def with_launcher(variables: Any, user_id: str) -> Any:
    """The variables of a launch with a tag that says who launches; other shapes come back as they are.

    >>> with_launcher({"executionParams": {"executionMetadata": {"tags": [{"key": "a", "value": "b"}]}}}, "u1")[
    ...     "executionParams"]["executionMetadata"]["tags"][-1]
    {'key': 'cheerful/launched_by', 'value': 'u1'}
    """
    if not isinstance(variables, dict):
        return variables
    tag = {"key": "cheerful/launched_by", "value": user_id}
    changed = dict(variables)
    params = changed.get("executionParams")
    if isinstance(params, dict):
        metadata = dict(params.get("executionMetadata") or {})
        changed["executionParams"] = {**params, "executionMetadata": {**metadata, "tags": _tagged(metadata, tag)}}
    elif isinstance(params, list):
        changed["executionParams"] = [
            with_launcher({"executionParams": one}, user_id)["executionParams"] for one in params
        ]
    backfill = changed.get("backfillParams")
    if isinstance(backfill, dict):
        changed["backfillParams"] = {**backfill, "tags": _tagged(backfill, tag)}
    reexecution = changed.get("reexecutionParams")
    if isinstance(reexecution, dict):
        changed["reexecutionParams"] = {
            **reexecution,
            "extraTags": [one for one in reexecution.get("extraTags") or [] if one.get("key") != tag["key"]] + [tag],
        }
    return changed


def _tagged(holder: Mapping[str, Any], tag: dict[str, str]) -> list[dict[str, str]]:
    return [one for one in holder.get("tags") or [] if one.get("key") != tag["key"]] + [tag]
