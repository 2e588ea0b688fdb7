"""Held calls and the states they are held under, which come back from a stranger."""

from __future__ import annotations

import base64
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.eras.held import Held, digest, read_retry
from mcptwist.errors import InvalidParams, Overloaded
from mcptwist.messages import Request, encode_json
from tests.scripted import opened


class Bytes:
    """So many bytes each time, never the same."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, size: int) -> bytes:
        self.asked += 1
        return self.asked.to_bytes(size, "big")


class HeldThing:
    """A call that remembers that nobody came back."""

    def __init__(self) -> None:
        self.expirations = 0

    def expired(self) -> None:
        self.expirations += 1


def request(method: str = "tools/call", id: int = 1, **params: Any) -> Request:
    return Request(id, method, encode_json({"name": "t", "arguments": {"a": 1}, **params}))


class HeldTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.held = Held(self.clock, Bytes(), limit=3, patience=60.0)
        self.call = HeldThing()

    def assert_refused(self, state: str, asked: Request | None = None, who: str = "alice") -> None:
        with self.assertRaises(InvalidParams):
            self.held.take(state, asked or request(), who)

    def test_take(self) -> None:
        """The same request, under a new id, of the same principal, is what was waited for."""
        state = self.held.hold(self.call, request(id=1), "alice")
        retry = request(id=2, requestState=state, inputResponses={"x": {}}, _meta={"m": 1})
        self.assertIs(self.held.take(state, retry, "alice"), self.call)
        self.assertEqual((len(self.held), self.clock.getDelayedCalls()), (0, []))

    def test_order_of_params(self) -> None:
        """The order in which a client writes its params means nothing."""
        state = self.held.hold(self.call, Request(1, "m", b'{"a":1,"b":{"c":2,"d":3}}'), "alice")
        retry = Request(2, "m", b'{"b": {"d": 3, "c": 2}, "a": 1}')
        self.assertIs(self.held.take(state, retry, "alice"), self.call)

    def test_replayed(self) -> None:
        """A state is good for once."""
        state = self.held.hold(self.call, request(), "alice")
        self.held.take(state, request(), "alice")
        self.assert_refused(state)

    def test_foreign(self) -> None:
        """Another principal's state is of no use, and of no harm to its owner."""
        state = self.held.hold(self.call, request(), "alice")
        for who in ("bob", "", "alice\0"):
            self.assert_refused(state, who=who)
        self.assertIs(self.held.take(state, request(), "alice"), self.call)

    def test_another_request(self) -> None:
        """A state belongs to its request: not to other arguments, another name or method."""
        state = self.held.hold(self.call, request(), "alice")
        others = (
            request(arguments={"a": 2}),
            request(name="other"),
            request(method="prompts/get"),
            request(more=1),
            Request(1, "tools/call"),
        )
        for other in others:
            self.assert_refused(state, other)
        self.assertEqual(len(self.held), 1)

    def test_another_server(self) -> None:
        """A state belongs to its server: another's tool of the same name is another."""
        state = self.held.hold(self.call, request(), "alice", "one")
        with self.assertRaises(InvalidParams):
            self.held.take(state, request(), "alice", "two")
        self.assertIs(self.held.take(state, request(), "alice", "one"), self.call)

    def test_no_sliding(self) -> None:
        """A principal's end and a request's beginning cannot be moved against each other."""
        state = self.held.hold(self.call, request(), "ab")
        self.assert_refused(state, who="a")

    def test_another_daemon(self) -> None:
        """A state of another daemon, with another key, is none of ours."""

        def other(size: int) -> bytes:
            return b"o" * size

        foreign = Held(self.clock, other).hold(self.call, request(), "alice")
        self.assert_refused(foreign)

    def test_mixed(self) -> None:
        """The handle of one state under the seal of another is refused."""
        token, other = (
            base64.urlsafe_b64decode(self.held.hold(HeldThing(), asked, "alice") + "==")
            for asked in (request(), request(name="other"))
        )
        mixed = base64.urlsafe_b64encode(token[:16] + other[16:]).rstrip(b"=").decode()
        self.assert_refused(mixed)
        self.assertEqual(len(self.held), 2)

    @settings(deadline=None, max_examples=60)
    @given(st.data())
    def test_tampered(self, data: st.DataObject) -> None:
        """Any other text than the very state is refused, and takes nothing away."""
        held = Held(Clock(), Bytes())
        state = held.hold(self.call, request(), "alice")
        at = data.draw(st.integers(0, len(state)))
        length = data.draw(st.integers(0, 3))
        put = data.draw(st.text(max_size=3))
        tampered = state[:at] + put + state[at + length :]
        if tampered == state:
            return
        with self.assertRaises(InvalidParams):
            held.take(tampered, request(), "alice")
        self.assertIs(held.take(state, request(), "alice"), self.call)

    @settings(deadline=None, max_examples=60)
    @given(st.text(max_size=100))
    def test_invented(self, state: str) -> None:
        """So is whatever a client makes up."""
        with self.assertRaises(InvalidParams):
            Held(Clock(), Bytes()).take(state, request(), "alice")

    def test_expired(self) -> None:
        """Nobody comes back: the call hears so, once, and nothing is left of it."""
        state = self.held.hold(self.call, request(), "alice")
        self.clock.advance(59)
        self.assertEqual(self.call.expirations, 0)
        self.clock.advance(1)
        self.assertEqual((self.call.expirations, self.held.expired), (1, 1))
        self.assertEqual((len(self.held), self.clock.getDelayedCalls()), (0, []))
        self.assert_refused(state)

    def test_limit(self) -> None:
        """Only so many wait; one that goes makes room."""
        states = [self.held.hold(HeldThing(), request(), "alice") for _ in range(3)]
        with self.assertRaises(Overloaded) as caught:
            self.held.hold(self.call, request(), "alice")
        self.assertEqual((caught.exception.data["limit"], self.held.refused), ("held_calls", 1))
        self.held.take(states[1], request(), "alice")
        self.held.hold(self.call, request(), "alice")
        self.assertEqual(len(self.held), 3)

    def test_drop(self) -> None:
        """A call that is over is held no more, and does not expire."""
        other = HeldThing()
        state = self.held.hold(self.call, request(), "alice")
        kept = self.held.hold(other, request(), "alice")
        self.held.drop(self.call)
        self.assert_refused(state)
        self.assertIs(self.held.take(kept, request(), "alice"), other)
        self.assertEqual((self.call.expirations, self.clock.getDelayedCalls()), (0, []))

    def test_clear(self) -> None:
        """When the daemon stops, every call hears that nobody will come."""
        calls = [HeldThing() for _ in range(3)]
        for call in calls:
            self.held.hold(call, request(), "alice")
        self.held.clear()
        self.assertEqual([call.expirations for call in calls], [1, 1, 1])
        self.assertEqual((len(self.held), self.clock.getDelayedCalls()), (0, []))

    def test_states_tell_nothing(self) -> None:
        """Two states for the same request differ, and hold nothing of it or of its asker."""
        one, two = (self.held.hold(self.call, request(), "alice") for _ in range(2))
        self.assertNotEqual(one, two)
        token = base64.urlsafe_b64decode(one + "==")
        self.assertEqual(len(token), 48)
        self.assertNotIn(b"alice", token)


