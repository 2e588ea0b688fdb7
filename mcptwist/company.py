"""Those who listen to one process of a server, and what its own words are to them.

An :class:`Assembly` asks a modern process: strangers, each for one exchange. A
:class:`Crowd` shares a legacy one: members who stay.

MCP 2025-11-25 and 2026-07-28, *Logging*; 2025-11-25, *Resources, Subscriptions*.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec
from twisted.internet.defer import Deferred

from mcptwist.awaited import ask
from mcptwist.errors import EraMismatch, InvalidMessage, MethodNotFound
from mcptwist.exchange import Exchange
from mcptwist.messages import Json, Notification, encode_json, open_fields
from mcptwist.versions import MODERN

if TYPE_CHECKING:
    from mcptwist.backend import Backend
    from mcptwist.eras.modern_as_legacy import Interpreted
    from mcptwist.link import Link

LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
MESSAGE = "notifications/message"
UPDATED = "notifications/resources/updated"


class Company:
    """What those who listen to one process have in common.

    :ivar supervisor: keeps the link to the process up.
    """

    def __init__(self, backend: Backend, opening: Any, restart: bool = True) -> None:
        self.backend = backend
        self.supervisor = backend.supervise(opening, self, restart)

    def admit(self, link: Link, exchange: Exchange) -> None:
        """May it be asked? By default, yes."""

    def up(self, link: Link) -> None:
        """A process is up; by default it needs to be told nothing."""

    def refused(self, exchange: Exchange, problem: EraMismatch) -> None:
        """The server does not speak this process's era: translate, from a legacy client's words."""
        self.backend.legacy_refused(exchange, problem)

    def load(self) -> int:
        """How many exchanges wait for the process."""
        return 0 if self.supervisor.link is None else len(self.supervisor.link)


class Assembly(Company):
    """Those who ask one modern process.

    :ivar interpreted: legacy sessions that are served by it in translation.
    """

    def __init__(self, backend: Backend, opening: Any) -> None:
        self.interpreted: set[Interpreted] = set()
        super().__init__(backend, opening)

    def admit(self, link: Link, exchange: Exchange) -> None:
        """Hold mirrored headers against the tool's schema, where the client's wire has headers."""
        request = exchange.request
        mirror = getattr(exchange.stay, "mirror", None)
        if mirror is None or not link.mirroring or request.method != "tools/call":
            return
        name = text_member(request.params, "name")
        if name in link.mirroring:
            mirror(link.mirroring[name], request.params)

    def up(self, link: Link) -> None:
        """A process is up, for the first time or again: subscribe once more."""
        for session in list(self.interpreted):
            session.listen(link)
        owner = next((each.session for each in self.interpreted if each.owns_process), None)
        self.backend.came_up(link, owner)

    def refused(self, exchange: Exchange, problem: EraMismatch) -> None:
        """The server is legacy: translate, from a modern client's words."""
        self.backend.modern_refused(exchange, problem)

    def told(self, link: Link, notification: Notification) -> None:
        """A log message without an addressee goes to the one who wants any.

        ``notifications/message`` carries nothing to correlate it by (MCP
        2026-07-28, *Logging*), and another's log is nobody's business.
        """
        wanting = [e for e in link.open_exchanges() if getattr(e.stay, "wants_log", False)]
        if notification.method == MESSAGE and len({id(e.stay) for e in wanting}) == 1:
            wanting[-1].notify(notification)
        else:
            self.backend.unattributed += 1

    def questioned(self, link: Link, question: Exchange) -> None:
        """A modern server may not ask."""
        question.fail(MethodNotFound("in revision 2026-07-28 a server asks by input_required"))


class Member:
    """One who shares a legacy process and hears what it says to all.

    :ivar stay: whose exchanges are this member's, if any are.
    :ivar level: the least severe log message wanted; ``None`` for whatever comes.
    :ivar subscriptions: URIs of resources whose updates are wanted.
    """

    stay: Any = None
    level: str | None = None

    def __init__(self) -> None:
        self.subscriptions: set[str] = set()

    def tell(self, notification: Notification) -> None:
        """The process said something that is for this member too."""
        raise NotImplementedError

    def wants(self, level: str | None) -> bool:
        """Whether a log message of that level is wanted."""
        return wants(self.level, level)


