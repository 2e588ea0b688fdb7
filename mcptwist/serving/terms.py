"""On what terms a client of a server in Python asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw

from mcptwist.messages import Json


class Terms(msgspec.Struct, frozen=True):
    """What holds for one request: agreed by handshake, or said in its ``_meta``.

    What the client says of itself is opened only when somebody looks.

    :ivar revision: of the protocol.
    :ivar declared: the capabilities that the client declared, as JSON.
    :ivar described: who it says it is, as JSON.
    :ivar log_level: the least severe log message it wants, ``None`` for none.
    :ivar token: the progress token it gave.
    :ivar meta: the request's ``_meta``.
    """

    revision: str
    modern: bool
    declared: Json = b"{}"
    described: Json = b"{}"
    log_level: str | None = None
    token: int | str | None = None
    meta: Mapping[str, Raw] = {}

    @property
    def capabilities(self) -> dict[str, Any]:
        """What the client declared it can do."""
        return _opened(self.declared)

    @property
    def client(self) -> dict[str, Any]:
        """Who the client says it is; empty when it does not say."""
        return _opened(self.described)

    def can(self, capability: str, part: str | None = None) -> bool:
        """Whether the client declared a capability, and that part of it.

        An empty ``elicitation`` means forms (MCP 2026-07-28, *Elicitation, Capabilities*).
        """
        declared = self.capabilities.get(capability)
        if not isinstance(declared, Mapping):
            return False
        if part is None or part in declared:
            return True
        return (capability, part) == ("elicitation", "form") and "url" not in declared


def _opened(json: Json) -> dict[str, Any]:
    """What a far end says of itself; nothing where that is not an object."""
    try:
        opened: dict[str, Any] = msgspec.json.decode(json, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        return {}
    return opened
