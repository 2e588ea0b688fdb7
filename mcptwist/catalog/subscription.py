"""One ``subscriptions/listen`` of a client, heard from many servers.

Each server is asked to listen for what the client wants to hear. The client is told once what it
may expect, when the servers have said so or have had time to; what they say after that reaches it
under its own subscription id. A server that goes is asked again later.

MCP 2026-07-28, *Subscriptions*.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw
from zope.interface import implementer

from mcptwist.awaited import Refused
from mcptwist.catalog.listings import (
    UNAVAILABLE_KEY,
    Listing,
    Trouble,
    none_available,
    trouble,
    unavailable,
)
from mcptwist.errors import (
    Draining,
    EraMismatch,
    InvalidMessage,
    InvalidParams,
    MethodNotFound,
)
from mcptwist.exchange import LISTEN, SUBSCRIPTION_ID, Exchange
from mcptwist.interfaces import IReply, ISource
from mcptwist.messages import (
    Answer,
    Json,
    Notification,
    Request,
    Result,
    encode_json,
    id_text,
    open_fields,
)

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

ACKNOWLEDGED = "notifications/subscriptions/acknowledged"
_CHANGES = {
    "toolsListChanged": "notifications/tools/list_changed",
    "promptsListChanged": "notifications/prompts/list_changed",
    "resourcesListChanged": "notifications/resources/list_changed",
}
_UPDATED = "notifications/resources/updated"
_ENDED = Trouble("ended", "it ended the stream")
_FINAL = (EraMismatch.code, MethodNotFound.code, Draining.code)


class Wanted(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a client wants to hear of, or what a server will tell."""

    toolsListChanged: bool = False
    promptsListChanged: bool = False
    resourcesListChanged: bool = False
    resourceSubscriptions: list[str] = []

    def joined(self, other: Wanted) -> Wanted:
        """What either tells."""
        return Wanted(
            self.toolsListChanged or other.toolsListChanged,
            self.promptsListChanged or other.promptsListChanged,
            self.resourcesListChanged or other.resourcesListChanged,
            list(dict.fromkeys((*self.resourceSubscriptions, *other.resourceSubscriptions))),
        )

    def of_lists(self) -> list[str]:
        """The notifications that tell of changed lists."""
        return [change for field, change in _CHANGES.items() if getattr(self, field)]


class _Params(msgspec.Struct, frozen=True):
    notifications: Wanted


_params = msgspec.json.Decoder(_Params)


def read_wanted(params: Json) -> Wanted:
    """What a ``subscriptions/listen`` asks for.

    :raises InvalidParams: it is not as it must be.
    """
    try:
        return _params.decode(params or b"{}").notifications
    except (msgspec.DecodeError, RecursionError) as problem:
        raise InvalidParams(f"subscriptions/listen: {problem}") from None


class Patiences(msgspec.Struct, frozen=True):
    """How long a subscription waits.

    :ivar acknowledgement: seconds for servers to say what they will tell.
    :ivar rejoin: seconds until a server that went is asked again; doubled each time.
    :ivar rejoin_most: seconds that are never exceeded by that.
    """

    acknowledgement: float = 5.0
    rejoin: float = 5.0
    rejoin_most: float = 300.0


