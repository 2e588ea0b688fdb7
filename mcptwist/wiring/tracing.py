"""Where traces go: an OpenTelemetry collector, if the environment names one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from mcptwist.watching.tracing import Tracing
from mcptwist.wiring.premises import IDENTITY

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_TIMEOUT = 5.0
"""Seconds that sending may take; the last spans are sent while the daemon stops."""

_log = Logger()


class Exporting(Service):
    """Has the last spans sent when the daemon stops.

    :ivar tracing: makes the spans.
    """

    def __init__(self, provider: TracerProvider, reactor: Any) -> None:
        self.tracing = Tracing(provider)
        self._provider = provider
        self._reactor = reactor

    def stopService(self) -> Deferred[None]:
        """Called when the daemon stops; sending waits for the network, so not in our thread."""
        super().stopService()
        pool = self._reactor.getThreadPool()
        return deferToThreadPool(self._reactor, pool, self._provider.shutdown)


def endpoint_of(environ: Mapping[str, str]) -> str:
    """Where a collector takes spans; empty for nowhere (OpenTelemetry, *OTLP Exporter*)."""
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return ""
    own, every = (environ.get(name, "").strip() for name in ENDPOINTS)
    return own or (f"{every.rstrip('/')}/v1/traces" if every else "")


def make_exporting(environ: Mapping[str, str], reactor: Any) -> Exporting | None:
    """What sends spans, if they are to be sent and the packages for that are there."""
    endpoint = endpoint_of(environ)
    if not endpoint:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as problem:
        _log.error("no traces: {problem}; install mcptwist[otel]", problem=str(problem))
        return None
    name = environ.get("OTEL_SERVICE_NAME") or IDENTITY["name"]
    resource = Resource.create({"service.name": name, "service.version": IDENTITY["version"]})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(
        BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, timeout=_TIMEOUT))
    )
    _log.info("traces go to {endpoint}", endpoint=endpoint)
    return Exporting(provider, reactor)
