"""The usual members of params."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.messages import encode_json
from mcptwist.params import read_params

USUAL = ("name", "uri", "arguments", "cursor", "task", "taskId", "_meta")
VALUES = st.recursive(st.none() | st.integers() | st.text(max_size=5), st.lists, max_leaves=5)


class ParamsTests(SynchronousTestCase):
    @settings(max_examples=50, deadline=None)
    @given(st.dictionaries(st.sampled_from(USUAL), VALUES))
    def test_usual(self, params: dict[str, object]) -> None:
        """All that is in them is found, and written again."""
        read = read_params(json.dumps(params).encode())
        assert read is not None
        self.assertEqual(json.loads(encode_json(read)), params)

    @settings(max_examples=50, deadline=None)
    @given(st.dictionaries(st.text(max_size=9), VALUES, min_size=1))
    def test_unusual(self, params: dict[str, object]) -> None:
        """One other member is enough."""
        is_usual = all(name in USUAL for name in params)
        self.assertEqual(read_params(json.dumps(params).encode()) is not None, is_usual)

    def test_spelt_otherwise(self) -> None:
        for name in (
            "Name",
            "NAME",
            "n\u017fame",
            "nam\u0435",
            "requestState",
            "reque\u017ftState",
        ):
            self.assertIsNone(read_params(json.dumps({name: 1}).encode()), name)
        self.assertIsNotNone(read_params(b'{"n\\u0061me":1}'))

    def test_twice(self) -> None:
        """The last counts, and there is no other any more."""
        read = read_params(b'{"name":"a","name":"b"}')
        self.assertEqual(encode_json(read), b'{"name":"b"}')

    def test_no_params(self) -> None:
        for text in (b"", b"[]", b"7", b'{"name":', b'{"name":1}x', b'{"name":' + b"[" * 5000):
            self.assertIsNone(read_params(text), text[:20])
        read = read_params(b"{}")
        assert read is not None
        self.assertIs(read.name, UNSET)
