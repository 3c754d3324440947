"""Where a request comes from. Pure.

A header is what anybody writes into it. So one alone is believed, which CHEERFUL_CLIENT_ADDRESS_HEADER names, and only
if a proxy of ours sent it: one whose own address is in CHEERFUL_TRUSTED_PROXIES. Proxies append to X-Forwarded-For, and
what the client wrote stays in front: its entries are counted from the end, as many as there are proxies of ours. Fly's
own proxy appends its address behind the client's, which is why Fly-Client-IP is the header there.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from cheerful_pipelines.core.settings import Settings

Network = IPv4Network | IPv6Network
UNKNOWN = "unknown"


class Proxies(NamedTuple):
    """The proxies in front of us, and how they name the client. Without a network nobody is believed."""

    networks: Sequence[Network] = ()
    header: str = ""
    hops: int = 1
    """Of X-Forwarded-For: how many proxies append to it."""


def trusted_proxies(settings: Settings) -> Proxies:
    """The proxies of the settings, which validated them."""
    networks = tuple(ip_network(text) for text in settings.trusted_proxy_networks)
    return Proxies(networks, (settings.client_address_header or "").lower(), settings.trusted_hops)


def client_network(scope: Any, proxies: Proxies) -> str:
    """The client's network as text: one IPv4 address or one IPv6 /64; UNKNOWN if the server does not tell.

    A proxy that names no address that can be read counts as the client itself.

    >>> client_network({"client": ("192.0.2.7", 4711), "headers": []}, Proxies())
    '192.0.2.7'
    """
    peer = _peer(scope)
    if peer is None:
        return UNKNOWN
    if any(peer in network for network in proxies.networks if network.version == peer.version):
        peer = _named(Headers(scope=scope), proxies) or peer
    return str(peer) if peer.version == 4 else str(ip_network((peer, 64), strict=False))


def _named(headers: Headers, proxies: Proxies) -> IPv4Address | IPv6Address | None:
    """The address that our proxies name. Every other header than X-Forwarded-For holds one, or is not theirs."""
    entries = ",".join(headers.getlist(proxies.header)).split(",")
    if proxies.header == "x-forwarded-for":
        return _address(entries[-proxies.hops]) if len(entries) >= proxies.hops else None
    return _address(entries[0]) if len(entries) == 1 else None


def _peer(scope: Any) -> IPv4Address | IPv6Address | None:
    """Who is connected. Port 0: a layer before us replaced the address by what a header says; that is not believed."""
    client = scope.get("client")
    return _address(client[0]) if client and client[1] else None


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(text.strip())
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found


def is_own_origin(headers: Headers) -> bool:
    """Whether a page of ours sent it: browsers name the origin with everything that is no plain reading."""
    try:
        origin = urlsplit(headers.get("origin", "")).netloc
    except ValueError:
        return False
    return origin != "" and origin == headers.get("host")


def local_path(target: str) -> str:
    """Where to go after signing in: a path of ours, whatever somebody wrote into the link.

    >>> [local_path(one) for one in ("/runs?x=1", "//evil.example/x", "https://evil.example", "/\\\\evil", "//[")]
    ['/runs?x=1', '/', '/', '/', '/']
    """
    if not target.startswith("/") or target.startswith("//"):
        return "/"
    try:
        parts = urlsplit(target)
    except ValueError:
        return "/"
    is_local = not parts.netloc and not parts.scheme
    return target if is_local and target.isprintable() and "\\" not in target else "/"
