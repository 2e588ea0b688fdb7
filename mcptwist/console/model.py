"""What the console knows: the last pictures of the daemon, and what was heard since.

Everything is bounded, and nothing here knows of screens or of the network. Rates and
recent percentiles come from the difference of two pictures. Pure.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence

import msgspec

from mcptwist.protocols.tail import inert
from mcptwist.watching.events import Events
from mcptwist.watching.journal import Line
from mcptwist.watching.paces import History, Pace
from mcptwist.watching.reports import KeyStatus, LoginStatus, WaitingStatus
from mcptwist.watching.status import (
    FORMAT,
    ConnectionStatus,
    Latencies,
    ServerStatus,
    SessionStatus,
    Status,
)
from mcptwist.watching.traffic import ANSWER, REQUEST, Frame

MESSAGES = 5000
LINES = 2000

CONNECTING, CONNECTED, LOST, STRANGE = "connecting", "connected", "lost", "strange"


class Message:
    """What passed: a request with its answer once it is there, or something said.

    :ivar frame: the request, or what was said.
    :ivar run: which connection to the daemon it was heard on, for another daemon counts anew.
    :ivar answer: the answer's frame, or None.
    :ivar unseen: whether nobody looked when the answer may have come.
    """

    __slots__ = ("answer", "frame", "run", "unseen")

    def __init__(self, frame: Frame, run: int = 0) -> None:
        self.frame = frame
        self.run = run
        self.answer: Frame | None = None
        self.unseen = False

    @property
    def key(self) -> tuple[int, int]:
        """What it is known by."""
        return self.run, self.frame.number

    @property
    def status(self) -> str:
        """``ok``, ``failed``, ``error`` …; ``open`` while it is not answered, ``unseen`` when
        nobody watched any more."""
        if self.answer is not None:
            return self.answer.status
        if self.frame.kind != REQUEST:
            return ""
        return "unseen" if self.unseen else "open"

    @property
    def is_settled(self) -> bool:
        """Whether nothing will be added to it."""
        return self.answer is not None or self.unseen or self.frame.kind != REQUEST

    def fields(self) -> dict[str, object]:
        """What a filter looks at."""
        found = msgspec.structs.asdict(self.frame)
        found["status"] = self.status
        if self.answer is not None:
            found["answer"] = self.answer.text
        return found


class Link:
    """How the console is connected.

    :ivar where: the daemon's address, for people.
    :ivar state: one of the words above.
    :ivar reason: why it is lost, or what is strange.
    :ivar times: how often it was connected.
    """

    def __init__(self, where: str = "") -> None:
        self.where = where
        self.state = CONNECTING
        self.reason = ""
        self.times = 0


class World:
    """All of it.

    :ivar version: grows with every change, so that others know when to look again.
    :ivar seen: when the daemon was last looked at, by the console's clock.
    :ivar missed: messages that passed and were not told.
    :ivar held: messages that came while the view was paused.
    """

    def __init__(self, where: str = "") -> None:
        self.version = 0
        self.link = Link(where)
        self.status: Status | None = None
        self.seen: float | None = None
        self.servers: dict[str, ServerStatus] = {}
        self.details: dict[str, ServerStatus] = {}
        self.paces: dict[str, Pace] = {}
        self.whole = Pace()
        self.lags = History()
        self.memories = History()
        self.flights = History()
        self.connections: list[ConnectionStatus] = []
        self.connection_count = 0
        self.request_rates: dict[str, float] = {}
        self._requests: dict[str, tuple[int, float]] = {}
        self.sessions: list[SessionStatus] = []
        self.session_count = 0
        self.offers: list[Offer] = []
        self.keys: list[KeyStatus] | None = None
        self.waiting: dict[str, WaitingStatus] = {}
        self.logins: list[LoginStatus] = []
        self.login_count = 0
        self.bans: dict[str, float] = {}
        self.messages: OrderedDict[tuple[int, int], Message] = OrderedDict()
        self.lines: deque[Line] = deque(maxlen=LINES)
        self.audit: deque[Line] = deque(maxlen=LINES)
        self.missed = 0
        self.held = 0
        self.paused = False

    def changed(self) -> None:
        """Something is not as it was."""
        self.version += 1

    # --- the connection ---------------------------------------------------------------

    def connected(self) -> None:
        """The daemon is reached, for the first time or again; what another one counted goes."""
        self.looked_away()
        self.link.times += 1
        self.link.state, self.link.reason = CONNECTED, ""
        self.paces.clear()
        self.whole = Pace()
        self.lines.clear()
        self.audit.clear()
        self.offers = []
        self.changed()

    def lost(self, reason: str) -> None:
        """The daemon cannot be reached."""
        self.link.state, self.link.reason = LOST, reason
        self.changed()

    def strange(self, version: str, format: int) -> None:
        """The daemon is of another version, whose pictures cannot be read."""
        elder = "older" if format < FORMAT else "newer"
        self.link.state = STRANGE
        self.link.reason = (
            f"that daemon ({version}) is {elder} than this console; use a console of its version"
        )
        self.changed()

    # --- what was told ----------------------------------------------------------------

    def saw(self, status: Status) -> None:
        """A picture of the daemon."""
        self.status = status
        self.servers = {server.name: server for server in status.servers}
        for server in status.servers:
            pace = self.paces.setdefault(server.name, Pace())
            pace.look(status.clock, server.calls.count, server.troubles, server.calls.took)
        for gone in self.paces.keys() - self.servers.keys():
            del self.paces[gone]
        self.whole.look(status.clock, *_sums(status.servers))
        self.lags.add(status.lag.last)
        self.memories.add(float(status.memory or 0))
        self.flights.add(float(sum(server.in_flight for server in status.servers)))
        self.changed()

    def saw_server(self, server: ServerStatus) -> None:
        """One server, in detail."""
        self.details[server.name] = server
        self.changed()

    def saw_connections(self, connections: list[ConnectionStatus], total: int, now: float) -> None:
        """Connections, how many there are, and when that was."""
        before, self._requests = self._requests, {c.id: (c.requests, now) for c in connections}
        self.request_rates = {
            c.id: (c.requests - known[0]) / (now - known[1])
            for c in connections
            if (known := before.get(c.id)) is not None and now > known[1]
        }
        self.connections, self.connection_count = connections, total
        self.changed()

    def saw_sessions(self, sessions: list[SessionStatus], total: int) -> None:
        """Sessions, and how many there are."""
        self.sessions, self.session_count = sessions, total
        self.changed()

    def saw_keys(self, keys: list[KeyStatus] | None, waiting: Sequence[WaitingStatus] = ()) -> None:
        """The keys that are authorized; ``None`` where there are none to be had.

        :param waiting: what waits for somebody with one of them to say yes.
        """
        self.keys = keys
        self.waiting = {each.code: each for each in waiting}
        self.changed()

    def saw_logins(self, logins: list[LoginStatus], total: int) -> None:
        """Who is logged in, and how many there are."""
        self.logins, self.login_count = logins, total
        self.changed()

    def saw_bans(self, hosts: dict[str, float]) -> None:
        """From where nobody may connect, and for how many seconds more."""
        self.bans = hosts
        self.changed()

    def saw_offers(self, server: str, offers: list[Offer]) -> None:
        """What a server offers."""
        self.offers = [offer for offer in self.offers if offer.server != server] + offers
        self.changed()

    def heard(self, events: Events) -> None:
        """What happened."""
        for frame in events.frames:
            self._passed(frame)
        self.missed += events.missed
        self.lines.extend(events.log)
        self.audit.extend(events.audit)
        self.changed()

    def _passed(self, frame: Frame) -> None:
        if self.paused:
            self.held += 1
            return
        if frame.kind == ANSWER:
            message = self.messages.get((self.link.times, frame.of))
            if message is not None:
                message.answer = frame
                return
        message = Message(frame, self.link.times)
        self.messages[message.key] = message
        if len(self.messages) > MESSAGES:
            self.messages.popitem(last=False)

    def looked_away(self) -> None:
        """Traffic is not watched any more: answers to what is open will not be heard."""
        for message in self.messages.values():
            message.unseen = True

    def pause(self, paused: bool) -> None:
        """Let the messages stand still, or go on."""
        self.paused = paused
        self.held = 0
        self.changed()

    def forget_messages(self) -> None:
        """Let go of what has passed."""
        self.messages.clear()
        self.missed = self.held = 0
        self.changed()


class Offer(msgspec.Struct, frozen=True):
    """A tool, resource or prompt of a server.

    :ivar kind: ``tool``, ``resource``, ``template`` or ``prompt``.
    :ivar told: all that the server says of it.
    """

    server: str
    kind: str
    name: str
    description: str
    told: dict[str, object]


def _sums(servers: Iterable[ServerStatus]) -> tuple[int, int, Latencies]:
    counts: list[int] = []
    calls = troubles = 0
    seconds = 0.0
    for server in servers:
        calls += server.calls.count
        troubles += server.troubles
        seconds += server.calls.took.seconds
        buckets = server.calls.took.buckets
        if buckets:
            counts = [a + b for a, b in zip(counts, buckets, strict=True)] if counts else [*buckets]
    return calls, troubles, Latencies(count=calls, seconds=seconds, buckets=tuple(counts))


# --- how values are written -----------------------------------------------------------


def clean(text: object) -> str:
    """Text from elsewhere, without anything that steers a terminal, on one line."""
    shown = inert(str(text).replace("\n", " ").replace("\t", " "))
    return shown.encode("utf-8", "replace").decode()  # halves of characters have no place there
