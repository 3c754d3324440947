"""Where a request comes from. Pure.

X-Forwarded-For is what anybody writes into it. Only the last hop is believed, and only if a proxy of ours wrote it:
one whose own address is in CHEERFUL_TRUSTED_PROXIES.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from cheerful_pipelines.settings import Settings

Network = IPv4Network | IPv6Network
UNKNOWN = "unknown"


def trusted_networks(settings: Settings) -> tuple[Network, ...]:
    """The proxies of the setting, which validated them."""
    return tuple(ip_network(text) for text in settings.trusted_proxy_networks)


def client_network(scope: Any, trusted: Sequence[Network]) -> str:
    """The client's network as text: one IPv4 address or one IPv6 /64; UNKNOWN if the server does not tell.

    >>> client_network({"client": ("192.0.2.7", 4711), "headers": []}, ())
    '192.0.2.7'
    """
    peer = _peer(scope)
    if peer is None:
        return UNKNOWN
    if any(peer in network for network in trusted if network.version == peer.version):
        hops = ",".join(Headers(scope=scope).getlist("x-forwarded-for")).rpartition(",")
        peer = _address(hops[2]) or peer
    return str(peer) if peer.version == 4 else str(ip_network((peer, 64), strict=False))


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
