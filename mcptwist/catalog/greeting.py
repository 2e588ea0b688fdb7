"""How all servers as one greet whoever comes, without waking anybody up.

MCP 2025-11-25, *Lifecycle*; 2026-07-28, *Discovery*.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Raw

from mcptwist.catalog.inventory import Inventory
from mcptwist.eras.revisions import revised
from mcptwist.exchange import Exchange
from mcptwist.messages import encode_json
from mcptwist.negotiation import SERVER_KEY, agree, read_hello
from mcptwist.versions import MODERN_REVISIONS

if TYPE_CHECKING:
    pass


_WORDS = 32_768
"""Characters of what all servers say of themselves."""

_CHANGING: dict[str, Any] = {"listChanged": True}
CAPABILITIES: Mapping[str, Any] = {
    "tools": _CHANGING,
    "prompts": _CHANGING,
    "resources": {**_CHANGING, "subscribe": True},
    "logging": {},
    "completions": {},
}
"""What the servers together may be capable of; which of it they are is seen when they are asked."""


class Greeting:
    """Answers the first words of clients.

    :param inventories: what is known of each server, by name.
    :param identity: name and version of the daemon.
    """

    def __init__(self, inventories: Mapping[str, Inventory], identity: Mapping[str, str]) -> None:
        self._inventories = inventories
        self._identity = dict(identity)

    def welcome(self, exchange: Exchange) -> None:
        """Answer ``initialize`` without waking anybody up."""
        stay = exchange.stay
        stay.revision = agree(read_hello(exchange.request.params).protocolVersion)
        exchange.succeed(
            {
                "protocolVersion": stay.revision,
                "capabilities": Raw(
                    revised("ServerCapabilities", encode_json(CAPABILITIES), stay.revision)
                ),
                "serverInfo": self._identity,
                "instructions": self._instructions(),
            }
        )

    def _instructions(self) -> str:
        """What the house says of itself, and what is known of what servers say of themselves."""
        words = [
            "Several MCP servers in one. The tools and prompts of each begin with its name and "
            f"two underscores. The servers: {', '.join(self._inventories)}."
        ]
        room = _WORDS
        for name in self._inventories:
            said = self._inventories[name].words.strip()
            room -= len(said)
            if said and room > 0:
                words.append(f"{name}: {said}")
        return "\n\n".join(words)

    def discovery(self, exchange: Exchange) -> None:
        """Answer ``server/discover`` without waking anybody up."""
        exchange.succeed(
            {
                "resultType": "complete",
                "supportedVersions": list(MODERN_REVISIONS),
                "capabilities": CAPABILITIES,
                "instructions": self._instructions(),
                "ttlMs": 0,
                "cacheScope": "private",
                "_meta": {SERVER_KEY: self._identity},
            }
        )
