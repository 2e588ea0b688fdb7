"""What passes between the daemon and its servers, for those who watch.

Nobody watches nearly always, and then all this costs is one look at
:attr:`Traffic.watched`. Somebody who watches gets so many frames at a time and no
more; what is beyond is counted, and not even made. The last frames are kept whole, while
somebody watches, so that they can be looked at and replayed. Pure.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from mcptwist.messages import Answer, Json, Notification, Request, Result
from mcptwist.watching.sieve import Sieve

if TYPE_CHECKING:
    from mcptwist.exchange import Exchange
    from mcptwist.watching.tracing import Tracing

FIELDS = ("tool", "method", "id", "server", "client", "kind", "status")
"""What filters can look at."""

REQUEST, ANSWER, NOTIFICATION, QUESTION = "request", "answer", "notification", "question"


class Frame(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One message that passed.

    :ivar number: of the frame; an answer's request has the number in `of`.
    :ivar time: seconds since the epoch.
    :ivar kind: ``request``, ``answer``, ``notification`` or ``question``.
    :ivar id: the asker's own, as text.
    :ivar size: bytes of its params or result.
    :ivar seconds: from the request to this answer.
    :ivar status: ``ok``, ``failed`` (the tool says so), ``error`` or ``cancelled``.
    :ivar text: its params or result, as far as they are shown.
    """

    number: int
    time: float
    kind: str
    server: str
    method: str
    tool: str = ""
    id: str = ""
    client: str = ""
    size: int = 0
    of: int = 0
    seconds: float | None = None
    status: str = ""
    text: str = ""


class TrafficLimits(msgspec.Struct, frozen=True):
    """What watching may cost.

    :ivar watchers: that there may be at one time.
    :ivar waiting: frames that may wait for one watcher; answers to them have as much room again.
    :ivar shown: bytes of a message that its frame shows.
    :ivar kept: bytes of whole messages that are kept.
    :ivar open: requests whose answer is still to come that are followed.
    """

    watchers: int = 8
    waiting: int = 100
    shown: int = 2048
    kept: int = 16 << 20
    open: int = 4096


class Watcher:
    """One who watches.

    :param sieve: which frames are wanted; all without one.
    :param limit: how many may wait.
    :ivar missed: frames there was no room for, since they were last taken.
    """

    __slots__ = ("_limit", "_sieve", "_waiting", "missed")

    def __init__(self, sieve: Sieve | None, limit: int) -> None:
        self.missed = 0
        self._sieve = sieve
        self._limit = limit
        self._waiting: list[Frame] = []

    @property
    def full(self) -> bool:
        """Whether nothing but answers can wait."""
        return len(self._waiting) >= self._limit

    def offer(self, frame: Frame) -> None:
        """Take a frame, if it is wanted and there is room."""
        if self._sieve is None or self._sieve.passes(msgspec.structs.asdict(frame)):
            limit = self._limit * 2 if frame.kind == ANSWER else self._limit
            if len(self._waiting) < limit:
                self._waiting.append(frame)
            else:
                self.missed += 1

    def take(self) -> tuple[list[Frame], int]:
        """What waited, and how many frames were missed."""
        frames, self._waiting = self._waiting, []
        missed, self.missed = self.missed, 0
        return frames, missed


class Whole(msgspec.Struct, frozen=True):
    """A frame with all of its message."""

    frame: Frame
    json: Json


