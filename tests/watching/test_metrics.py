"""``mcptwist.watching.metrics``: the snapshot as Prometheus wants it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.awaited import Refused
from mcptwist.config import Config
from mcptwist.services import make_daemon
from mcptwist.watching.metrics import exposition
from mcptwist.watching.status import Status
from mcptwist.watching.survey import Survey
from tests.administered import NOW, Administered, FakeMachine

PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.rst"


class MetricsCase(SynchronousTestCase):
    """A daemon after some calls."""

    def setUp(self) -> None:
        self.house = Administered()
        self.addCleanup(self.house.stop)
        client = self.house.ask_server()
        self.house.result(client.call_tool("add", {"a": 1, "b": 2}))
        self.house.result(client.call_tool("fail", {}))
        self.assertRaises(Refused, self.house.result, client.call_tool("none", {}))
        self.house.peer()
        text = exposition(self.house.survey.status("*")).decode()
        self.families = {f.name: f for f in text_string_to_metric_families(text)}

    def value(self, family: str, sample: str = "", **labels: str) -> float:
        """The one sample of a family with those labels."""
        found = [
            each.value
            for each in self.families[family].samples
            if labels.items() <= each.labels.items() and each.name.endswith(sample)
        ]
        self.assertEqual(len(found), 1, (family, sample, labels))
        return found[0]


class MetricsTests(MetricsCase):
    """What is told."""

    def test_outcomes(self) -> None:
        """The kinds of failure are kept apart."""
        for outcome, count in (("ok", 2), ("failed", 1), ("error", 1), ("late", 0)):
            self.assertEqual(self.value("mcptwist_calls", server="sums", outcome=outcome), count)

    def test_tools(self) -> None:
        """Tools are told by name; one that does not exist is among the others."""
        self.assertEqual(self.value("mcptwist_tool_calls", tool="add", outcome="ok"), 1)
        self.assertEqual(self.value("mcptwist_tool_calls", tool="(others)", outcome="error"), 1)
        self.assertEqual(self.value("mcptwist_tool_call_seconds", "_count", tool="add"), 1)

    def test_histogram(self) -> None:
        """Buckets grow, and the last one is the count."""
        samples = self.families["mcptwist_call_seconds"].samples
        buckets = [s.value for s in samples if s.name.endswith("_bucket")]
        self.assertEqual(buckets, sorted(buckets))
        self.assertEqual(buckets[-1], self.value("mcptwist_call_seconds", "_count"))
        self.assertGreater(len(buckets), 15)

    def test_servers(self) -> None:
        """States, and whether a server can be asked."""
        self.assertEqual(self.value("mcptwist_server_up", server="sums"), 1)
        self.assertEqual(self.value("mcptwist_server_state", state="up"), 1)

    def test_connections(self) -> None:
        """Connections by wire, and counters of the front."""
        self.assertEqual(self.value("mcptwist_connections", wire="http/1.1"), 1)
        self.assertEqual(self.value("mcptwist_http_connections"), 1)
        self.assertIn("mcptwist_http_refused", self.families)

    def test_sockets(self) -> None:
        """What happened on UNIX sockets."""
        config = Config(listen=("lines:unix:/run/mcp.sock",))
        daemon = make_daemon(config, MemoryReactorClock(), {})
        factory: Any = daemon.listeners[0].factory
        factory.buildProtocol(None)
        survey = Survey(daemon, MemoryReactorClock(), FakeMachine(), pid=lambda: 1, now=lambda: NOW)
        text = exposition(survey.status("*")).decode()
        self.families = {f.name: f for f in text_string_to_metric_families(text)}
        self.assertEqual(self.value("mcptwist_socket_opened"), 1)
        self.assertEqual(self.value("mcptwist_socket_overflowed"), 0)

    def test_names(self) -> None:
        """No name is told twice, and all begin alike."""
        text = exposition(self.house.survey.status("*")).decode()
        types = re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE)
        self.assertEqual(len(types), len(set(types)))
        self.assertTrue(all(name.startswith("mcptwist_") for name in types))

    def test_eras(self) -> None:
        """Connections by the era of who was last heard."""
        peer = self.house.peer(port=1000)
        body = (
            b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":'
            b'"2025-11-25","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}'
        )
        peer.protocol.dataReceived(
            b"POST /servers/sums/mcp HTTP/1.1\r\nHost: localhost:8808\r\n"
            b"Accept: application/json, text/event-stream\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        self.house.turn(0.5)
        text = exposition(self.house.survey.status("*")).decode()
        self.families = {f.name: f for f in text_string_to_metric_families(text)}
        self.assertEqual(self.value("mcptwist_connections_by_era", era="legacy"), 1)
        self.assertEqual(self.value("mcptwist_server_sessions", server="sums"), 1)

    def test_what_a_linter_wants(self) -> None:
        """Counters end in _total and nothing else does, no sample comes twice, all have help."""
        for name, family in self.families.items():
            self.assertTrue(family.documentation, name)
            seen = [(s.name, tuple(sorted(s.labels.items()))) for s in family.samples]
            self.assertEqual(len(seen), len(set(seen)), name)
            for sample in family.samples:
                totals = sample.name.endswith("_total")
                self.assertEqual(totals, family.type == "counter", sample.name)
                self.assertNotIn("_ms", sample.name)

    def test_hostile_names(self) -> None:
        """What a tool is called steers no line of the text."""
        name = 'we"ird\\ \n# TYPE up gauge\nup 1'
        outcomes = self.house.daemon.gateway.backends["sums"].tally.tools
        outcomes[name] = outcomes["add"]
        text = exposition(self.house.survey.status("*")).decode()
        self.families = {f.name: f for f in text_string_to_metric_families(text)}
        self.assertEqual(self.value("mcptwist_tool_calls", tool=name, outcome="ok"), 1)
        self.assertNotIn("up", self.families)

    def test_empty(self) -> None:
        """A daemon that has nothing has metrics all the same."""
        self.assertIn(b"mcptwist_uptime_seconds 0.0", exposition(Status()))

    def test_documentation(self) -> None:
        """Every metric is told of in the documentation, with its kind, and no other is."""
        page = PAGE.read_text(encoding="utf-8")
        text = exposition(self.house.survey.status("*")).decode()
        told = re.findall(r"^# HELP (\S+) (.*)\n# TYPE \S+ (\S+)$", text, re.MULTILINE)
        listed = set(re.findall(r"   \* - ``(mcptwist_\w+)``", page))
        for name, help, kind in told:
            if help.startswith("Counted so far"):
                part = re.match(
                    r"mcptwist_(http|websocket|sessions|event_log|traffic|bans|held)", name
                )
                assert part is not None, name
                self.assertIn(f"``mcptwist_{part[1]}", page)
            else:
                self.assertIn(f"   * - ``{name}``\n     - {kind}\n", page)
        plain = {name for name, help, _ in told if not help.startswith("Counted so far")}
        self.assertEqual(listed, plain)

    def test_page(self) -> None:
        """Prometheus gets it at /metrics."""
        peer = self.house.peer()
        peer.protocol.dataReceived(b"GET /metrics HTTP/1.1\r\nHost: localhost:8808\r\n\r\n")
        head, _, body = peer.value().partition(b"\r\n\r\n")
        self.assertIn(b"200 OK", head)
        self.assertIn(b"text/plain", head.lower())
        self.assertIn(b'mcptwist_server_up{server="sums"} 1.0', body)