class DigestTests(SynchronousTestCase):
    def test_method_and_params(self) -> None:
        """A method and its params are told apart from another's."""
        digests = {
            digest(Request(1, method, params))
            for method in ("a", "ab")
            for params in (b"", b'{"b":1}', b'{"b":"1"}', b'{"b":[1]}', b'{"b":null}')
        }
        self.assertEqual(len(digests), 10)


class RetryTests(SynchronousTestCase):
    def test_first(self) -> None:
        """Without a state it is no retry, whatever answers come with it."""
        params: tuple[Any, ...] = ({}, {"inputResponses": {"a": {}}}, {"inputResponses": None})
        for each in params:
            self.assertIsNone(read_retry(encode_json(each)).state)
        self.assertIsNone(read_retry(b"").state)

    def test_retry(self) -> None:
        """A state and the answers, unopened."""
        retry = read_retry(b'{"requestState":"s","inputResponses":{"a":{"x":1}}}')
        self.assertEqual((retry.state, opened(retry.responses["a"])), ("s", {"x": 1}))
        self.assertEqual(read_retry(b'{"requestState":"s"}').responses, {})

    def test_malformed(self) -> None:
        """What is not as it must be is refused before anything is taken."""
        for wrong in (
            b'{"requestState":1}',
            b'{"requestState":{}}',
            b'{"requestState":"s","inputResponses":[]}',
            b'{"requestState":"s","inputResponses":null}',
            b'{"requestState":"s","inputResponses":{"a":12345}}',
            b'{"requestState":"s","inputResponses":{"a":null}}',
            b'{"requestState":"s","inputResponses":{"a":["b"]}}',
        ):
            with self.assertRaises(InvalidParams, msg=wrong):
                read_retry(wrong)
