"""The RFC 6455 cases of Autobahn's test-suite, put to our WebSockets.

    python -m tests.interop.autobahn            # all that run: sections 1 to 7, 9 and 10
    python -m tests.interop.autobahn 5_ 6_4     # those whose names begin so

The suite wants an echo. So its cases, which ``python -m tests.interop.install`` puts into
``.interop/autobahn`` (see :mod:`tests.interop.autobahncases`), are put to a wire that says all
again. What is tested is that wire's way with frames, which is that of
:class:`~mcptwist.protocols.websocket.WebSocketWire`. Section 9 measures time: it wants a machine
that has nothing else to do.

Sections 12 and 13 are about compression, which we do not speak. The command ends with 1 when a case
fails.
"""

from __future__ import annotations

import binascii
import builtins
import sys
import types
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from autobahn.websocket import utf8validator
from twisted.internet.defer import Deferred, DeferredSemaphore, ensureDeferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint, serverFromString
from twisted.internet.task import react
from twisted.web.resource import Resource

from mcptwist.protocols import wsplace
from mcptwist.protocols.h2purses import Rate
from mcptwist.protocols.http1factory import HTTP1Factory
from mcptwist.protocols.site import HostGuard, Site
from mcptwist.protocols.websocket import WebSocketWire
from mcptwist.protocols.wslimits import WebSocketLimits
from mcptwist.protocols.wsplace import WebSocketPlace
from tests.interop.install import ENVIRONMENTS, obstacle

GOOD = frozenset({"OK", "INFORMATIONAL", "NON-STRICT"})
AT_ONCE = 12
LONGEST = 100.0
_UNBOUNDED = 1e12


# --- the cases --------------------------------------------------------------------------


@contextmanager
def _as_in_python_2() -> Iterator[None]:
    """While the cases are imported, some modules take strings for bytes."""
    module: Any = utf8validator
    plain, validator = sys.modules["binascii"], module.Utf8Validator

    class Validator(validator):  # type: ignore[misc, valid-type]
        def validate(self, text: Any) -> Any:
            return super().validate(_bytes(text))

    stand_in: Any = types.ModuleType("binascii")
    stand_in.b2a_hex = stand_in.hexlify = lambda text: binascii.hexlify(_bytes(text)).decode()
    sys.modules["binascii"], module.Utf8Validator = stand_in, Validator
    builtins.unichr = chr  # type: ignore[attr-defined]
    sys.path.insert(0, str(ENVIRONMENTS["autobahn"].home / "python3"))
    try:
        yield
    finally:
        sys.modules["binascii"], module.Utf8Validator = plain, validator


def cases(wanted: Iterable[str]) -> list[Any]:
    """The cases whose names begin so; all, if nothing is wanted."""
    with _as_in_python_2():
        import case  # type: ignore[import-not-found]
    beginnings = tuple(f"Case{name}" for name in wanted)
    return [each for each in case.Cases if not beginnings or each.__name__.startswith(beginnings)]


def _bytes(text: Any) -> Any:
    return text.encode("latin-1") if isinstance(text, str) else text


# --- both ends ----------------------------------------------------------------------------


class Echo(WebSocketWire):
    """Says again what it is told."""

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        if self.state != self.STATE_OPEN:
            return
        first = len(self._queue)
        self._enqueue([payload])
        if not payload:
            self._queue.append((b"\x81\x00", b""))
        if isBinary:
            head, part = self._queue[first]
            self._queue[first] = bytes((head[0] + 1,)) + head[1:], part
        self._pump()


class Nobody:
    """Whom the echo does not ask."""

    wire = None

    def told_flow(self, runs: bool) -> None:
        """Nothing is held back."""

    def lost(self, reason: Exception) -> None:
        """Nothing ends."""


