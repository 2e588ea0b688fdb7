"""The servers behind: each one's wire."""

from __future__ import annotations

import json

from hypothesis import example, given, settings
from hypothesis import strategies as some
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.config import load
from mcptwist.wiring.premises import Premises
from mcptwist.wiring.servers import make_connector

PARTS = [
    "a",
    "ä",
    "1",
    ":",
    "/",
    "#",
    "?",
    "@",
    "[",
    "]",
    "%",
    ".",
    "-",
    "_",
    "\\",
    "&",
    ";",
    " ",
    "x" * 70,
]


class ConnectorTests(SynchronousTestCase):
    """The ways to servers."""

    @settings(deadline=None, max_examples=150)
    @given(
        some.sampled_from(["http:", "https:", "ws:", "wss:", "unix:", "WS:"]),
        some.lists(some.sampled_from(PARTS), max_size=8).map("".join),
    )
    @example("ws:", "a/x#y")
    @example("wss:", "[::1]:9/#")
    def test_any_url(self, scheme: str, rest: str) -> None:
        """A URL is a mistake of its server's, or there is a way to it: no other server suffers."""
        slashes = "" if scheme == "unix:" else "//"
        text = json.dumps({"mcpServers": {"a": {"url": f"{scheme}{slashes}{rest}"}}})
        config = load(text, "x.json", {}).config
        assert config is not None
        premises = Premises(config, MemoryReactorClock(), {})
        made = [make_connector(server, premises) for server in config.servers]
        self.assertEqual(len(made) + len(config.broken), 1)
