"""What each role may send: decided from the document, listed by name, closed by default."""

from typing import Any

import pytest
from dagster_graphql.schema import create_schema
from graphql import GraphQLError, OperationType
from hypothesis import given, settings
from hypothesis import strategies as st

from cheerful_pipelines.web.roles import MAY_SEND, ROLES, may_send, mutations_in, operation_of

NAMES = st.from_regex(r"[a-z][A-Za-z]{2,12}", fullmatch=True)


@settings(deadline=None)
@given(st.lists(NAMES, min_size=1, max_size=4), st.sampled_from(ROLES))
def test_whatever_is_not_listed_is_for_engineers(names: list[str], role: Any) -> None:
    query = "mutation { " + " ".join(f"a{n}: {name}(x: 1) {{ y }}" for n, name in enumerate(names)) + " }"
    found = mutations_in(query, None)
    assert found == tuple(names)
    assert may_send("engineer", found)
    assert not may_send("viewer", found)
    if "wipeAssets" in found or any(name not in MAY_SEND["analyst"] for name in found):
        assert may_send(role, found) is (role == "engineer")


def test_every_mutation_of_this_dagster_is_decided_on_purpose() -> None:
    """A name that is listed and no longer exists, or was never there, is a mistake."""
    mutations = create_schema().graphql_schema.mutation_type
    assert mutations is not None
    assert MAY_SEND["analyst"] <= set(mutations.fields)


def test_a_document_with_several_operations_must_say_which() -> None:
    with pytest.raises(GraphQLError):
        mutations_in("query A { x } mutation B { y }", None)
    assert mutations_in("query A { x } mutation B { y }", "A") == ()
    assert mutations_in("query A { x } mutation B { y }", "B") == ("y",)
    assert mutations_in("subscription { x }", None) == ()
    assert operation_of("subscription { x }", None).kind is OperationType.SUBSCRIPTION
    loop = "mutation { ...a } fragment a on M { ...b } fragment b on M { ...a z }"
    assert mutations_in(loop, None) == ("z",)


def test_a_document_without_end_is_an_error_of_its_sender() -> None:
    with pytest.raises(GraphQLError):
        operation_of("{a" * 9_000, None)
