"""Tests for the agent that asks over HTTP/2, against our own front, in memory and over TLS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseDone, ResponseFailed, ResponseNeverReceived
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IBodyProducer, IResponse
from zope.interface import implementer
from zope.interface.verify import verifyObject

from mcptwist.errors import Overloaded, ServerUnreachable
from mcptwist.interfaces import IKeepsConnections
from mcptwist.protocols.bodies import WholeBody
from mcptwist.protocols.h2agent import H2Agent
from mcptwist.protocols.h2limits import HTTP2ClientLimits, HTTP2Limits
from mcptwist.protocols.http2 import HTTP2Connection
from mcptwist.protocols.request import Request
from mcptwist.protocols.setbacks import unreachable
from mcptwist.protocols.trust import Trust
from tests.joined import PORT, Network
from tests.protocols.encrypted import secured_agent
from tests.protocols.front import Early, Front

URL = b"https://localhost:8808"
PART = bytes(range(256)) * 64


@implementer(IBodyProducer)
class Given:
    """A body that is at hand."""

    def __init__(self, data: bytes) -> None:
        self.length = len(data)
        self._data = data
        self.starts = 0

    def startProducing(self, consumer: Any) -> Deferred[None]:
        self.starts += 1
        consumer.write(self._data)
        return succeed(None)

    def pauseProducing(self) -> None: ...
    def resumeProducing(self) -> None: ...
    def stopProducing(self) -> None: ...


@implementer(IBodyProducer)
class Flowing:
    """A body that is made while it is taken.

    :ivar ahead: the most that was made and not yet wanted.
    """

    length = UNKNOWN_LENGTH

    def __init__(self, clock: Any, parts: int) -> None:
        self.left = parts
        self.stopped = False
        self.held_back = 0
        self._clock = clock
        self._paused = False
        self.done: Deferred[None] = Deferred()

    def startProducing(self, consumer: Any) -> Deferred[None]:
        self._consumer = consumer
        self._make()
        return self.done

    def _make(self) -> None:
        while self.left and not self._paused and not self.stopped:
            self.left -= 1
            self._consumer.write(PART)
        if not self.left and not self.done.called:
            self.done.callback(None)

    def pauseProducing(self) -> None:
        self._paused = True
        self.held_back += 1

    def resumeProducing(self) -> None:
        self._paused = False
        self._clock.callLater(0, self._make)

    def stopProducing(self) -> None:
        self.stopped = True


class Reader(Protocol):
    """Reads a body.

    :ivar ended: why it ended.
    """

    transport: Any

    def __init__(self) -> None:
        self.size = 0
        self.ended: Any = None

    def dataReceived(self, data: bytes) -> None:
        self.size += len(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended = reason.value


class Leaving(Reader):
    """Has enough with the first it reads."""

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        self.transport.loseConnection()


class AgentCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.front = Front()
        self.network = Network(self.front.clock)
        self.echo = Early(lambda request: request.receive_body(1 << 30, self.echoed(request)))
        self.front.root.putChild(b"whole", self.echo)
        self.connections: list[HTTP2Connection] = []
        self.front.factory.opened = self._opened(self.front.factory.opened)  # type: ignore
        self.agent = self.make_agent()

    def _opened(self, then: Any) -> Any:
        def opened(connection: Any) -> None:
            self.connections.append(connection)
            then(connection)

        return opened

    def echoed(self, request: Request) -> Any:
        return lambda body: request.respond(200, [(b"x-size", b"%d" % len(body))], body)

    def make_agent(self, **options: Any) -> H2Agent:
        return secured_agent(self.network, self.front.factory, Path(self.mktemp()), **options)

    def begin(
        self, path: bytes, method: bytes = b"GET", body: Any = None, headers: Any = None
    ) -> Deferred[Any]:
        producer = Given(body) if isinstance(body, bytes) else body
        return self.agent.request(method, URL + path, headers, producer)

    def ask(self, *arguments: Any, **more: Any) -> Any:
        asked = self.begin(*arguments, **more)
        self.network.turn()
        return self.successResultOf(asked)

    def body(self, response: Any) -> bytes:
        reader = WholeBody(1 << 30)
        response.deliverBody(reader)
        self.network.turn()
        found: bytes = self.successResultOf(reader.done)
        return found

    @property
    def held(self) -> list[Request]:
        return self.front.held.requests


class AskingTests(AgentCase):
    def test_interfaces(self) -> None:
        """It is an agent, and its answers are responses."""
        verifyObject(IAgent, self.agent)
        verifyObject(IResponse, self.ask(b"/stock"))

    def test_one_request(self) -> None:
        response = self.ask(b"/stock")
        self.assertEqual((response.version, response.code), ((b"HTTP", 2, 0), 200))
        self.assertEqual((response.phrase, response.length), (b"OK", 5))
        self.assertEqual(self.body(response), b"hello")
        self.assertEqual(response.request.absoluteURI, URL + b"/stock")

    def test_headers(self) -> None:
        """They go; what belongs to a connection of HTTP/1.1 does not."""
        headers = Headers({b"X-Mine": [b"1", b"2"], b"Connection": [b"close"], b"TE": [b"x"]})
        self.begin(b"/held?q=1", headers=headers)
        self.network.turn()
        (request,) = self.held
        self.assertEqual(request.header(b"x-mine"), b"2")
        self.assertIsNone(request.header(b"connection"))
        self.assertEqual(request.header(b"host"), b"localhost:8808")
        self.assertEqual(request.uri, b"/held?q=1")

    def test_what_is_no_request(self) -> None:
        """Nothing is smuggled in by method or path."""
        for method, path in ((b"GET / x", b"/"), (b"GET", b"/a b"), (b"GET", b"/\x7f")):
            self.failureResultOf(self.begin(path, method), ValueError)

    def test_many_at_once(self) -> None:
        """One connection carries more than the server allows at a time; the others wait."""
        asked = [self.begin(b"/whole", b"POST", b"%d" % n) for n in range(300)]
        self.network.turn()
        found = [self.body(self.successResultOf(one)) for one in asked]
        self.assertEqual(found, [b"%d" % n for n in range(300)])
        self.assertEqual(len(self.connections), 1)
        self.assertEqual(self.connections[0].counters.streams_refused, 0)

    def test_too_many(self) -> None:
        limits = HTTP2ClientLimits(streams=1, waiting=1)
        self.agent = self.make_agent(limits=limits)
        one, two, three = (self.begin(b"/held") for _ in range(3))
        self.network.turn()
        self.failureResultOf(three, Overloaded)
        for waiting in (one, two):
            self.assertNoResult(waiting)

    def test_large_body_goes(self) -> None:
        """Larger than every window; what makes it is held back meanwhile."""
        flowing = Flowing(self.network.clock, 400)
        response = self.ask(b"/whole", b"POST", flowing)
        self.assertEqual(response.headers.getRawHeaders(b"x-size"), [b"%d" % (400 * len(PART))])
        self.assertGreater(flowing.held_back, 1)

    def test_large_body_comes(self) -> None:
        data = PART * 1280
        self.assertEqual(self.body(self.ask(b"/whole", b"POST", data)), data)

    def test_a_body_is_held_back(self) -> None:
        """Nobody reads: the server sends no more than its window, and others are answered."""
        response, reader = self.ask(b"/whole", b"POST", PART * 640), Reader()
        response.deliverBody(reader)
        reader.transport.pauseProducing()
        self.network.turn()
        early = reader.size
        self.assertLessEqual(early, HTTP2ClientLimits().stream_window)
        self.assertEqual(self.body(self.ask(b"/stock")), b"hello")
        self.assertEqual(reader.size, early)
        reader.transport.resumeProducing()
        self.network.turn()
        self.assertEqual(reader.size, 640 * len(PART))
        self.assertIsInstance(reader.ended, ResponseDone)

    def test_wrong_body(self) -> None:
        """What cannot make its body fails its request, and no other."""
        flowing = Flowing(self.network.clock, 1)
        flowing.startProducing = lambda consumer: flowing.done  # type: ignore
        asked = self.begin(b"/whole", b"POST", flowing)
        self.network.turn()
        flowing.done.errback(OSError("the disk is gone"))
        self.network.turn()
        self.assertIn("OSError", repr(self.failureResultOf(asked).value.reasons))
        self.assertEqual(self.ask(b"/stock").code, 200)


class StreamingTests(AgentCase):
    def start(self) -> tuple[Request, Reader, Any]:
        asked = self.begin(b"/held")
        self.network.turn()
        request = self.held[-1]
        request.start(200, [(b"content-type", b"text/event-stream")])
        request.write(b"one")
        self.network.turn()
        response, reader = self.successResultOf(asked), Reader()
        response.deliverBody(reader)
        return request, reader, response

    def test_as_it_comes(self) -> None:
        request, reader, _ = self.start()
        self.assertEqual(reader.size, 3)
        request.write(b"two")
        self.network.turn()
        self.assertEqual((reader.size, reader.ended), (6, None))
        request.finish()
        self.network.turn()
        self.assertIsInstance(reader.ended, ResponseDone)

    def test_given_up(self) -> None:
        """The server is told, the reader too, and the connection goes on."""
        request, reader, _ = self.start()
        reader.transport.loseConnection()
        self.assertIsNone(reader.ended)
        self.network.turn()
        self.assertIsInstance(reader.ended, ResponseFailed)
        self.assertFalse(request.is_open)
        self.assertEqual(self.ask(b"/stock").code, 200)
        self.assertEqual(len(self.connections), 1)

    def test_cancelled(self) -> None:
        """A request whose answer has not begun is given up."""
        asked = self.begin(b"/held")
        self.network.turn()
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.network.turn()
        self.assertFalse(self.held[0].is_open)
        self.assertEqual(self.front.counters.streams_reset, 1)
        self.assertEqual(self.ask(b"/stock").code, 200)

    def test_cancelled_while_it_waits(self) -> None:
        """It is never made."""
        self.agent = self.make_agent(limits=HTTP2ClientLimits(streams=1))
        first, second = self.begin(b"/held"), self.begin(b"/held")
        self.network.turn()
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.held[0].respond(200, [], b"")
        self.network.turn()
        self.assertEqual((self.successResultOf(first).code, len(self.held)), (200, 1))

    def test_cancelled_before_there_is_a_connection(self) -> None:
        asked = self.begin(b"/held")
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.network.turn()
        self.assertEqual((self.held, self.network.ends), ([], []))

    def test_a_reader_that_fails(self) -> None:
        """That costs it its answer, and others nothing."""
        request, reader, _ = self.start()
        reader.dataReceived = lambda data: 1 / 0  # type: ignore
        request.write(b"two")
        self.network.turn()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertFalse(request.is_open)
        self.assertEqual(self.ask(b"/stock").code, 200)

    def test_lost(self) -> None:
        """All that was open fails, and says how far it was."""
        _, reader, _ = self.start()
        asked = self.begin(b"/held")
        self.network.turn()
        self.network.cut()
        self.network.turn()
        self.assertIsInstance(reader.ended, ResponseFailed)
        failure = self.failureResultOf(asked, ResponseNeverReceived)
        self.assertIn("closed the connection", unreachable("far", failure).message)
        self.network.turn()
        self.assertEqual(self.ask(b"/stock").code, 200)
        self.assertEqual(len(self.connections), 2)


class AgainTests(AgentCase):
    """What is made again, and what is not."""

    def test_going_away(self) -> None:
        """Answers under way are finished, and new requests go over a new connection."""
        old = self.begin(b"/held")
        self.network.turn()
        self.connections[0].drain()
        self.network.turn()
        self.assertEqual(self.body(self.ask(b"/stock")), b"hello")
        self.assertEqual(len(self.connections), 2)
        self.held[0].respond(200, [], b"late")
        self.network.turn()
        self.assertEqual(self.body(self.successResultOf(old)), b"late")
        self.assertEqual(len(self.network.ends), 1)

    def test_passed_over(self) -> None:
        """What the server did not begin with before it went away is asked again, body and all."""
        self.ask(b"/stock")
        connection: Any = self.connections[0]
        last = connection.codec.highest
        asked = self.begin(b"/whole", b"POST", b"again")
        connection.opened = lambda *_: None
        self.network.turn()
        connection.codec.farewell(0, last)
        connection._flush()
        self.network.turn()
        self.assertEqual(self.body(self.successResultOf(asked)), b"again")
        self.assertEqual(len(self.connections), 2)

    def test_refused(self) -> None:
        """A refused stream is tried again, some times, after some time."""
        self.ask(b"/stock")
        self.connections[0].bounds = HTTP2Limits(streams=0)
        asked = self.begin(b"/whole", b"POST", b"again")
        self.network.turn()
        self.assertNoResult(asked)
        self.connections[0].bounds = HTTP2Limits()
        self.network.turn(1, steps=10)
        self.assertEqual(self.body(self.successResultOf(asked)), b"again")

    def test_refused_too_often(self) -> None:
        self.ask(b"/stock")
        self.connections[0].bounds = HTTP2Limits(streams=0)
        asked = self.begin(b"/whole", b"POST", b"again")
        self.network.turn(5, steps=50)
        self.failureResultOf(asked, ResponseNeverReceived)
        self.assertEqual(self.front.counters.streams_refused, HTTP2ClientLimits().attempts)

    def test_too_long_to_be_kept(self) -> None:
        """A long body is not kept, and so not sent again."""
        self.agent = self.make_agent(limits=HTTP2ClientLimits(replay=10))
        self.ask(b"/stock")
        self.connections[0].bounds = HTTP2Limits(streams=0)
        asked = self.begin(b"/whole", b"POST", b"longer than ten")
        self.network.turn(5, steps=50)
        self.failureResultOf(asked, ResponseNeverReceived)
        self.assertEqual(self.front.counters.streams_refused, 1)

    def test_begun(self) -> None:
        """What was reset for another reason may have been done, and is not made again."""
        asked = self.begin(b"/held", b"POST", b"once")
        self.network.turn()
        (stream,) = self.connections[0].streams.values()
        stream.abort()
        self.network.turn(5, steps=5)
        self.failureResultOf(asked, ResponseNeverReceived)
        self.assertEqual(len(self.held), 1)


class TimeTests(AgentCase):
    def test_idle(self) -> None:
        """A connection that nobody needs is closed, and another made when it is needed."""
        self.ask(b"/stock")
        self.network.turn(HTTP2ClientLimits().idle + 1, steps=4)
        self.assertEqual(self.network.ends, [])
        self.assertEqual(self.ask(b"/stock").code, 200)

    def test_silent(self) -> None:
        """A server that gives no sign of life is given up."""
        asked = self.begin(b"/held")
        self.network.turn()
        for _, far in self.network.ends:
            far.full = True
        self.network.turn(50, steps=50)
        self.failureResultOf(asked, ResponseNeverReceived)

    def test_quiet(self) -> None:
        """A server that answers pings is waited for."""
        asked = self.begin(b"/held")
        self.network.turn(200, steps=200)
        self.assertNoResult(asked)

    def test_no_handshake(self) -> None:
        """A server that takes a connection and says nothing."""
        self.agent = self.make_agent(limits=HTTP2ClientLimits(connect=5))
        asked = self.begin(b"/stock")
        for _, far in self.network.ends:
            far.full = True
        self.network.turn(6, steps=6)
        problem = unreachable("far", self.failureResultOf(asked))
        self.assertIn("in time", problem.message)
        self.network.turn()
        self.assertEqual(self.network.ends, [])


class EndTests(AgentCase):
    """An agent that is not needed any more."""

    def goodbyes(self) -> int:
        """How often the server was told that the client goes away."""
        return sum(connection._leaving for connection in self.connections)

    def test_interface(self) -> None:
        verifyObject(IKeepsConnections, self.agent)

    def test_nothing_open(self) -> None:
        """There is nothing to wait for."""
        self.successResultOf(self.agent.close())

    def test_goodbye(self) -> None:
        """A connection on which nothing is asked is ended at once, with GOAWAY."""
        self.ask(b"/stock")
        closed = self.agent.close()
        self.network.turn()
        self.successResultOf(closed)
        self.assertEqual((self.goodbyes(), self.network.ends), (1, []))
        self.assertEqual(self.front.clock.getDelayedCalls(), [])
        self.assertEqual(self.front.counters.connections_failed, 0)

    def test_what_is_open_may_end(self) -> None:
        """A request is answered first, and nothing new is asked there."""
        asked = self.begin(b"/held")
        self.network.turn()
        closed = self.agent.close()
        self.network.turn()
        self.assertNoResult(closed)
        self.held[0].respond(200, [], b"just in time")
        self.network.turn()
        self.assertEqual(self.body(self.successResultOf(asked)), b"just in time")
        self.successResultOf(closed)
        self.assertEqual((self.goodbyes(), self.network.ends), (1, []))

    def test_not_for_ever(self) -> None:
        """What does not end is cut off."""
        asked = self.begin(b"/held")
        self.network.turn()
        closed = self.agent.close()
        self.network.turn(1, steps=2)
        self.successResultOf(closed)
        self.failureResultOf(asked, ResponseNeverReceived)
        self.assertEqual((self.network.ends, self.agent.counters.farewells_late), ([], 1))

    def test_deaf(self) -> None:
        """So is a server that does not hang up."""
        self.ask(b"/stock")
        for _, far in self.network.ends:
            far.full = True
        closed = self.agent.close()
        self.network.turn(1, steps=2)
        self.successResultOf(closed)
        self.assertEqual(self.network.ends, [])

    def test_twice(self) -> None:
        self.ask(b"/stock")
        first, second = self.agent.close(), self.agent.close()
        self.network.turn()
        for closed in (first, second, self.agent.close()):
            self.successResultOf(closed)

    def test_used_again(self) -> None:
        """Who asks once more gets another connection."""
        self.ask(b"/stock")
        self.agent.close()
        self.assertEqual(self.body(self.ask(b"/stock")), b"hello")
        self.assertEqual(len(self.connections), 2)

    def test_over_http1(self) -> None:
        """Connections that wait for another request are closed too."""
        self.agent = self.make_agent(http2=False)
        self.body(self.ask(b"/stock"))
        closed = self.agent.close()
        self.network.turn()
        self.successResultOf(closed)
        self.assertEqual(self.network.ends, [])


class NotSpokenTests(AgentCase):
    """HTTP/2 is not to be spoken."""

    def make_agent(self, **options: Any) -> H2Agent:
        return super().make_agent(limits=HTTP2ClientLimits(spoken=False), **options)

    def test_http1(self) -> None:
        """It is not offered, though the server would take it; what is over is used again."""
        for _ in range(2):
            response = self.ask(b"/whole", b"POST", b"hello")
            self.assertEqual((response.version[1], self.body(response)), (1, b"hello"))
        self.assertEqual(len(self.connections), 1)
        self.assertEqual(self.agent.counters.http1_chosen, 0)


class CounterTests(AgentCase):
    """Each bound that is met is counted."""

    def counted(self) -> dict[str, int]:
        found: dict[str, int] = msgspec.structs.asdict(self.agent.counters)
        return {name: count for name, count in found.items() if count}

    def test_what_is_as_it_should(self) -> None:
        self.ask(b"/stock")
        self.ask(b"/stock")
        self.assertEqual(self.counted(), {"connections": 1, "requests": 2})
        self.network.turn(HTTP2ClientLimits().idle + 1, steps=4)
        self.assertEqual(self.counted(), {"connections": 1, "requests": 2, "idle_closed": 1})

    def test_too_many(self) -> None:
        self.agent = self.make_agent(limits=HTTP2ClientLimits(streams=1, waiting=1))
        asked = [self.begin(b"/held") for _ in range(3)]
        self.network.turn()
        self.failureResultOf(asked[2], Overloaded)
        expected = {"connections": 1, "requests": 1, "requests_waited": 1, "requests_refused": 1}
        self.assertEqual(self.counted(), expected)

    def test_refused(self) -> None:
        self.ask(b"/stock")
        self.connections[0].bounds = HTTP2Limits(streams=0)
        asked = self.begin(b"/whole", b"POST", b"again")
        self.network.turn(5, steps=50)
        self.failureResultOf(asked, ResponseNeverReceived)
        expected = {"connections": 1, "requests": 5, "requests_repeated": 3, "streams_reset": 4,
                    "requests_given_up": 1}  # fmt: skip
        self.assertEqual(self.counted(), expected)

    def test_silent(self) -> None:
        asked = self.begin(b"/held")
        self.network.turn()
        for _, far in self.network.ends:
            far.full = True
        self.network.turn(50, steps=50)
        self.failureResultOf(asked, ResponseNeverReceived)
        self.assertEqual(self.counted()["pings_unanswered"], 1)

    def test_broken(self) -> None:
        asked = self.begin(b"/held")
        self.network.turn()
        transport: Any = self.connections[0].transport
        transport.write(b"\xff" * 100)
        self.network.turn()
        self.failureResultOf(asked, ResponseNeverReceived)
        self.assertEqual(self.counted()["connections_failed"], 1)

    def test_does_not_read(self) -> None:
        asked = self.begin(b"/held")
        self.network.turn()
        client: Any = self.agent.origins[b"localhost", 8808].current
        client.pauseProducing()
        client.dataReceived((b"\0\0\x08\x06\0" + b"\0" * 12) * 20_000)
        self.network.turn()
        self.failureResultOf(asked, ResponseNeverReceived)
        self.assertEqual(self.counted()["control_exceeded"], 1)

    def test_no_connection(self) -> None:
        self.network.up = False
        self.failureResultOf(self.begin(b"/held"), ConnectionRefusedError)
        self.assertEqual(self.counted(), {"connects_failed": 1})

    def test_http1(self) -> None:
        self.agent = self.make_agent(http2=False)
        self.ask(b"/stock")
        self.assertEqual(self.counted(), {"http1_chosen": 1})


class HostileTests(AgentCase):
    """A server that breaks the rules loses its connection, and the next request has another."""

    def check_lost(self, asked: Deferred[Any]) -> None:
        self.network.turn()
        failure = self.failureResultOf(asked, ResponseNeverReceived)
        self.assertIn("closed the connection", unreachable("far", failure).message)
        self.assertEqual(self.network.ends, [])
        self.assertEqual(self.ask(b"/stock").code, 200)

    def say(self, *fields: tuple[bytes, bytes]) -> Deferred[Any]:
        asked = self.begin(b"/held")
        self.network.turn()
        (connection,) = self.connections
        (number,) = connection.streams
        connection.codec.send_fields(number, fields, False)
        connection._flush()
        return asked

    def test_no_status(self) -> None:
        for value in (b"abc", b"-1", b"2" * 30):
            self.check_lost(self.say((b":status", value)))
            self.network.cut()
            self.network.turn()
            self.connections.clear()

    def test_endless_fields(self) -> None:
        many = [(b"x-%d" % n, b"v" * 100) for n in range(700)]
        self.check_lost(self.say((b":status", b"200"), *many))

    def test_what_is_no_frame(self) -> None:
        asked = self.begin(b"/held")
        self.network.turn()
        transport: Any = self.connections[0].transport
        transport.write(b"\xff" * 100)
        self.check_lost(asked)

    def test_asks_and_does_not_read(self) -> None:
        """Answers to its pings are not heaped up for ever."""
        asked = self.begin(b"/held")
        self.network.turn()
        client: Any = self.agent.origins[b"localhost", 8808].current
        client.pauseProducing()
        client.dataReceived((b"\0\0\x08\x06\0" + b"\0" * 12) * 20_000)
        self.check_lost(asked)


class TrustTests(AgentCase):
    def problem(self, asked: Deferred[Any]) -> str:
        self.network.turn()
        return str(unreachable("far", self.failureResultOf(asked)).message)

    def test_wrong_name(self) -> None:
        self.agent = self.make_agent(names=("elsewhere.example",))
        asked = self.begin(b"/held")
        self.assertIn("not for its name", self.problem(asked))
        self.assertEqual(self.held, [])

    def test_unknown_issuer(self) -> None:
        self.agent = self.make_agent(trust=Trust())
        asked = self.begin(b"/held")
        self.assertIn("not trusted", self.problem(asked))
        self.assertEqual(self.held, [])

    def test_no_file(self) -> None:
        self.agent = self.make_agent(trust=Trust("/nowhere.pem"))
        problem = self.failureResultOf(self.begin(b"/held"), ServerUnreachable).value
        self.assertIn("/nowhere.pem, cannot be read", problem.message)

    def test_no_certificate(self) -> None:
        path = Path(self.mktemp())
        for text in ("nonsense", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"):
            path.write_text(text)
            self.agent = self.make_agent(trust=Trust(str(path)))
            problem = self.failureResultOf(self.begin(b"/held"), ServerUnreachable).value
            self.assertIn("no file of PEM certificates", problem.message)

    def test_nobody_there(self) -> None:
        self.network.up = False
        self.failureResultOf(self.begin(b"/held"), ConnectionRefusedError)


class PlainTests(AgentCase):
    """Without TLS there is no HTTP/2."""

    def ask_plain(self, path: bytes) -> Deferred[Any]:
        self.agent._dial = lambda *_: self.network.endpoint(self.front.factory)
        asked = self.agent.request(b"GET", b"http://localhost:%d" % PORT + path, None, None)
        self.network.turn()
        return asked

    def test_closed_at_its_end(self) -> None:
        """A body that is closed while its end is at hand takes no other request with it."""
        asked = self.ask_plain(b"/held")
        (request,) = self.held
        request.start(200, [])
        self.network.turn()
        self.successResultOf(asked).deliverBody(Leaving())
        request.write(b"all")
        request.finish()
        self.network.clock.advance(0)
        ((_, far),) = self.network.ends
        self.assertTrue(far.move())
        self.assertEqual(self.successResultOf(self.ask_plain(b"/stock")).code, 200)
        self.assertEqual(len(self.connections), 2)


class FallbackTests(AgentCase):
    def make_agent(self, **options: Any) -> H2Agent:
        return super().make_agent(http2=False, **options)

    def test_http1(self) -> None:
        """The connection on which it was found out is the one that is used, and kept."""
        for _ in range(3):
            response = self.ask(b"/whole", b"POST", b"hello")
            self.assertEqual((response.version[1], self.body(response)), (1, b"hello"))
        self.assertEqual(len(self.connections), 1)

    def test_several(self) -> None:
        """Each has a connection."""
        asked = [self.begin(b"/held") for _ in range(3)]
        self.network.turn()
        for request in self.held:
            request.respond(200, [], b"x")
        self.network.turn()
        self.assertEqual([self.successResultOf(one).code for one in asked], [200] * 3)
        self.assertEqual(len(self.connections), 3)

    def test_asked_again_later(self) -> None:
        """A server may learn."""
        self.body(self.ask(b"/stock"))
        self.network.turn(HTTP2ClientLimits().http1 + 1, steps=3)
        capable = super().make_agent()
        self.agent._dial = capable._dial
        self.agent.trust = capable.trust
        self.assertEqual(self.ask(b"/stock").version[1], 2)

    def test_wrong_name(self) -> None:
        self.agent = self.make_agent(names=("elsewhere.example",))
        asked = self.begin(b"/held")
        self.network.turn()
        self.assertIn("name", unreachable("far", self.failureResultOf(asked)).message)
