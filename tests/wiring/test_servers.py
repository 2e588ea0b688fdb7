"""The servers behind: each one's wire."""

from __future__ import annotations

import json

from hypothesis import example, given, settings
from hypothesis import strategies as some
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.client import connect
from mcptwist.config import Config, default_config, load
from mcptwist.server import Server
from mcptwist.wiring.premises import Premises
from mcptwist.wiring.servers import make_connector, with_own_servers

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


class OwnTests(SynchronousTestCase):
    """Servers that an application has made."""

    def test_served_beside_those_of_the_configuration(self) -> None:
        config = with_own_servers(default_config(), {"garden": Server("garden")})
        self.assertEqual([server.name for server in config.servers], ["toolbox", "garden"])

    def test_the_object_itself_is_asked(self) -> None:
        made, clock = Server("garden"), MemoryReactorClock()
        made.add_tool(lambda: "it is", name="who")
        config = with_own_servers(Config(), {"garden": made})
        premises = Premises(config, clock, {}, own={"garden": made})
        connecting = connect(make_connector(config.servers[0], premises), reactor=clock)
        clock.pump([0] * 20)
        calling = self.successResultOf(connecting).call_tool("who")
        clock.pump([0] * 20)
        self.assertEqual(self.successResultOf(calling).text, "it is")

    def test_names(self) -> None:
        for name in ("toolbox", "a b", ""):
            with self.assertRaises(ValueError) as refused:
                with_own_servers(default_config(), {name: Server("x")})
            self.assertIn("expected", str(refused.exception))
