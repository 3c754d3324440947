"""Where a request comes from: a header is believed only from a proxy of ours, and only its last hop."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.datastructures import Headers

from cheerful_pipelines.settings import Settings
from cheerful_pipelines.web.origin import UNKNOWN, client_network, is_own_origin, local_path, trusted_networks

TRUSTED = trusted_networks(Settings(trusted_proxies="10.0.0.0/8, fd00::/8"))


def scope(client: tuple[str, int] | None, *forwarded: str) -> dict[str, Any]:
    """An ASGI scope."""
    return {"client": client, "headers": [(b"x-forwarded-for", text.encode("latin-1")) for text in forwarded]}


FORWARDED = st.lists(
    st.text(st.characters(max_codepoint=255, exclude_characters="\r\n")) | st.ip_addresses().map(str), max_size=3
)


@settings(deadline=None)
@given(FORWARDED)
def test_a_stranger_may_write_what_they_like(forwarded: list[str]) -> None:
    for told in (forwarded, [*forwarded, "198.51.100.9"]):
        assert client_network(scope(("192.0.2.7", 4711), *told), TRUSTED) == "192.0.2.7"


@settings(deadline=None)
@given(st.lists(st.text(st.characters(max_codepoint=255, exclude_characters="\r\n,")), max_size=3))
def test_only_the_last_hop_of_a_trusted_proxy_counts(before: list[str]) -> None:
    assert client_network(scope(("10.1.2.3", 4711), *before, "198.51.100.9"), TRUSTED) == "198.51.100.9"
    assert client_network(scope(("fd00::1", 4711), ",".join([*before, "198.51.100.9"])), TRUSTED) == "198.51.100.9"


def test_networks_are_one_ipv4_address_or_one_ipv6_subnet() -> None:
    assert client_network(scope(("2001:db8:1:2:3::4", 1)), ()) == "2001:db8:1:2::/64"
    assert client_network(scope(("::ffff:192.0.2.7", 1)), ()) == "192.0.2.7"
    assert client_network(scope(("10.1.2.3", 1), "nonsense"), TRUSTED) == "10.1.2.3"
    assert client_network(scope(None), TRUSTED) == UNKNOWN
    assert client_network(scope(("192.0.2.7", 0), "192.0.2.7"), TRUSTED) == UNKNOWN  # rewritten before us


def test_the_setting_refuses_what_is_no_network() -> None:
    with pytest.raises(ValueError, match="CHEERFUL_TRUSTED_PROXIES"):
        Settings(trusted_proxies="10.0.0.0/8,everywhere")


LATIN = st.text(st.characters(max_codepoint=255), max_size=30)


@settings(deadline=None)
@given(LATIN, LATIN)
def test_only_the_own_origin_is_ours(origin: str, host: str) -> None:
    headers = Headers({"origin": origin, "host": host})
    assert is_own_origin(headers) in (True, False)
    assert is_own_origin(Headers({"origin": "https://a.example", "host": "a.example"}))
    assert not is_own_origin(Headers({"origin": "", "host": ""}))
    assert not is_own_origin(Headers({"origin": "http://[", "host": "["}))


@settings(deadline=None)
@given(st.text(max_size=40))
def test_a_link_leads_to_a_path_of_ours(target: str) -> None:
    found = local_path(target)
    assert found.startswith("/")
    assert not found.startswith(("//", "/\\"))
    assert not set(found) & set("\r\n\t\\")
