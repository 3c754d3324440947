"""Where a request comes from: a header is believed only from a proxy of ours, and only its last hop."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.datastructures import Headers

from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.web.origin import (
    UNKNOWN,
    Proxies,
    client_network,
    is_own_origin,
    local_path,
    trusted_proxies,
)

NETWORKS = "10.0.0.0/8, fd00::/8"


def proxies(header: str = "X-Forwarded-For", **more: Any) -> Proxies:
    """Of settings that name this header."""
    return trusted_proxies(Settings(trusted_proxies=NETWORKS, client_address_header=header, **more))


TRUSTED = proxies()
FLY = proxies("Fly-Client-IP")


def scope(client: tuple[str, int] | None, *forwarded: str) -> dict[str, Any]:
    """An ASGI scope."""
    return headed(client, *(("x-forwarded-for", text) for text in forwarded))


def headed(client: tuple[str, int] | None, *headers: tuple[str, str]) -> dict[str, Any]:
    """An ASGI scope with these headers."""
    return {"client": client, "headers": [(name.encode(), text.encode("latin-1")) for name, text in headers]}


FORWARDED = st.lists(
    st.text(st.characters(max_codepoint=255, exclude_characters="\r\n")) | st.ip_addresses().map(str), max_size=3
)


@settings(deadline=None)
@given(FORWARDED)
def test_a_stranger_may_write_what_they_like(forwarded: list[str]) -> None:
    for told in (forwarded, [*forwarded, "198.51.100.9"]):
        assert client_network(scope(("192.0.2.7", 4711), *told), TRUSTED) == "192.0.2.7"
        by_fly = headed(("192.0.2.7", 4711), *(("fly-client-ip", text) for text in told))
        assert client_network(by_fly, FLY) == "192.0.2.7"
        assert client_network(scope(("10.1.2.3", 4711), *told), Proxies()) == "10.1.2.3"


@settings(deadline=None)
@given(st.lists(st.text(st.characters(max_codepoint=255, exclude_characters="\r\n,")), max_size=3))
def test_only_the_last_hop_of_a_trusted_proxy_counts(before: list[str]) -> None:
    assert client_network(scope(("10.1.2.3", 4711), *before, "198.51.100.9"), TRUSTED) == "198.51.100.9"
    assert client_network(scope(("fd00::1", 4711), ",".join([*before, "198.51.100.9"])), TRUSTED) == "198.51.100.9"


@settings(deadline=None)
@given(st.lists(st.text(st.characters(max_codepoint=255, exclude_characters="\r\n,")), max_size=3))
def test_entries_are_counted_from_the_end_by_the_number_of_proxies(before: list[str]) -> None:
    """The client writes what stands before; each proxy appends who is connected to it."""
    hops = [*before, "198.51.100.9", "10.7.7.7", "10.8.8.8"]
    assert client_network(scope(("10.1.2.3", 4711), *hops), proxies(trusted_hops=3)) == "198.51.100.9"
    assert client_network(scope(("10.1.2.3", 4711), ",".join(hops)), proxies(trusted_hops=3)) == "198.51.100.9"
    assert client_network(scope(("10.1.2.3", 4711), "198.51.100.9"), proxies(trusted_hops=2)) == "10.1.2.3"


@settings(deadline=None)
@given(FORWARDED)
def test_the_configured_header_is_the_only_one_that_counts(forwarded: list[str]) -> None:
    noise = [("x-forwarded-for", text) for text in forwarded] + [("forwarded", "for=198.51.100.1")]
    named = headed(("10.1.2.3", 4711), *noise, ("fly-client-ip", "198.51.100.9"))
    assert client_network(named, FLY) == "198.51.100.9"
    assert client_network(headed(("10.1.2.3", 4711), *noise), FLY) == "10.1.2.3"
    twice = headed(("10.1.2.3", 4711), ("fly-client-ip", "198.51.100.9"), ("fly-client-ip", "198.51.100.8"))
    assert client_network(twice, FLY) == "10.1.2.3"


def test_networks_are_one_ipv4_address_or_one_ipv6_subnet() -> None:
    assert client_network(scope(("2001:db8:1:2:3::4", 1)), Proxies()) == "2001:db8:1:2::/64"
    assert client_network(scope(("::ffff:192.0.2.7", 1)), Proxies()) == "192.0.2.7"
    assert client_network(scope(("10.1.2.3", 1), "nonsense"), TRUSTED) == "10.1.2.3"
    assert client_network(scope(None), TRUSTED) == UNKNOWN
    assert client_network(scope(("192.0.2.7", 0), "192.0.2.7"), TRUSTED) == UNKNOWN  # rewritten before us


def test_the_setting_refuses_what_is_no_network() -> None:
    with pytest.raises(ValueError, match="CHEERFUL_TRUSTED_PROXIES"):
        Settings(trusted_proxies="10.0.0.0/8,everywhere")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"client_address_header": "Fly-Client-IP"}, "Fly-Client-IP needs CHEERFUL_TRUSTED_PROXIES"),
        ({"trusted_proxies": NETWORKS}, "CHEERFUL_TRUSTED_PROXIES needs CHEERFUL_CLIENT_ADDRESS_HEADER"),
        ({"trusted_proxies": NETWORKS, "client_address_header": "None"}, "needs CHEERFUL_CLIENT_ADDRESS_HEADER"),
        ({"trusted_proxies": NETWORKS, "client_address_header": "Forwarded"}, "not a header that holds an address"),
        ({"trusted_proxies": NETWORKS, "client_address_header": "X Real: IP"}, "not a header that holds an address"),
    ],
)
def test_header_and_proxies_are_refused_one_without_the_other(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Settings(**given)


def test_production_with_a_public_address_must_choose() -> None:
    def is_chosen(url: str, header: str | None = None) -> bool:
        return Settings(web_url=url, client_address_header=header).names_client_addresses

    assert not is_chosen("https://cheerful.example")
    assert not is_chosen("https://cheerful.example", " ")
    assert is_chosen("https://cheerful.example", "none")
    assert is_chosen("https://localhost")
    assert proxies("X-Real-IP").header == "x-real-ip"


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