class Crowd(Company):
    """Those who share one legacy process.

    It is offered no capability to ask, for a question could not be brought to
    the one it is meant for.
    """

    def __init__(self, backend: Backend, opening: Any) -> None:
        self.members: set[Member] = set()
        super().__init__(backend, opening)

    def __len__(self) -> int:
        return len(self.members)

    def level(self) -> str | None:
        """The least severe level that anybody wants."""
        wanted = [m.level for m in self.members if m.level is not None]
        return min(wanted, key=LEVELS.index) if wanted else None

    def subscriptions(self) -> set[str]:
        """What anybody subscribed to."""
        return {uri for member in self.members for uri in member.subscriptions}

    def leave(self, member: Member) -> None:
        """*member* hears no more; unsubscribe from what nobody else wants."""
        self.members.discard(member)
        link = self.supervisor.link
        # Most subscribe to nothing, and to ask all that stay would take long where many leave.
        if link is None or not member.subscriptions:
            return
        for uri in member.subscriptions - self.subscriptions():
            quietly(ask(link, "resources/unsubscribe", encode_json({"uri": uri})))

    def up(self, link: Link) -> None:
        """Tell a process that was started anew what its predecessor knew."""
        remind(link, self.level(), self.subscriptions())
        self.backend.came_up(link)

    def told(self, link: Link, notification: Notification) -> None:
        """Bring it to those it concerns."""
        if notification.method == MESSAGE:
            self._log_message(link, notification)
        elif notification.method == UPDATED:
            uri = text_member(notification.params, "uri")
            self._tell([m for m in self.members if uri in m.subscriptions], notification)
        else:
            self.backend.changed(notification.method)
            self._tell(list(self.members), notification)

    def questioned(self, link: Link, question: Exchange) -> None:
        """Nobody can tell whom it is meant for, unless only one modern client waits."""
        waiting = [e for e in link.open_exchanges() if e.stay is not None]
        if len(waiting) == 1 and waiting[0].stay.era == MODERN:
            waiting[0].ask(question)
            return
        question.fail(
            MethodNotFound(
                f"{self.backend.name} is shared between clients and was offered no capability "
                'to ask; set its scope to "session"'
            )
        )

    def _log_message(self, link: Link, notification: Notification) -> None:
        """A log message goes to the only one who has a call open, or to all if nobody has."""
        level = text_member(notification.params, "level")
        exchanges = [e for e in link.open_exchanges() if e.stay is not None]
        stays = {id(e.stay) for e in exchanges}
        if len(stays) > 1:
            self.backend.unattributed += 1
            return
        if exchanges and exchanges[-1].stay.era == MODERN:
            if wants_log(exchanges[-1].stay, level):
                exchanges[-1].notify(notification)
            return
        hearers = [m for m in self.members if m.wants(level)]
        self._tell([m for m in hearers if not stays or id(m.stay) in stays], notification)

    def _tell(self, members: list[Member], notification: Notification) -> None:
        for member in members:
            member.tell(notification)


def remind(link: Link, level: str | None, subscriptions: Iterable[str]) -> None:
    """Tell a legacy process what is wanted of it."""
    if level is not None:
        quietly(ask(link, "logging/setLevel", encode_json({"level": level})))
    for uri in subscriptions:
        quietly(ask(link, "resources/subscribe", encode_json({"uri": uri})))


def quietly(answer: Deferred[Json]) -> None:
    """What is only a courtesy to the server may fail."""
    answer.addErrback(lambda _: None)


def wants_log(stay: Any, level: str | None) -> bool:
    """Whether a modern client asked for log messages of *level* with its request."""
    return stay.log_level is not None and wants(stay.log_level, level)


def wants(least: str | None, level: str | None) -> bool:
    """Whether one who wants log messages from *least* on wants one of *level*.

    Unknown levels are wanted: better one too many than one too few.
    """
    if least not in LEVELS or level not in LEVELS:
        return True
    return LEVELS.index(level) >= LEVELS.index(least)


def text_member(params: Json, name: str) -> str | None:
    """A member of params that is a string, opened; ``None`` if there is none."""
    try:
        raw = open_fields(params).get(name)
        value = None if raw is None else msgspec.json.decode(raw)
    except (InvalidMessage, msgspec.DecodeError):
        return None
    return value if isinstance(value, str) else None
