"""A modern client's subscription to a legacy server.

MCP 2026-07-28, *Subscriptions*; 2025-11-25, *Resources, Subscriptions*.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec import Raw

from mcptwist.catalog.subscription import ACKNOWLEDGED, Wanted
from mcptwist.company import Crowd, Member, quietly, text_member
from mcptwist.exchange import SUBSCRIPTION_ID, Exchange, ask
from mcptwist.messages import Json, Notification, encode_json, open_fields

if TYPE_CHECKING:
    from mcptwist.link import Link


class Listening(Member):
    """A modern client's subscription to a legacy server: a member of the crowd that only hears.

    :param told_over: told when it has ended.
    """

    def __init__(
        self,
        exchange: Exchange,
        wanted: Wanted,
        crowd: Crowd,
        told_over: Callable[[Listening], None],
    ) -> None:
        super().__init__()
        self._exchange = exchange
        self._wanted = wanted
        self._crowd = crowd
        self._told_over = told_over
        self._changes: set[str] = set()

    def begin(self, link: Link) -> None:
        """Say what will be told, and listen for it."""
        honoured = _honoured(self._wanted, link.welcome)
        self._changes = set(honoured.of_lists())
        self._exchange.in_charge(lambda _: self._leave())
        self._say(ACKNOWLEDGED, {"notifications": honoured})
        new = set(honoured.resourceSubscriptions) - self._crowd.subscriptions()
        self.subscriptions.update(honoured.resourceSubscriptions)
        self._crowd.members.add(self)
        for uri in new:
            quietly(ask(link, "resources/subscribe", encode_json({"uri": uri})))

    def tell(self, notification: Notification) -> None:
        """Pass on what was subscribed to."""
        subscribed = text_member(notification.params, "uri") in self.subscriptions
        if notification.method in self._changes or subscribed:
            self._say(notification.method, open_fields(notification.params))

    def wants(self, level: str | None) -> bool:
        """Log messages are not for subscriptions (MCP 2026-07-28, *Logging*)."""
        return False

    def end(self) -> None:
        """End it in good order."""
        meta = {SUBSCRIPTION_ID: self._exchange.request.id}
        self._leave()
        self._exchange.succeed({"resultType": "complete", "_meta": meta})

    def _say(self, method: str, params: dict[str, Any]) -> None:
        meta: dict[str, Any] = dict(open_fields(params.get("_meta", b"")))
        meta[SUBSCRIPTION_ID] = self._exchange.request.id
        self._exchange.notify(Notification(method, encode_json({**params, "_meta": meta})))

    def _leave(self) -> None:
        self._crowd.leave(self)
        self._told_over(self)


def _honoured(wanted: Wanted, welcome: Json) -> Wanted:
    """What of it a server with these capabilities will tell."""
    capabilities = open_fields(open_fields(welcome).get("capabilities", b""))

    def can(feature: str, what: str) -> bool:
        return open_fields(capabilities.get(feature, b"")).get(what) == Raw(b"true")

    return Wanted(
        wanted.toolsListChanged and can("tools", "listChanged"),
        wanted.promptsListChanged and can("prompts", "listChanged"),
        wanted.resourcesListChanged and can("resources", "listChanged"),
        wanted.resourceSubscriptions if can("resources", "subscribe") else [],
    )
