"""``mcptwist.watching.tracing``: calls as spans, as whoever collects them gets them."""

from __future__ import annotations

import json
from typing import Any

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.client import Client
from mcptwist.server import Context, Server
from mcptwist.watching import tracing
from mcptwist.watching.tracing import Tracing
from mcptwist.wiring.tracing import endpoint_of, make_exporting
from tests.administered import Administered

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "00f067aa0ba902b7"
GIVEN = f"00-{TRACE}-{PARENT}-01"


def telling() -> Server:
    """A server that tells the context it was asked with."""
    server = Server("telling", version="1")

    @server.tool
    def context(ctx: Context) -> str:
        """Tell it."""
        return json.dumps({name: ctx.meta.get(name) for name in tracing.CONTEXT})

    return server


class TracingTests(SynchronousTestCase):
    """A daemon with two servers, whose calls are traced."""

    def setUp(self) -> None:
        self.house = Administered(
            {
                "sums": {"python": "tests.administered:sums"},
                "telling": {"python": "tests.watching.test_tracing:telling"},
            }
        )
        self.addCleanup(self.house.stop)
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracing = Tracing(self.provider)
        self.house.daemon.traffic.trace(self.tracing)

    def client(self, name: str = "sums", era: str = "modern") -> Client:
        client = self.house.ask_server(name, era)
        self.exporter.clear()
        return client

    def ask(self, client: Client, tool: str, arguments: Any, **meta: Any) -> Any:
        params = {"name": tool, "arguments": arguments, **({"_meta": meta} if meta else {})}
        return self.house.result(client.ask("tools/call", params))

    def spans(self) -> list[Any]:
        found = list(self.exporter.get_finished_spans())
        self.exporter.clear()
        return found

    def test_a_call(self) -> None:
        """A span for each call, with the server, the tool, the era and the outcome."""
        self.ask(self.client(), "add", {"a": 1, "b": 2})
        (span,) = self.spans()
        self.assertEqual((span.name, span.kind), ("tools/call add", SpanKind.CLIENT))
        told = dict(span.attributes)
        self.assertTrue(told.pop("jsonrpc.request.id"))
        self.assertTrue(told.pop("mcptwist.client").startswith("mcptwist "))
        self.assertEqual(
            told,
            {
                "mcp.method.name": "tools/call",
                "mcp.protocol.version": "2026-07-28",
                "gen_ai.tool.name": "add",
                "mcptwist.server": "sums",
                "mcptwist.era": "modern",
                "mcptwist.outcome": "ok",
            },
        )
        self.assertEqual(span.status.status_code, StatusCode.UNSET)
        self.assertIsNone(span.parent)

    def test_outcomes(self) -> None:
        """Three ways to fail are kept apart, and what is not answered ends as well."""
        client = self.client()
        self.ask(client, "fail", {})
        client.ask("tools/list", {"cursor": 7}).addErrback(lambda _: None)
        self.house.turn(0.1)
        waiting = client.call_tool("wait", {})
        waiting.addErrback(lambda _: None)
        self.house.turn(0.1)
        self.assertEqual(len(self.tracing), 1)
        waiting.cancel()
        self.house.turn(0.1)
        failed, error, cancelled = self.spans()
        for span, outcome, kind in (
            (failed, "failed", "tool_error"),
            (error, "error", "-32602"),
            (cancelled, "cancelled", "cancelled"),
        ):
            self.assertEqual(span.attributes["mcptwist.outcome"], outcome)
            self.assertEqual(span.attributes["error.type"], kind)
            self.assertEqual(span.status.status_code, StatusCode.ERROR)
        self.assertEqual(len(self.tracing), 0)

    def test_lost(self) -> None:
        """A call whose server is gone ends with it."""
        waiting = self.client().call_tool("wait", {})
        waiting.addErrback(lambda _: None)
        self.house.turn(0.1)
        self.house.call("stop_server", name="sums")
        self.house.turn(0.5)
        outcomes = [s.attributes["mcptwist.outcome"] for s in self.spans()]
        self.assertIn("lost", outcomes)

    def test_context(self) -> None:
        """The client's span is the parent of ours, and ours is what the server is sent."""
        for era in ("modern", "legacy"):
            client = self.client("telling", era)
            meta = {"traceparent": GIVEN, "tracestate": "vendor=1", "baggage": "who=me"}
            result = self.ask(client, "context", {}, **meta)
            (span,) = self.spans()
            self.assertEqual(f"{span.context.trace_id:032x}", TRACE)
            self.assertEqual(f"{span.parent.span_id:016x}", PARENT)
            told = json.loads(result["content"][0]["text"])
            self.assertEqual(told["traceparent"], f"00-{TRACE}-{span.context.span_id:016x}-01")
            self.assertEqual((told["tracestate"], told["baggage"]), ("vendor=1", "who=me"))
            self.assertEqual(span.attributes["mcptwist.era"], era)

    def test_hostile_context(self) -> None:
        """What is no context is none; the call goes on and is traced by itself."""
        client = self.client("telling")
        for bad in ("nonsense", "00-" + "f" * 5000, "", 7, ["x"]):
            self.ask(client, "context", {}, traceparent=bad, tracestate={"a": 1})
            (span,) = self.spans()
            self.assertIsNone(span.parent, bad)

    def test_unsampled(self) -> None:
        """A client that does not want to be traced is not."""
        client = self.client("telling")
        result = self.ask(client, "context", {}, traceparent=GIVEN[:-2] + "00")
        self.assertEqual(self.spans(), [])
        told = json.loads(result["content"][0]["text"])["traceparent"]
        self.assertTrue(told.startswith(f"00-{TRACE}-") and told.endswith("-00"), told)

    def test_bounded(self) -> None:
        """More open calls than are followed have no span, and that is counted."""
        client = self.client()
        self.patch(tracing, "OPEN", 0)
        self.ask(client, "add", {"a": 1, "b": 2})
        self.assertEqual((self.spans(), self.tracing.dropped), ([], 1))

    def test_watching_as_well(self) -> None:
        """Who watches sees what they would, and costs nothing of it when they leave."""
        client = self.client()
        watching = self.house.daemon.traffic.watch()
        self.ask(client, "add", {"a": 1, "b": 2})
        self.assertEqual(len(watching.take()[0]), 2)
        self.house.daemon.traffic.leave(watching)
        self.ask(client, "add", {"a": 1, "b": 2})
        self.assertEqual(len(self.spans()), 2)
        self.assertEqual(self.house.daemon.traffic.missed, 0)


class EndpointTests(SynchronousTestCase):
    """Where spans go, by the environment."""

    def test_nowhere(self) -> None:
        """Nothing is made unless somebody wants it."""
        for environ in ({}, {"OTEL_EXPORTER_OTLP_ENDPOINT": " "}):
            self.assertIsNone(make_exporting(environ, None))
        off = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "True"}
        self.assertEqual(endpoint_of(off), "")
        house = Administered()
        self.addCleanup(house.stop)
        self.assertFalse(house.daemon.traffic.watched)

    def test_endpoints(self) -> None:
        """That of all signals is a base, that of traces is it."""
        every = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/"}
        self.assertEqual(endpoint_of(every), "http://c:4318/v1/traces")
        own = {**every, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://d/x"}
        self.assertEqual(endpoint_of(own), "http://d/x")
