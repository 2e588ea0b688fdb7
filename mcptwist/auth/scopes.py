"""The scope that each method needs; whether it is there depends on the request. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from mcptwist.auth.authorizedkeys import CALL, READ, SUBSCRIBE
from mcptwist.exchange import LISTEN


class _Scopes(dict[str, str]):
    """The scope that each method needs."""

    def __missing__(self, method: str) -> str:
        return CALL  # what we do not know may change anything


NEEDED: Mapping[str, str] = _Scopes(
    {
        "initialize": READ,
        "ping": READ,
        "server/discover": READ,
        "tools/list": READ,
        "prompts/list": READ,
        "prompts/get": READ,
        "resources/list": READ,
        "resources/templates/list": READ,
        "resources/read": READ,
        "completion/complete": READ,
        "logging/setLevel": READ,
        "tools/call": CALL,
        LISTEN: SUBSCRIBE,
        "resources/subscribe": SUBSCRIBE,
        "resources/unsubscribe": SUBSCRIBE,
    }
)


def scope_of(method: str) -> str:
    """The scope that a request needs. What we do not know may change anything: as a call."""
    return NEEDED[method]
