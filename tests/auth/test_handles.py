"""Handles: sealed and opened, noted and asked for, whatever is in them."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.handles import States, Tasks, holds_handle, task_in
from mcptwist.errors import InvalidMessage, InvalidParams, UnknownName
from mcptwist.params import read_params

STATES = st.text(st.characters(exclude_categories=["Cs"]))


class StatesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.states = States(b"s" * 32)

    @settings(max_examples=200, deadline=None)
    @given(
        st.text(st.characters(exclude_categories=["Cs"])),
        st.text(max_size=20),
        st.text(max_size=20),
    )
    def test_there_and_back(self, state: str, owner: str, other: str) -> None:
        """What went out comes back as it was, to its owner; to others it does not."""
        given = json.dumps({"requestState": state, "a": [1]}).encode()
        sealed = self.states.sealed(given, owner)
        self.assertEqual(json.loads(bytes(self.states.opened(sealed, owner))), json.loads(given))
        if other != owner:
            self.assertRaises(InvalidParams, self.states.opened, sealed, other)

    @settings(max_examples=200, deadline=None)
    @given(st.binary(max_size=100), st.text(max_size=50))
    def test_anything(self, data: bytes, state: str) -> None:
        for made in (data, b'{"requestState":' + data + b"}"):
            self.assertIsInstance(bytes(self.states.sealed(made, "a")), bytes)
            try:
                self.states.opened(made, "a")
            except (InvalidParams, InvalidMessage):
                pass
        forged = json.dumps({"requestState": state}).encode()
        self.assertRaises(InvalidParams, self.states.opened, forged, "a")

    def test_without(self) -> None:
        """What has no state stays the bytes it was."""
        for data in (b"{}", b'{"a":"requestState"}', b'{"a":{"requestState":"x"}}'):
            self.assertIs(self.states.opened(data, "a"), data)
            self.assertIs(self.states.sealed(data, "a"), data)


class LookingTests(SynchronousTestCase):
    """What is looked into, and what need not be."""

    def test_params(self) -> None:
        """Only names count, and each name that some server might take for a state."""
        for text in (
            '{"name":"t"}', '{"name":"requestState","arguments":{"requestState":1}}',
            '{"arguments":{},"_meta":{"a":"\\u0052"},"name":"t","task":{}}', '{"uri":"x"}', "{}",
        ):  # fmt: skip
            self.assertIsNotNone(read_params(text.encode()), text)
        for text in (
            '{"requestState":1}', '{"name":"t","requestState":null}', '{"REQUESTSTATE":1}',
            r'{"request\u0053tate":1}', '{"reque\u017ftState":1}', '{"Name":"t"}', "", "[]", '{"',
            '{"name":"t"}{"requestState":1}', '{"arguments":' + "[" * 5000 + "]" * 5000 + "}",
        ):  # fmt: skip
            self.assertIsNone(read_params(text.encode()), text)

    def test_results(self) -> None:
        for text in ('{"requestState":"x"}', '{"task":{}}', '{"taskId":1}', r'{"t\u0061sk":{}}'):
            self.assertTrue(holds_handle(text.encode()), text)
        for text in ("{}", "[]", "", '{"content":["requestState"]}', '{"a":{"taskId":1}}'):
            self.assertFalse(holds_handle(text.encode()), text)
        self.assertFalse(holds_handle(b'{"taskId":"1","x":"' + b"x" * (1 << 20) + b'"}'))


class TasksTests(SynchronousTestCase):
    def test_bounded(self) -> None:
        tasks = Tasks(limit=2)
        for number in range(3):
            tasks.note("s", b'{"taskId":"%d"}' % number, "a")
        self.assertEqual(len(tasks), 2)
        self.assertRaises(UnknownName, tasks.check, "s", b'{"taskId":"0"}', "a")
        tasks.check("s", b'{"taskId":"2"}', "a")

    def test_the_first_owner_stays(self) -> None:
        """A server that gives one id twice gives nothing away."""
        tasks = Tasks()
        tasks.note("s", b'{"task":{"taskId":"1"}}', "a")
        tasks.note("s", b'{"task":{"taskId":"1"}}', "b")
        tasks.check("s", b'{"taskId":"1"}', "a")
        self.assertRaises(UnknownName, tasks.check, "s", b'{"taskId":"1"}', "b")
        self.assertRaises(UnknownName, tasks.check, "t", b'{"taskId":"1"}', "a")

    @settings(max_examples=100, deadline=None)
    @given(st.binary(max_size=60))
    def test_anything(self, data: bytes) -> None:
        tasks = Tasks()
        for made in (data, b'{"taskId":' + data, b'{"task":' + data + b',"taskId":1}'):
            tasks.note("s", made, "a")
            task_in(made)
            self.assertRaises(UnknownName, tasks.check, "t", made, "a")
            try:
                tasks.own("s", made, "a")
            except InvalidMessage:
                pass
