"""``configuration.http2config``: HTTP/2 at either end, from the file to where it is heeded."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.config import Config, Http2, Http2Client, Loaded, load
from mcptwist.configuration.http2config import http2_table
from mcptwist.configuration.settings import Ledger
from mcptwist.protocols.h2agent import H2Agent
from mcptwist.services import make_daemon
from mcptwist.watching.survey import Survey

FAR = {"url": "https://far.example/mcp"}


def loaded(server: Any = FAR, **sections: Any) -> Loaded:
    return load(json.dumps({"mcpServers": {"far": server}, **sections}), "mcp.json", {})


class ReadingTests(SynchronousTestCase):
    """What may stand in the file."""

    def config(self, **more: Any) -> Config:
        found = loaded(**more)
        assert found.config is not None, found.mistakes
        return found.config

    def test_defaults(self) -> None:
        """It is spoken at both ends."""
        config = self.config()
        self.assertEqual((config.http2, config.http2_client), (Http2(), Http2Client()))
        self.assertTrue(config.http2.spoken and config.http2_client.spoken)

    def test_switched_off(self) -> None:
        """Each end by itself."""
        self.assertEqual(self.config(http2=False).http2, Http2(spoken=False))
        self.assertEqual(self.config(http2_client=False).http2_client, Http2Client(spoken=False))
        self.assertEqual(self.config(http2=True).http2, Http2())

    def test_too_wide(self) -> None:
        """A window is a number of 31 bits."""
        for section in ("http2", "http2_client"):
            for key in ("stream_window", "connection_window"):
                (mistake,) = loaded(**{section: {key: "2GiB"}}).mistakes
                self.assertEqual(mistake.path, f"{section}.{key}")

    def test_not_a_table(self) -> None:
        ledger = Ledger({})
        self.assertIsNone(http2_table(Http2)(ledger.place("http2"), "yes"))
        self.assertEqual(len(ledger.mistakes), 1)

    def test_where_it_means_nothing(self) -> None:
        """A server that is not asked over TLS is not asked over HTTP/2."""
        for url in ("http://far.example/mcp", "wss://far.example/ws", "unix:/run/far.sock"):
            (mistake,) = loaded({"url": url, "http2": False}).mistakes
            self.assertEqual(mistake.path, "mcpServers.far.http2", url)


class HeededTests(SynchronousTestCase):
    """A daemon that was made of it."""

    def agent(self, server: Any = FAR, **sections: Any) -> H2Agent:
        config = loaded(server, **sections).config
        assert config is not None
        self.daemon = make_daemon(config, Clock(), {})
        backend: Any = self.daemon.gateway.backends["far"]
        agent: H2Agent = backend._connector._upstream._agent
        return agent

    def test_every_bound(self) -> None:
        """Each number of the section reaches the agent, and no other does."""
        fields = [name for name in Http2Client.__struct_fields__ if name != "spoken"]
        section = {name: 100_000 + at for at, name in enumerate(fields)}
        limits = self.agent(http2_client=section).limits
        heeded = sorted(float(getattr(limits, name)) for name in limits.__struct_fields__)
        self.assertEqual(
            [number for number in heeded if number >= 100_000],
            [float(100_000 + at) for at in range(len(fields))],
        )

    def test_defaults_are_the_same(self) -> None:
        """What is said of defaults is what holds without a configuration."""
        agent = self.agent()
        self.assertEqual(agent.limits, type(agent.limits)())

    def test_not_spoken(self) -> None:
        """To one server, or to all."""
        self.assertTrue(self.agent().limits.spoken)
        self.assertFalse(self.agent({**FAR, "http2": False}).limits.spoken)
        self.assertFalse(self.agent(http2_client=False).limits.spoken)

    def test_endpoints(self) -> None:
        """What encrypted endpoints choose from, where a client offers both."""
        for section, chosen in ((True, b"h2"), (False, b"http/1.1")):
            self.agent(http2=section, listen=["https:0:interface=127.0.0.1"])
            certificates: Any = self.daemon.certificates
            self.assertEqual(certificates._choose_protocol(None, [b"http/1.1", b"h2"]), chosen)

    def test_counted(self) -> None:
        """What happens is in the status, with all other counts."""
        agent = self.agent()
        agent.counters.requests_refused += 3
        counters = Survey(self.daemon, Clock()).status().counters
        self.assertEqual(counters["http2_client.requests_refused"], 3)
        self.assertEqual(counters["http2_client.connections"], 0)
