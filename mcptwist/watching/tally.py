"""What was counted of one server: its calls, how they ended, how long they took.

Counting is on the way of every call, so it is integers and one bisection; what
people want to see (percentiles, rates) is worked out by who looks
(:mod:`mcptwist.watching.status`). Three outcomes are kept apart: a good result, a result by
which the tool itself says that it failed (``isError``), and a JSON-RPC error.
Pure.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import TYPE_CHECKING

import msgspec

from mcptwist.messages import Answer, Json, Result
from mcptwist.watching.traffic import Traffic

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from mcptwist.asked import Question

BOUNDS = tuple(
    part * 10.0**power for power in range(-4, 3) for part in (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)
)
"""Upper bounds of the buckets, in seconds: six a decade, from 0.1 ms to 700 s."""

TOOLS = 256
"""How many tools of a server are counted by name; answers of more are counted together."""

OTHERS = ""
"""What tools are counted under whose name is not known to be one."""

_LONG = 1024
_END = 64
_CALL = "tools/call"
_NO_CALLS = frozenset({"initialize", "server/discover", "subscriptions/listen", "ping"})
_is_error = re.compile(rb'"isError"\s*:\s*true').search


class _Named(msgspec.Struct, gc=False):
    name: str = OTHERS


class _Failing(msgspec.Struct, gc=False):
    isError: bool = False


_named = msgspec.json.Decoder(_Named).decode
_failing = msgspec.json.Decoder(_Failing).decode


class Histogram:
    """How many took how long.

    :ivar counts: one for each of :data:`BOUNDS`, and one for whatever took longer.
    :ivar total: seconds of all together.
    """

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0

    def __len__(self) -> int:
        return sum(self.counts)

    def add(self, seconds: float) -> None:
        """One took *seconds*."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds


class Outcomes:
    """How calls ended.

    :ivar good: with a result.
    :ivar failed: with a result by which the tool says that it failed.
    :ivar errors: with a JSON-RPC error of the server's.
    :ivar took: how long those took.
    """

    __slots__ = ("errors", "failed", "good", "took")

    def __init__(self) -> None:
        self.good = 0
        self.failed = 0
        self.errors = 0
        self.took = Histogram()

    def add(self, status: str, seconds: float) -> None:
        """One ended so."""
        if status == GOOD:
            self.good += 1
        elif status == FAILED:
            self.failed += 1
        else:
            self.errors += 1
        took = self.took
        took.counts[bisect_left(BOUNDS, seconds)] += 1
        took.total += seconds

    def join(self, other: Outcomes) -> None:
        """Add what *other* has counted."""
        self.good += other.good
        self.failed += other.failed
        self.errors += other.errors
        took = self.took
        took.counts = [a + b for a, b in zip(took.counts, other.took.counts, strict=True)]
        took.total += other.took.total


GOOD, FAILED, ERROR = "ok", "failed", "error"


class Tally:
    """All that was counted of one server, over all of its processes.

    :param clock: for how long calls take.
    :param traffic: told of each call, while anybody watches.
    :ivar tools: how calls of each tool ended, by name.
    :ivar others: the same for whatever else clients ask.
    :ivar cancelled: requests taken back before they were answered.
    :ivar late: requests given up because no answer came in time.
    :ivar lost: requests whose process was gone before it answered.
    :ivar refused: requests not put to it, for there were too many.
    :ivar strays: answers that nobody waited for.
    :ivar malformed: frames that held no message.
    """

    __slots__ = (
        "_now",
        "cancelled",
        "late",
        "lost",
        "malformed",
        "others",
        "refused",
        "server",
        "strays",
        "tools",
        "traffic",
    )

    def __init__(self, server: str, clock: IReactorTime, traffic: Traffic | None = None) -> None:
        self.server = server
        self.others = Outcomes()
        self.tools: dict[str, Outcomes] = {}
        self.cancelled = 0
        self.late = 0
        self.lost = 0
        self.refused = 0
        self.strays = 0
        self.malformed = 0
        self.traffic = Traffic() if traffic is None else traffic
        self._now = clock.seconds

    @property
    def calls(self) -> Outcomes:
        """How all calls ended; what the daemon asks for itself, handshakes, pings and
        subscriptions are not among them."""
        every = Outcomes()
        for some in (self.others, *self.tools.values()):
            every.join(some)
        return every

    def answered(self, question: Question, answer: Answer) -> None:
        """The server answered *question*."""
        exchange = question.exchange
        request = exchange.request
        seconds = self._now() - question.began
        if request.method == _CALL:
            status = outcome(answer)
            if exchange.stay is not None:
                name = tool_name(request.params)
                (self.tools.get(name) or self._tool(name, status)).add(status, seconds)
        else:
            status = GOOD if type(answer) is Result else ERROR
            if exchange.stay is not None and request.method not in _NO_CALLS:
                self.others.add(status, seconds)
        if self.traffic.watched:
            self.traffic.answered(exchange, answer, status, seconds)

    def _tool(self, name: str, status: str) -> Outcomes:
        """What is counted of a tool that is new; only success shows that there is such a tool."""
        if status != GOOD or len(self.tools) >= TOOLS:
            name = OTHERS
        return self.tools.setdefault(name, Outcomes())


def outcome(answer: Answer) -> str:
    """How a tool call ended.

    Of a long result only the end is looked at, where those who write it last have ``isError``.
    """
    if type(answer) is not Result:
        return ERROR
    text = answer.result
    if len(text) >= _LONG:
        return FAILED if _is_error(memoryview(text)[-_END:]) else GOOD
    try:
        return FAILED if _failing(text).isError else GOOD
    except (msgspec.DecodeError, RecursionError):
        return GOOD  # whoever reads it may make of it what they will


def tool_name(params: Json) -> str:
    """The name of the tool that is called."""
    try:
        return _named(params).name
    except (msgspec.DecodeError, RecursionError):
        return OTHERS