class Traffic:
    """The traffic of the whole daemon.

    :param now: seconds since the epoch.
    :ivar watched: whether anybody looks, or calls are traced.
    :ivar frames: made so far.
    :ivar missed: not made, or not taken, because watchers were too slow.
    """

    def __init__(
        self, limits: TrafficLimits | None = None, now: Callable[[], float] = time.time
    ) -> None:
        self.watched = False
        self.frames = 0
        self.missed = 0
        self.limits = limits or TrafficLimits()
        self._now = now
        self._tracing: Tracing | None = None
        self._watchers: set[Watcher] = set()
        self._open: dict[Exchange, Frame] = {}
        self._whole: deque[tuple[Frame, Json]] = deque()
        self._held = 0

    def trace(self, tracing: Tracing) -> None:
        """Have a span made of every call from now on."""
        self._tracing = tracing
        self.watched = True

    # --- those who watch --------------------------------------------------------------

    @property
    def watchers(self) -> int:
        """How many watch."""
        return len(self._watchers)

    def watch(self, sieve: Sieve | None = None) -> Watcher:
        """Begin to watch.

        :raises OverflowError: too many do already.
        """
        if len(self._watchers) >= self.limits.watchers:
            raise OverflowError(f"{self.limits.watchers} watch the traffic already")
        watcher = Watcher(sieve, self.limits.waiting)
        self._watchers.add(watcher)
        self.watched = True
        return watcher

    def leave(self, watcher: Watcher) -> None:
        """Watch no more; what was kept for the last watcher goes."""
        self._watchers.discard(watcher)
        self.watched = bool(self._watchers) or self._tracing is not None
        if not self._watchers:
            self._open.clear()
            self._whole.clear()
            self._held = 0

    def whole(self, number: int) -> Whole | None:
        """A frame with all of its message, if it is still kept."""
        found = (Whole(frame, json) for frame, json in self._whole if frame.number == number)
        return next(found, None)

    # --- told by links ----------------------------------------------------------------

    def asked(self, server: str, exchange: Exchange, request: Request, wire: Any = None) -> Request:
        """*exchange* is put to a server as *request*, over *wire*; returns what to send."""
        if len(self._open) < self.limits.open and self._room():
            self._open[exchange] = self._make(REQUEST, server, exchange, exchange.request)
        if self._tracing is None:
            return request
        return self._tracing.asked(server, exchange, request, wire)

    def answered(self, exchange: Exchange, answer: Answer, status: str, seconds: float) -> None:
        """A request has its answer; it is shown where the request was."""
        if self._tracing is not None:
            self._tracing.answered(exchange, answer, status)
        if exchange in self._open:
            text = answer.result if isinstance(answer, Result) else answer.error
            self._ended(exchange, text, status, seconds)

    def unanswered(self, exchange: Exchange, status: str) -> None:
        """A request will not be answered."""
        if self._tracing is not None:
            self._tracing.unanswered(exchange, status)
        if exchange in self._open:
            self._ended(exchange, b"", status, None)

    def _ended(self, exchange: Exchange, json: Json, status: str, seconds: float | None) -> None:
        request = self._open.pop(exchange)
        now = self._now()
        self.frames += 1
        answer = Frame(
            self.frames,
            now,
            ANSWER,
            request.server,
            request.method,
            request.tool,
            request.id,
            request.client,
            len(json),
            request.number,
            now - request.time if seconds is None else seconds,
            status,
            _shown(json, self.limits.shown),
        )
        self._tell(answer, json)

    def said(self, server: str, notification: Notification) -> None:
        """A server said something by itself, or about a call."""
        if self._room():
            self._make(NOTIFICATION, server, None, notification)

    def questioned(self, server: str, question: Exchange) -> None:
        """A server asks something."""
        if self._room():
            self._make(QUESTION, server, question, question.request)

    # --- frames -----------------------------------------------------------------------

    def _room(self) -> bool:
        """Whether anybody can take one more; if nobody can, it need not be made."""
        if not self._watchers:
            return False
        for watcher in self._watchers:
            if not watcher.full:
                return True
        self.missed += 1
        for watcher in self._watchers:
            watcher.missed += 1
        return False

    def _make(
        self,
        kind: str,
        server: str,
        exchange: Exchange | None,
        message: Request | Notification,
    ) -> Frame:
        params = message.params
        self.frames += 1
        frame = Frame(
            self.frames,
            self._now(),
            kind,
            server,
            message.method,
            _member(params, "name") if message.method in _NAMING else "",
            "" if exchange is None else str(exchange.request.id),
            "" if exchange is None else _client(exchange.stay),
            len(params),
            text=_shown(params, self.limits.shown),
        )
        self._tell(frame, params)
        return frame

    def _tell(self, frame: Frame, json: Json) -> None:
        for watcher in self._watchers:
            watcher.offer(frame)
        whole = self._whole
        whole.append((frame, json))
        self._held += len(json)
        while self._held > self.limits.kept or len(whole) > self.limits.open:
            self._held -= len(whole.popleft()[1])


_NAMING = frozenset({"tools/call", "prompts/get"})


class _Members(msgspec.Struct, gc=False):
    name: str = ""
    version: str = ""


_members = msgspec.json.Decoder(_Members)


def _member(json: Json, name: str) -> str:
    try:
        return str(getattr(_members.decode(json), name))
    except (msgspec.DecodeError, RecursionError):
        return ""


def _client(stay: object) -> str:
    return _known_name(bytes(getattr(stay, "client", b"")))


def client_name(client: Json) -> str:
    """Who a client says it is: name and version."""
    if not client:
        return ""
    try:
        found = _members.decode(client)
    except (msgspec.DecodeError, RecursionError):
        return ""
    return f"{found.name} {found.version}".strip()[:100]


_known_name = lru_cache(maxsize=256)(client_name)


def _shown(json: Json, limit: int) -> str:
    return str(json if len(json) <= limit else memoryview(json)[:limit], "utf-8", "replace")
