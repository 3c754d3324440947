"""Sessions of `requests` whose connections can be ended at a deadline (deadlines.py). No Google library here."""

from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from cheerful_pipelines.google.deadlines import WatchedConnection


class _Plain(WatchedConnection, HTTPConnection):
    """http, for the local server and proxies."""


class _Encrypted(WatchedConnection, HTTPSConnection):
    """https."""


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _EncryptedPool(HTTPSConnectionPool):
    ConnectionCls = _Encrypted


_POOLS: dict[str, Any] = {"http": _PlainPool, "https": _EncryptedPool}


class WatchedAdapter(HTTPAdapter):
    """requests' own adapter with watched connections, through a proxy as well."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """As HTTPAdapter's own."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """As HTTPAdapter's own."""
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager


def watched(session: requests.Session) -> requests.Session:
    """The session, with every connection watched from now on."""
    for scheme in ("http://", "https://"):
        session.mount(scheme, WatchedAdapter())
    return session
