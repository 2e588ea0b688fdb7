"""The console's line to the daemon: what is asked of it, and what it tells.

It connects again as often as it takes, so a console may be older than the daemon it
looks at, or outlive it. Everything it hears goes into the :class:`~mcptwist.console.model.World`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcptwist.awaited import Refused
from mcptwist.client import Client, ToolResult
from mcptwist.console.model import CONNECTED, STRANGE, Offer, World
from mcptwist.errors import McpTwistError
from mcptwist.messages import Notification
from mcptwist.watching.builtin import APPROVALS, AUDIT, KEYS, LOG, STATUS
from mcptwist.watching.events import EVENTS, Events
from mcptwist.watching.journal import Line
from mcptwist.watching.reports import Bans, Connections, KeyStatus, Logins, Sessions, WaitingStatus
from mcptwist.watching.status import FORMAT, ServerStatus, Status

_Kind = TypeVar("_Kind")

FIRST_WAIT, LONGEST_WAIT = 0.5, 5.0
SLOWEST, FASTEST = 60.0, 0.2
_LISTS = (
    ("tools/list", "tools", "tool"),
    ("resources/list", "resources", "resource"),
    ("resources/templates/list", "resourceTemplates", "template"),
    ("prompts/list", "prompts", "prompt"),
)
_PAGES = 20
_TRAFFIC = 0.3
"""Seconds between two tellings of what passed; each has a bound, so this bounds what is made."""

Connect = Callable[[], Deferred[Client]]


class _Version(msgspec.Struct):
    format: int = 0
    version: str = "?"


class _Said(msgspec.Struct):
    message: str = ""
    meta: dict[str, msgspec.Raw] = msgspec.field(default_factory=dict, name="_meta")


class Feed:
    """Keeps a world up to date.

    :param connect: makes a new client of the daemon's own server.
    :param changed: called when the world is not as it was.
    :ivar interval: seconds between two pictures of the daemon.
    :ivar told: called with what a person should know.
    :ivar connections: which are asked for first: the arguments of the tool of that name.
    """

    log = Logger()

    def __init__(
        self,
        connect: Connect,
        clock: IReactorTime,
        world: World,
        changed: Callable[[], None] = lambda: None,
        interval: float = 1.0,
    ) -> None:
        self.interval = interval
        self.told: Callable[[str], None] = lambda why: None
        self.connections: dict[str, Any] = {}
        self._connect = connect
        self._clock = clock
        self._world = world
        self._changed = changed
        self._client: Client | None = None
        self._wanted: frozenset[str] = frozenset()
        self._filter = ""
        self._life: Deferred[None] | None = None
        self._watches: dict[str, Deferred[Any]] = {}
        self._pause: Deferred[None] | None = None
        self._hurry: IDelayedCall | None = None

    # --- its life ---------------------------------------------------------------------

    def start(self) -> None:
        """Connect, and stay connected."""
        self._life = Deferred.fromCoroutine(self._live())
        self._life.addErrback(self._died)

    def stop(self) -> Deferred[None]:
        """Leave; fires when nothing of the connection is left."""
        life, self._life = self._life, None
        if life is not None:
            life.cancel()
        if self._hurry is not None:
            self._hurry.cancel()
            self._hurry = None
        return Deferred.fromCoroutine(self._leave())

    async def _live(self) -> None:
        wait = FIRST_WAIT
        while True:
            try:
                self._client = await self._connect()
                self._world.connected()
                wait = FIRST_WAIT
                self._changed()
                await self._look_for_ever()
            except (McpTwistError, Refused) as problem:
                self._lost(_why(problem))
            await self._leave()
            await deferLater(self._clock, wait)
            wait = min(LONGEST_WAIT, wait * 2)

    async def _look_for_ever(self) -> None:
        self._watch("base", ["servers", "log", "audit"])
        await self._read_lines()
        while True:
            await self._look()
            self._changed()
            if "base" not in self._watches:
                raise NotConnected("the daemon closed the connection")
            self._pause = deferLater(self._clock, self.interval)
            try:
                await self._pause
            except CancelledError:
                if self._life is None:
                    raise
            finally:
                self._pause = None

    async def _leave(self) -> None:
        for watch in list(self._watches.values()):
            watch.cancel()
        self._watches.clear()
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def _lost(self, why: str) -> None:
        if self._world.link.state != STRANGE:
            self._world.lost(why)
        self._changed()

    def _died(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self.log.failure("the console's line broke", failure)
            self._lost(failure.getErrorMessage())

    # --- pictures ---------------------------------------------------------------------

    async def _look(self) -> None:
        text = await self._read(STATUS)
        version = msgspec.json.decode(text, type=_Version)
        if version.format != FORMAT:
            self._world.strange(version.version, version.format)
            return
        if self._world.link.state == STRANGE:
            self._world.link.state = CONNECTED
        self._world.saw(msgspec.json.decode(text, type=Status))
        self._world.seen = self._clock.seconds()
        for wanted in sorted(self._wanted):
            await self._look_at(wanted)

    async def _look_at(self, wanted: str) -> None:
        world = self._world
        if wanted == "connections":
            found = await self._structured("connections", self.connections, Connections)
            world.saw_connections(found.connections, found.total, self._clock.seconds())
        elif wanted == "sessions":
            held = await self._structured("sessions", {}, Sessions)
            world.saw_sessions(held.sessions, held.total)
        elif wanted == "bans":
            bans = await self._structured("bans", {}, Bans)
            world.saw_bans(bans.hosts)
        elif wanted == "keys":
            keys = await self._told(KEYS, KeyStatus)
            world.saw_keys(keys, await self._told(APPROVALS, WaitingStatus) or ())
        elif wanted == "logins":
            await self._look_at_logins()
        elif wanted.startswith("server "):
            name = wanted.removeprefix("server ")
            try:
                text = await self._read(f"mcptwist://servers/{name}")
            except Refused:
                return  # it is gone, or was never there
            world.saw_server(msgspec.json.decode(text, type=ServerStatus))

    async def _look_at_logins(self) -> None:
        try:
            logins = await self._structured("logins", {}, Logins)
        except Refused:
            return  # nobody logs in where there are no keys
        self._world.saw_logins(logins.logins, logins.total)

    async def _told(self, uri: str, kind: type[_Kind]) -> list[_Kind] | None:
        """A list that not every daemon has; ``None`` where it has not."""
        try:
            text = await self._read(uri)
        except Refused:
            return None
        return msgspec.json.decode(text, type=list[kind])  # type: ignore[valid-type]

    async def _read(self, uri: str) -> str:
        (content, *_) = await self._asked().read(uri)
        return str(content.get("text", ""))

    async def _structured(self, tool: str, arguments: Mapping[str, Any], kind: type[Any]) -> Any:
        result = await self._asked().call_tool(tool, arguments)
        return msgspec.convert(result.structured_content, kind)

    async def _read_lines(self) -> None:
        log = msgspec.json.decode(await self._read(LOG), type=list[Line])
        try:
            audit = msgspec.json.decode(await self._read(AUDIT), type=list[Line])
        except Refused:
            audit = []  # there is no gate
        self._world.heard(Events(log=tuple(log), audit=tuple(audit)))

    def _asked(self) -> Client:
        if self._client is None:
            raise NotConnected("the daemon is not reached at present")
        return self._client

    def want(self, wanted: Collection[str]) -> None:
        """Have these looked at as well, from now on: what is seen of the daemon."""
        before, self._wanted = self._wanted, frozenset(wanted) - {"traffic"}
        if "traffic" in wanted:
            self._watch_traffic()
        elif "traffic" in self._watches:
            self._unwatch("traffic")
            self._world.looked_away()
        if self._wanted - before:
            self.look_soon()

    def look_soon(self) -> None:
        """Look before it is time."""
        if self._hurry is None:
            self._hurry = self._clock.callLater(0.02, self._look_now)

    def _look_now(self) -> None:
        self._hurry = None
        if self._pause is not None:
            self._pause.cancel()

    # --- events -----------------------------------------------------------------------

    def filter(self, text: str) -> None:
        """Have only that traffic told."""
        if text != self._filter:
            self._filter = text
            before = self._watches.pop("traffic", None)
            self._watch_traffic()
            # Only now, for the daemon keeps nothing when nobody watches.
            if before is not None:
                before.cancel()

    def _watch_traffic(self) -> None:
        if "traffic" not in self._watches:
            self._watch("traffic", ["traffic"], filter=self._filter, every=_TRAFFIC)

    def _watch(self, name: str, topics: list[str], **more: Any) -> None:
        if self._client is None:
            return
        params = {"name": "watch", "arguments": {"topics": topics, **more}}
        watch = self._client.ask("tools/call", params, heard=self._heard)
        self._watches[name] = watch
        watch.addBoth(self._watch_over, name, watch)

    def _unwatch(self, name: str) -> None:
        watch = self._watches.pop(name, None)
        if watch is not None:
            watch.cancel()

    def _watch_over(self, outcome: Any, name: str, watch: Deferred[Any]) -> None:
        """A watch ended; when the connection did, whoever looks notices that too."""
        if self._watches.get(name) is not watch:
            return
        del self._watches[name]
        if isinstance(outcome, dict) and outcome.get("isError"):
            self.told(" ".join(str(block.get("text", "")) for block in outcome["content"]))
        self.look_soon()

    def _heard(self, notification: Notification) -> None:
        try:
            said = msgspec.json.decode(notification.params, type=_Said)
            events = msgspec.json.decode(said.meta[EVENTS], type=Events)
        except (msgspec.DecodeError, KeyError):
            return
        self._world.heard(events)
        if events.servers:
            self.look_soon()
        self._changed()

    # --- what is done -----------------------------------------------------------------

    def call(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        heard: Callable[[str], None] = lambda text: None,
    ) -> Deferred[Any]:
        """Call a tool of the daemon's.

        :param heard: told the words of its progress.
        :return: its structured answer; fails with an exception whose text tells why.
        """
        return Deferred.fromCoroutine(self._call(tool, arguments, heard))

    async def _call(
        self, tool: str, arguments: Mapping[str, Any], heard: Callable[[str], None]
    ) -> Any:
        client = self._asked()
        result: ToolResult = await client.call_tool(
            tool, arguments, progress=lambda p: heard(p.message or f"{p.progress:g}")
        )
        if result.is_error:
            raise ToolFailed(result.text)
        self.look_soon()
        return result.structured_content

    def frame(self, number: int) -> Deferred[str]:
        """All of a message that passed."""
        return Deferred.fromCoroutine(self._read(f"mcptwist://traffic/{number}"))

    def offers(self, server: str) -> Deferred[list[Offer]]:
        """All that a server offers."""
        return Deferred.fromCoroutine(self._offers(server))

    async def _offers(self, server: str) -> list[Offer]:
        found: list[Offer] = []
        for method, member, kind in _LISTS:
            found += [
                _offer(server, kind, told) for told in await self._list(server, method, member)
            ]
        return found

    async def _list(self, server: str, method: str, member: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = []
        params: dict[str, Any] = {}
        for _ in range(_PAGES):
            asking = {"server": server, "method": method, "params": params}
            answered = await self._call("ask", asking, lambda text: None)
            answer = answered["answer"]
            if answered["status"] != "ok" or not isinstance(answer, dict):
                return entries  # it has none of these
            listed = answer.get(member)
            entries += (
                [e for e in listed if isinstance(e, dict)] if isinstance(listed, list) else []
            )
            if not answer.get("nextCursor"):
                break
            params = {"cursor": answer["nextCursor"]}
        return entries


class NotConnected(McpTwistError):
    """Nothing can be asked."""


class ToolFailed(McpTwistError):
    """An action was refused; the message says why."""


def _offer(server: str, kind: str, told: dict[str, Any]) -> Offer:
    name = str(told.get("name") or told.get("uri") or told.get("uriTemplate") or "?")
    return Offer(server, kind, name, str(told.get("description") or told.get("title") or ""), told)


def _why(problem: BaseException) -> str:
    return str(getattr(problem, "message", "") or problem)
