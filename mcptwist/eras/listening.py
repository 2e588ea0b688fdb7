"""A modern client's subscription to a legacy server.

MCP 2026-07-28, *Subscriptions*; 2025-11-25, *Resources, Subscriptions*.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw
from twisted.internet.defer import Deferred, DeferredList

from mcptwist.awaited import ask
from mcptwist.catalog.subscription import ACKNOWLEDGED, Wanted
from mcptwist.company import Crowd, Member, quietly, text_member
from mcptwist.exchange import SUBSCRIPTION_ID, Exchange
from mcptwist.messages import Json, Notification, encode_json, open_fields

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from mcptwist.link import Link

_GRANTED_WITHIN = 5.0
"""Seconds after which a subscription is acknowledged without what was not granted yet."""

_EARLY = 1000
"""What is kept of what is said before a subscription is acknowledged."""


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
        self._early: list[Notification] | None = []

    def begin(self, link: Link, clock: IReactorTime) -> None:
        """Ask for what is wanted, say which of it will be told, and listen for it.

        :param clock: a server that is slow to grant a subscription is not waited for.
        """
        honoured = _honoured(self._wanted, link.welcome)
        self._changes = set(honoured.of_lists())
        self._exchange.in_charge(lambda _: self._leave())
        there = self._crowd.subscriptions()
        self._crowd.members.add(self)
        self.subscriptions |= there.intersection(honoured.resourceSubscriptions)
        new = [uri for uri in honoured.resourceSubscriptions if uri not in there]
        waiting = DeferredList([self._subscribe(link, uri) for uri in new])
        late = clock.callLater(_GRANTED_WITHIN, self._acknowledge, honoured)

        def granted(_: object) -> None:
            if late.active():
                late.cancel()
                self._acknowledge(honoured)

        waiting.addCallback(granted)

    def _subscribe(self, link: Link, uri: str) -> Deferred[None]:
        """Have the server tell of a resource."""

        def accepted(_: Json) -> None:
            if self._early is None or self._exchange.over:  # too late
                if uri not in self._crowd.subscriptions():
                    quietly(ask(link, "resources/unsubscribe", encode_json({"uri": uri})))
            else:
                self.subscriptions.add(uri)

        asking = ask(link, "resources/subscribe", encode_json({"uri": uri}))
        return asking.addCallbacks(accepted, lambda _: None)

    def _acknowledge(self, honoured: Wanted) -> None:
        """Say what will be told, and then what was told meanwhile."""
        early, self._early = self._early or [], None
        uris = [uri for uri in honoured.resourceSubscriptions if uri in self.subscriptions]
        granted = msgspec.structs.replace(honoured, resourceSubscriptions=uris)
        self._say(ACKNOWLEDGED, {"notifications": granted})
        for notification in early:
            self.tell(notification)

    def tell(self, notification: Notification) -> None:
        """Pass on what was subscribed to."""
        subscribed = text_member(notification.params, "uri") in self.subscriptions
        if notification.method not in self._changes and not subscribed:
            return
        if self._early is None:
            self._say(notification.method, open_fields(notification.params))
        elif len(self._early) < _EARLY:
            self._early.append(notification)

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
