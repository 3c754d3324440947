"""What each role may do. Pure: a GraphQL document in, a decision out.

Reading is for everybody who is signed in. A mutation that is not listed here is for engineers: what a later Dagster
adds is not open by accident.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple, get_args

from graphql import FragmentDefinitionNode, GraphQLError, OperationDefinitionNode, OperationType, parse
from graphql.language import (
    FieldNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    SelectionSetNode,
    StringValueNode,
    Visitor,
    visit,
)

from cheerful_pipelines.web.well_formed import MalformedError, check_text

Role = Literal["viewer", "analyst", "engineer"]
ROLES: tuple[Role, ...] = get_args(Role)

MAY_SEND: Mapping[Role, frozenset[str]] = {
    "viewer": frozenset(),
    "analyst": frozenset({
        "launchRun", "launchMultipleRuns", "launchPipelineExecution", "launchPipelineReexecution",
        "launchRunReexecution", "launchPartitionBackfill", "resumePartitionBackfill", "reexecutePartitionBackfill",
        "cancelPartitionBackfill", "terminateRun", "terminateRuns", "terminatePipelineExecution",
        "reportRunlessAssetEvents", "setNuxSeen", "logTelemetry",
    }),
}  # fmt: skip
"""Of each role below engineer: the mutations it may send."""


class Operation(NamedTuple):
    """What would run: its kind, and for a mutation its root fields."""

    kind: OperationType
    mutations: tuple[str, ...]


class _LiteralCheck(Visitor):
    """Raises GraphQLError for a literal that no Postgres can hold."""

    def enter_string_value(self, node: StringValueNode, *_: object) -> None:
        try:
            check_text(node.value, "A literal of the query")
        except MalformedError as error:
            raise GraphQLError(str(error)) from None


def operation_of(query: str, operation_name: str | None) -> Operation:
    """The operation of a document that would run.

    Raises GraphQLError for what cannot be read, or if it is not clear which operation would run.
    """
    try:
        document = parse(query, no_location=True, max_tokens=20_000)
    except RecursionError:
        raise GraphQLError("The document is nested too deeply.") from None
    if "\\u" in query:
        visit(document, _LiteralCheck())  # what is written as an escape becomes a character only now
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    if operation_name is not None:
        operations = [node for node in operations if node.name is not None and node.name.value == operation_name]
    if len(operations) != 1:
        raise GraphQLError("Name one operation of the document.")
    if operations[0].operation is not OperationType.MUTATION:
        return Operation(operations[0].operation, ())
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    found: list[str] = []
    _collect(operations[0].selection_set, fragments, found, set())
    return Operation(OperationType.MUTATION, tuple(found))


def mutations_in(query: str, operation_name: str | None) -> tuple[str, ...]:
    """Root fields of the mutation that would run, fragments followed; empty for a query or a subscription.

    >>> wiping = "fragment more on Mutation { wipeAssets { x } }"
    >>> mutations_in("mutation Go { a: launchRun(x: 1) { id } ...more } " + wiping, None)
    ('launchRun', 'wipeAssets')
    """
    return operation_of(query, operation_name).mutations


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