class Fuzzer(WebSocketClientProtocol):
    """What a case plays with: a client that can break every rule.

    :ivar done: fires when the connection is gone and the case knows what to think of it.
    """

    createWirelog = createStats = connectionWasOpen = False

    transport: Any

    def __init__(self, case_class: Any) -> None:
        super().__init__()
        self.done: Deferred[None] = Deferred()
        self.txFrameStats: Counter[int] = Counter()
        self.runCase = case_class(self)

    def onOpen(self) -> None:
        self.connectionWasOpen = True
        self.runCase.onOpen()

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.runCase.onMessage(payload.decode("latin-1"), isBinary)

    def onPing(self, payload: bytes) -> None:
        self.runCase.onPing(payload.decode("latin-1"))

    def onPong(self, payload: bytes) -> None:
        self.runCase.onPong(payload.decode("latin-1"))

    def onClose(self, wasClean: bool, code: Any, reason: Any) -> None:
        self.runCase.onClose(wasClean, code, reason)

    def connectionLost(self, reason: Any = None) -> None:
        super().connectionLost(reason)
        self.runCase.onConnectionLost(self.failedByMe)
        self.done.callback(None)

    def enableWirelog(self, enable: bool) -> None:
        """Nothing is logged."""

    def continueLater(self, delay: float, call: Any, tag: Any = None) -> None:
        self.factory.reactor.callLater(delay, self._if_open, call)

    def killAfter(self, delay: float) -> None:
        self.factory.reactor.callLater(delay, self._if_open, self._fail_connection)

    def closeAfter(self, delay: float) -> None:
        self.factory.reactor.callLater(delay, self._if_open, self.sendClose)

    def _if_open(self, call: Any) -> None:
        if self.state != self.STATE_CLOSED:
            call()

    def sendFrame(self, opcode: int, payload: Any = b"", *more: Any, **named: Any) -> None:
        self.txFrameStats[opcode] += 1
        super().sendFrame(opcode, _bytes(payload), *more, **named)

    def sendMessage(self, payload: Any, *more: Any, **named: Any) -> None:
        super().sendMessage(_bytes(payload), *more, **named)

    def sendMessageFrame(self, payload: Any, sync: bool = False) -> None:
        super().sendMessageFrame(_bytes(payload), sync)

    def sendMessageFrameData(self, payload: Any, sync: bool = False) -> Any:
        return super().sendMessageFrameData(_bytes(payload), sync)

    def sendCloseFrame(
        self, code: int | None = None, reasonUtf8: Any = None, isReply: bool = False
    ) -> None:
        super().sendCloseFrame(code, _bytes(reasonUtf8), isReply)


async def put(case_class: Any, reactor: Any, port: int) -> tuple[str, str, str]:
    """Run one case: what came of the messages, of the closing, and why."""
    factory: Any = WebSocketClientFactory(f"ws://127.0.0.1:{port}/ws", reactor=reactor)
    factory.setProtocolOptions(failByDrop=False, closeHandshakeTimeout=5)
    fuzzer = Fuzzer(case_class)
    fuzzer.factory = factory
    factory.buildProtocol = lambda address: fuzzer
    await TCP4ClientEndpoint(reactor, "127.0.0.1", port).connect(factory)
    fuzzer.done.addTimeout(LONGEST, reactor, lambda result, _: fuzzer.transport.abortConnection())
    await fuzzer.done
    case = fuzzer.runCase
    return case.behavior, case.behaviorClose, f"{case.result} {case.resultClose}"


async def run(reactor: Any, wanted: list[str]) -> None:
    """Put all cases, a few at a time."""
    wsplace.WebSocketWire = Echo  # type: ignore[misc]
    bounds = WebSocketLimits(
        idle_frames=Rate(_UNBOUNDED, _UNBOUNDED), backlog=int(_UNBOUNDED), ping=0.0
    )
    root, nobody = Resource(), Nobody()
    place: Any = WebSocketPlace(lambda request: nobody, reactor, bounds)  # type: ignore[arg-type, return-value]
    root.putChild(b"ws", place)
    front = HTTP1Factory(Site(root, HostGuard()), reactor)
    listening: Any = await serverFromString(reactor, "tcp:0:interface=127.0.0.1").listen(front)
    port, tally, taking = listening.getHost().port, Counter[str](), DeferredSemaphore(AT_ONCE)

    async def one(case_class: Any) -> None:
        behaviour, closing, why = await put(case_class, reactor, port)
        good = behaviour in GOOD and closing in GOOD
        tally["good" if good else "bad"] += 1
        if not good:
            print(f"{case_class.__name__}: {behaviour}, {closing}: {why}", flush=True)

    found = cases(wanted)
    await gatherResults([taking.run(one, each) for each in found])
    print(f"{tally['good']} of {len(found)} cases are good")
    if tally["bad"]:
        raise SystemExit(1)


if __name__ == "__main__":
    if reason := obstacle("autobahn"):
        raise SystemExit(reason)
    react(lambda reactor: ensureDeferred(run(reactor, sys.argv[1:])))
