"""Calls as OpenTelemetry spans, one for each request that is put to a server.

The context that a client sends in ``_meta`` (``traceparent``, ``tracestate``, ``baggage``; MCP
2026-07-28, *OpenTelemetry trace context*) is the span's parent, and the server is sent the span in
its place, so what client, daemon and server tell of a call is one trace. Names of attributes are
those of OpenTelemetry's conventions for MCP where it has some. Only whoever switches it on needs
the packages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw

import mcptwist
from mcptwist.errors import InvalidMessage
from mcptwist.exchange import LISTEN, Exchange
from mcptwist.messages import Answer, Error, Json, Request, encode_json, open_fields
from mcptwist.watching.tally import GOOD
from mcptwist.watching.traffic import client_name

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

CONTEXT = ("traceparent", "tracestate", "baggage")
"""What of ``_meta`` is the context of a trace."""

OPEN = 20_000
"""Calls whose span is not ended yet; beyond it, calls have none."""

_LONGEST = 512
_NAMED = {"tools/call": "gen_ai.tool.name", "prompts/get": "gen_ai.prompt.name"}


class _Code(msgspec.Struct):
    code: int = 0
    message: str = ""


class Tracing:
    """Makes spans.

    :param provider: where they go.
    :ivar dropped: calls that had no span, for too many were open.
    """

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry import propagate, trace

        self.dropped = 0
        self._trace = trace
        self._propagator = propagate.get_global_textmap()
        self._tracer = provider.get_tracer("mcptwist", mcptwist.__version__)
        self._open: dict[Exchange, Any] = {}

    def __len__(self) -> int:
        """How many spans are not ended yet."""
        return len(self._open)

    def asked(self, server: str, exchange: Exchange, request: Request, wire: Any) -> Request:
        """*exchange* is put to a server as *request*.

        :param wire: to the server.
        :return: the request to send: with the new span as its context.
        """
        if exchange.stay is None or request.method == LISTEN:
            return request
        if len(self._open) >= OPEN:
            self.dropped += 1
            return request
        try:
            fields = open_fields(request.params)
            meta = open_fields(fields.get("_meta", b""))
        except InvalidMessage:
            return request
        named = _text(fields.get("name")) if request.method in _NAMED else ""
        span = self._tracer.start_span(
            f"{request.method} {named}".strip(),
            context=self._propagator.extract(_carried(meta)),
            kind=self._trace.SpanKind.CLIENT,
            attributes=_attributes(server, exchange, request, named, wire),
        )
        self._open[exchange] = span
        return Request(request.id, request.method, self._carrying(span, fields, meta))

    def _carrying(self, span: Any, fields: dict[str, Raw], meta: dict[str, Raw]) -> Json:
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, self._trace.set_span_in_context(span))
        carried = {name: Raw(encode_json(carrier[name])) for name in CONTEXT if name in carrier}
        return encode_json({**fields, "_meta": {**meta, **carried}})

    def answered(self, exchange: Exchange, answer: Answer, status: str) -> None:
        """The server answered.

        :param status: ``ok``, ``failed`` or ``error``.
        """
        span = self._open.pop(exchange, None)
        if span is None:
            return
        why = "tool_error" if status != GOOD else ""
        text = ""
        if isinstance(answer, Error):
            told = _code(answer.error)
            why, text = str(told.code), told.message[:_LONGEST]
            span.set_attribute("rpc.response.status_code", why)
        self._end(span, status, why, text)

    def unanswered(self, exchange: Exchange, status: str) -> None:
        """It will not be answered.

        :param status: ``cancelled``, ``late`` or ``lost``.
        """
        span = self._open.pop(exchange, None)
        if span is not None:
            self._end(span, status, status)

    def _end(self, span: Any, outcome: str, why: str, text: str = "") -> None:
        span.set_attribute("mcptwist.outcome", outcome)
        if why:
            span.set_attribute("error.type", why)
            span.set_status(self._trace.StatusCode.ERROR, text or None)
        span.end()


def _attributes(
    server: str, exchange: Exchange, request: Request, named: str, wire: Any
) -> dict[str, str]:
    stay = exchange.stay
    found = {
        "mcp.method.name": request.method,
        "mcp.protocol.version": getattr(stay, "revision", ""),
        "jsonrpc.request.id": str(exchange.request.id)[:_LONGEST],
        "network.transport": "pipe" if getattr(wire, "pid", None) is not None else "",
        "mcptwist.server": server,
        "mcptwist.era": getattr(stay, "era", ""),
        "mcptwist.wire": _wire(stay),
        "mcptwist.client": client_name(getattr(stay, "client", b"")),
    }
    if request.method in _NAMED:
        found[_NAMED[request.method]] = named
    return {name: value for name, value in found.items() if value}


def _wire(stay: Any) -> str:
    """By which wire the client came, where that can be told."""
    return getattr(stay, "wire", "") or ("http" if getattr(stay, "mirror", None) else "")


def _carried(meta: Mapping[str, Raw]) -> dict[str, str]:
    return {name: text for name in CONTEXT if (text := _text(meta.get(name)))}


def _text(json: Json | None) -> str:
    """A string of a client's; nothing where it is none, or too long to be what it should be."""
    try:
        found = "" if json is None else msgspec.json.decode(json, type=str)
    except msgspec.DecodeError:
        return ""
    return found if len(found) <= _LONGEST else ""


def _code(error: Json) -> _Code:
    try:
        return msgspec.json.decode(error, type=_Code)
    except msgspec.DecodeError:
        return _Code()
