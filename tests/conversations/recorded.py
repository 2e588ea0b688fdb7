"""The conversations that the documentation shows, had anew each time they are asked for.

``python -m tests.conversations.recorded`` writes them to ``docs/wires/conversations``; the tests
hold those files to what is really said.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tests.conversations.spoken_frames import http2
from tests.conversations.spoken_lines import stdio, unix_sockets
from tests.conversations.tape import BOTH, Request, Tape, hello, meta, rpc
from tests.protocols.wsfront import CLOSE, FIN, KEY, PING, PONG, TEXT, frame, frames

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "wires" / "conversations"


def streamable_legacy() -> str:
    """Revision 2025-11-25 over Streamable HTTP."""
    tape = Tape()
    tape.note("The handshake. The answer names the session.")
    welcome = Request(tape, "POST", "/mcp", hello("2025-11-25"), Accept=BOTH)
    session = {
        "Mcp_Session_Id": welcome.response.headers["mcp-session-id"],
        "MCP_Protocol_Version": "2025-11-25",
    }
    initialized = rpc("notifications/initialized")
    Request(tape, "POST", "/mcp", initialized, Accept=BOTH, **session)
    tape.note("A call that is answered at once is answered as JSON.")
    call = rpc("tools/call", 2, name="water", arguments={"beds": 1})
    Request(tape, "POST", "/mcp", call, Accept=BOTH, **session)
    tape.note("One of whose progress the client wants to hear becomes an event stream.")
    call = rpc(
        "tools/call", 3, name="water", arguments={"beds": 2}, _meta={"progressToken": "beds"}
    )
    Request(tape, "POST", "/mcp", call, Accept=BOTH, **session)
    tape.note("So does one in whose course the server asks; its answer is another POST.")
    asking = Request(tape, "POST", "/mcp", rpc("tools/call", 4, name="mow"), Accept=BOTH, **session)
    answer = {"jsonrpc": "2.0", "id": 1, "result": {"action": "accept", "content": {"mow": True}}}
    Request(tape, "POST", "/mcp", answer, Accept=BOTH, **session)
    asking.hear()
    tape.note("The end.")
    Request(tape, "DELETE", "/mcp", **session)
    return tape.text


def streamable_modern() -> str:
    """Revision 2026-07-28 over Streamable HTTP."""
    tape = Tape()

    def ask(method: str, id: int, name: str | None = None, **params: Any) -> Request:
        headers = {"MCP_Protocol_Version": "2026-07-28", "Mcp_Method": method}
        headers |= {"Mcp_Name": name} if name else {}
        params = {"name": name, **params} if name else params
        return Request(tape, "POST", "/mcp", rpc(method, id, **params), Accept=BOTH, **headers)

    tape.note("Each request stands alone and says everything about itself.")
    ask("server/discover", 1, _meta=meta())
    tape.note("Progress turns the answer into an event stream; its events have no ids.")
    ask("tools/call", 2, "water", arguments={"beds": 2}, _meta=meta(progressToken="beds"))
    tape.note("A server asks by answering; the client makes its request again, with its answers.")
    asked = ask("tools/call", 3, "mow", _meta=meta())
    result = asked.response.json["result"]
    (key,) = result["inputRequests"]
    inputs = {key: {"action": "accept", "content": {"mow": True}}}
    state = result["requestState"]
    ask("tools/call", 4, "mow", inputResponses=inputs, requestState=state, _meta=meta())
    tape.note("Headers that contradict the body are refused.")
    headers = {"MCP_Protocol_Version": "2026-07-28", "Mcp_Method": "tools/call", "Mcp_Name": "mow"}
    body = rpc("tools/call", 5, name="water", arguments={"beds": 1}, _meta=meta())
    Request(tape, "POST", "/mcp", body, Accept=BOTH, **headers)
    return tape.text


def http_sse() -> str:
    """Revision 2024-11-05 over HTTP+SSE."""
    tape = Tape()
    tape.note("The client listens; the first event tells where to speak.")
    stream = Request(tape, "GET", "/sse", Accept="text/event-stream")
    url = stream.response.blocks[0]["data"]
    tape.note("Everything is accepted on other connections and answered on the stream.")

    def say(message: Any) -> None:
        Request(tape, "POST", url, message)
        stream.hear()

    say(hello("2024-11-05"))
    say(rpc("notifications/initialized"))
    say(
        rpc("tools/call", 2, name="water", arguments={"beds": 2}, _meta={"progressToken": "beds"}),
    )
    say(rpc("tools/call", 3, name="mow"))
    say({"jsonrpc": "2.0", "id": 1, "result": {"action": "decline"}})
    tape.note("Silence is broken now and then.")
    for _ in range(41):
        tape.clock.advance(0.5)
    stream.hear()
    tape.note("The client closes its stream, and with it the session.")
    return tape.text


_NAMES = {TEXT: "TEXT", PING: "PING", PONG: "PONG", CLOSE: "CLOSE"}


def websocket() -> str:
    """Both eras over one WebSocket."""
    tape = Tape()
    tape.note("The opening handshake.")
    opening = Request(
        tape,
        "GET",
        "/ws",
        Connection="Upgrade",
        Upgrade="websocket",
        Sec_WebSocket_Version="13",
        Sec_WebSocket_Key=KEY.decode(),
        Sec_WebSocket_Protocol="mcp",
        Sec_WebSocket_Extensions="permessage-deflate",
    )
    wire = opening.wire
    wire.clear()

    def hear() -> None:
        tape.turn()
        for first, payload in frames(wire.value()):
            assert first & FIN
            tape.heard(_shown(first & 15, payload))
        wire.clear()

    def say(opcode: int, payload: bytes) -> None:
        tape.heard(_shown(opcode, payload), ">")
        wire.protocol.dataReceived(frame(payload, opcode))
        hear()

    def tell(message: Any) -> None:
        say(TEXT, msgspec.json.encode(message))

    tape.note("A client of a legacy revision shakes hands; the connection is its session.")
    tell(hello("2025-11-25"))
    tell(rpc("notifications/initialized"))
    tape.note("A call, what is said in its course, and its answer.")
    tell(rpc("tools/call", 2, name="water", arguments={"beds": 2}, _meta={"progressToken": "b"}))
    tape.note("The server asks back, and the client takes its call back instead of answering.")
    tell(rpc("tools/call", 3, name="mow"))
    tell(rpc("notifications/cancelled", requestId=3, reason="it rains"))
    tape.note("A modern request on the same connection. Its id is free again: 3 was cancelled.")
    tell(rpc("tools/call", 3, name="water", arguments={"beds": 1}, _meta=meta()))
    tape.note("What is no message is answered; what breaks a rule of WebSocket ends everything.")
    say(TEXT, b'{"jsonrpc":"2.0","id":4}')
    say(TEXT, b"{not JSON")
    tape.note("After 20 seconds without a sign of life.")
    for _ in range(21):
        tape.clock.advance(1)
    (ping,) = frames(wire.value())
    wire.clear()
    tape.lines.append("< PING (12 bytes)")
    tape.lines.append("> PONG (the same)")
    wire.protocol.dataReceived(frame(ping[1], PONG))
    tape.note("The client leaves.")
    say(CLOSE, b"\x03\xe8")
    return tape.text


def _shown(opcode: int, payload: bytes) -> str:
    if opcode == CLOSE:
        reason = payload[2:].decode()
        return f"CLOSE {int.from_bytes(payload[:2], 'big')}{' ' + reason if reason else ''}"
    return f"{_NAMES[opcode]} {payload.decode()}".rstrip()


CONVERSATIONS: dict[str, Callable[[], str]] = {
    "streamable-legacy": streamable_legacy,
    "streamable-modern": streamable_modern,
    "http-sse": http_sse,
    "websocket": websocket,
    "http2": http2,
    "stdio": stdio,
    "unix-sockets": unix_sockets,
}


def main() -> None:
    """Have them all, and write them down."""
    FOLDER.mkdir(exist_ok=True)
    for name, have in CONVERSATIONS.items():
        (FOLDER / f"{name}.txt").write_text(have(), encoding="utf-8")


if __name__ == "__main__":
    main()