@implementer(ISource)
class Subscription:
    """A client's ``subscriptions/listen``, until it is cancelled or every server has gone for good.

    :param exchange: the client's.
    :param wanted: of each server, what it is to be asked for.
    :param put: puts an exchange to a server.
    :param told: hears, before the client does, that a server's list has changed.
    :param rests: whether a server would have to be started. It is not started only to be heard
        of its lists: whoever follows it says ``woken`` and ``changed``.
    :param public: what the client knows a server's resource as.
    """

    _HELD = 256

    def __init__(
        self,
        exchange: Exchange,
        wanted: Mapping[str, Wanted],
        put: Callable[[str, Exchange], None],
        told: Callable[[str, str], None],
        clock: IReactorTime,
        patience: Patiences,
        rests: Callable[[str], bool] = lambda server: False,
        public: Callable[[str, str], str] = lambda server, uri: uri,
    ) -> None:
        self._exchange = exchange
        self._wanted = dict(wanted)
        self._put = put
        self._told = told
        self._clock = clock
        self._patience = patience
        self._rests = rests
        self._public = public
        self._silent = set(wanted)
        self._resting: set[str] = set()
        self._open: dict[str, Exchange] = {}
        self._failed: dict[str, Listing] = {}
        self._tries = dict.fromkeys(wanted, 0)
        self._granted = Wanted()
        self._rested: set[str] = set()
        self._acknowledged = False
        self._held: list[Notification] = []
        self._timers: dict[str, IDelayedCall] = {}

    def start(self) -> None:
        """Ask every server, and wait."""
        self._exchange.in_charge(self._cancel)
        self._exchange.source = self
        self._timers[""] = self._clock.callLater(self._patience.acknowledgement, self._acknowledge)
        for server in self._wanted:
            self._join(server)
        if not self._wanted:
            self._acknowledge()

    @property
    def over(self) -> bool:
        """Whether nobody listens any more."""
        return self._exchange.over

    def woken(self, server: str) -> None:
        """A server that was resting runs: listen to it."""
        if server in self._resting and not self._exchange.over:
            self._resting.discard(server)
            self._join(server)

    def changed(self, server: str, change: str, silently: bool = True) -> None:
        """*server*'s list is another than the client may have.

        :param silently: whether the server does not say so itself where it is listened to.
        """
        wanted = self._wanted.get(server)
        if server in self._open and not silently:
            return
        if wanted is not None and change in wanted.of_lists():
            self._say(Notification(change, encode_json({"_meta": self._tag()})))

    def admit(self, server: str) -> None:
        """One more server: listen for changes of its lists, if the client wants such."""
        asked = read_wanted(self._exchange.request.params)
        wanted = msgspec.structs.replace(asked, resourceSubscriptions=[])
        if wanted == Wanted() or self._exchange.over:
            return
        self._wanted[server] = wanted
        self._tries[server] = 0
        self._rested.add(server)  # what it has is told by `announce`, with all else that is new
        self._join(server)

    def dismiss(self, server: str) -> None:
        """One server less: nothing is heard of it any more."""
        if self._wanted.pop(server, None) is None or self._exchange.over:
            return
        timer = self._timers.pop(server, None)
        if timer is not None:
            timer.cancel()
        listening = self._open.pop(server, None)
        if listening is not None:
            listening.cancel(f"{server} is taken out of the configuration")
        self._failed.pop(server, None)
        self._resting.discard(server)
        self._settled(server)

    def announce(self) -> None:
        """There are other servers: every list is another than the client may have."""
        if not self._exchange.over:
            for change in read_wanted(self._exchange.request.params).of_lists():
                self._say(Notification(change, encode_json({"_meta": self._tag()})))

    def _tag(self) -> dict[str, Any]:
        return {SUBSCRIPTION_ID: Raw(id_text(self._exchange.request.id))}

    def _join(self, server: str) -> None:
        self._timers.pop(server, None)
        if self._rests(server) and not self._wanted[server].resourceSubscriptions:
            self._let_rest(server)
            return
        fields = open_fields(self._exchange.request.params)
        fields["notifications"] = Raw(encode_json(self._wanted[server]))
        # Under the client's own id, which is thus the subscription id of all that is heard.
        request = Request(self._exchange.request.id, LISTEN, encode_json(fields))
        listening = Exchange(request, _Ear(self, server), self._exchange.stay)
        self._open[server] = listening
        self._put(server, listening)

    def _let_rest(self, server: str) -> None:
        self._resting.add(server)
        self._rested.add(server)
        self._failed.pop(server, None)
        self._granted = self._granted.joined(self._wanted[server])
        self._settled(server)

    # --- what servers say -------------------------------------------------------------

    def heard(self, server: str, notification: Notification) -> None:
        """*server* said something on its stream."""
        if notification.method == ACKNOWLEDGED:
            self._granted_by(server, notification)
            return
        if notification.method in _CHANGES.values():
            self._told(server, notification.method)
        elif notification.method == _UPDATED:
            notification = self._located(server, notification)
        self._say(notification)

    def _located(self, server: str, notification: Notification) -> Notification:
        """An update under the URI that the client knows."""
        try:
            fields = open_fields(notification.params)
            uri = msgspec.json.decode(fields["uri"], type=str)
        except (KeyError, InvalidMessage, msgspec.DecodeError):
            return notification
        if (public := self._public(server, uri)) == uri:
            return notification
        fields["uri"] = Raw(encode_json(public))
        return Notification(notification.method, encode_json(fields))

    def _say(self, notification: Notification) -> None:
        if self._acknowledged:
            self._exchange.notify(notification)
        elif len(self._held) < self._HELD:
            self._held.append(notification)

    def _granted_by(self, server: str, notification: Notification) -> None:
        try:
            granted = read_wanted(notification.params)
        except InvalidParams:
            granted = self._wanted[server]
        located = [self._public(server, uri) for uri in granted.resourceSubscriptions]
        granted = msgspec.structs.replace(granted, resourceSubscriptions=located)
        self._tries[server] = 0
        self._failed.pop(server, None)
        if server in self._rested:
            self._rested.discard(server)
        elif self._acknowledged:
            self._changed_meanwhile(server, granted)
        else:
            self._granted = self._granted.joined(granted)
            self._settled(server)

    def _changed_meanwhile(self, server: str, granted: Wanted) -> None:
        """A server that could not be heard for a while may have changed anything."""
        meta = encode_json({"_meta": self._tag()})
        for change in granted.of_lists():
            self._told(server, change)
            self._exchange.notify(Notification(change, meta))

    def ended(self, server: str, answer: Answer) -> None:
        """*server* says no more on its stream."""
        self._open.pop(server, None)
        reason = _ENDED if isinstance(answer, Result) else trouble(Refused(answer))
        self._failed[server] = Listing(server, trouble=reason)
        if reason.code in _FINAL:
            self._leave_if_alone()
        else:
            self._rejoin_later(server)
        self._settled(server)

    def _rejoin_later(self, server: str) -> None:
        wait = self._patience.rejoin * 2 ** min(self._tries[server], 16)
        self._tries[server] += 1
        self._timers[server] = self._clock.callLater(
            min(wait, self._patience.rejoin_most), self._join, server
        )

    # --- what the client is told ------------------------------------------------------

    def _settled(self, server: str) -> None:
        self._silent.discard(server)
        if not self._silent and not self._acknowledged:
            self._acknowledge()

    def _acknowledge(self) -> None:
        timer = self._timers.pop("", None)
        if timer is not None and timer.active():
            timer.cancel()
        if not self._open and not self._resting and self._failed:
            self._end()
            self._exchange.fail(none_available(list(self._failed.values())))
            return
        self._acknowledged = True
        meta = self._tag()
        if self._failed:
            meta[UNAVAILABLE_KEY] = unavailable(self._failed.values())
        told = {"_meta": meta, "notifications": self._granted}
        self._exchange.notify(Notification(ACKNOWLEDGED, encode_json(told)))
        held, self._held = self._held, []
        for notification in held:
            self._exchange.notify(notification)

    def _leave_if_alone(self) -> None:
        """End it in good order when no server is left that might say anything."""
        if not self._acknowledged or self._open or self._timers or self._resting:
            return
        self._exchange.succeed({"resultType": "complete", "_meta": self._tag()})

    def hold(self, exchange: Exchange) -> None:
        """The client cannot take more."""
        for listening in list(self._open.values()):
            listening.hold()

    def release(self, exchange: Exchange) -> None:
        """It can again."""
        for listening in list(self._open.values()):
            listening.release()

    # --- its end ----------------------------------------------------------------------

    def _cancel(self, reason: str) -> None:
        for listening in self._end():
            listening.cancel(reason)

    def _end(self) -> Iterable[Exchange]:
        """Wait for nothing more; the exchanges that are still open."""
        timers, self._timers = self._timers, {}
        for timer in timers.values():
            if timer.active():
                timer.cancel()
        listening, self._open = self._open, {}
        return listening.values()


@implementer(IReply)
class _Ear:
    """The reply to one server's part."""

    __slots__ = ("_server", "_subscription")

    def __init__(self, subscription: Subscription, server: str) -> None:
        self._subscription = subscription
        self._server = server

    def notified(self, exchange: Exchange, notification: Notification) -> None:
        """The server said something on its stream."""
        self._subscription.heard(self._server, notification)

    def asked(self, exchange: Exchange, question: Exchange) -> None:
        """Nothing may be asked there."""
        question.fail(MethodNotFound("a subscription takes no questions"))

    def answered(self, exchange: Exchange, answer: Answer) -> None:
        """The server ended the stream, or never began it."""
        self._subscription.ended(self._server, answer)

    def cancelled(self, exchange: Exchange, reason: str) -> None:
        """The client did not want it any more."""
