"""The conversations that the documentation shows, had anew each time they are asked for.

``python -m tests.conversations.recorded`` writes them to ``docs/wires/conversations``; the tests
hold those files to what is really said. A whole daemon answers, in memory, with
:mod:`tests.conversations.gardener` behind it. What differs each time (dates, secrets) is written as
if it did not; how bodies are cut into chunks is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock

from mcptwist.config import Config, PythonServer
from mcptwist.negotiation import CAPABILITIES_KEY, modern_meta
from mcptwist.services import make_daemon
from tests.conversations.posting import Response
from tests.protocols.front import Wire
from tests.protocols.wsfront import CLOSE, FIN, KEY, PING, PONG, TEXT, frame, frames

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "wires" / "conversations"
PORT = 8808
ROSE = {"name": "rose", "version": "1"}
TELLING = {
    "Date": "Sun, 22 Nov 2026 12:00:00 GMT",
    "Mcp-Session-Id": "Hq3vXe5uNc1tYz8aWb6kPd0sRf2mLg7jOi4hUo9xEwA",
    "session_id": "Bv7nMk2lQj5hGf8dSa1pOi4uYt6rEw9qZx3cVb0nMlK",
    "requestState": "Tg6bYh9nUj3mIk7oLp1aQz4wSx8eDc2rFv5tGb0yHnU",
}
_CHANGING = (
    (re.compile(r"(?<=Date: ).*"), "Date"),
    (re.compile(r"(?<=mcp-session-id: ).*", re.IGNORECASE), "Mcp-Session-Id"),
    (re.compile(r"(?<=session_id=)[\w-]+"), "session_id"),
    (re.compile(r'(?<="requestState":")[^"]+'), "requestState"),
)


class Tape:
    """A daemon, and what is said to it and by it.

    :ivar lines: what was said so far, a client's words after ``>``.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        garden = PythonServer(
            name="garden", python="tests.conversations.gardener:server", scope="session"
        )
        config = Config(servers=(garden,), listen=(f"tcp:{PORT}:interface=127.0.0.1",))
        daemon = make_daemon(config, self.clock, {})
        self.factory: Any = daemon.listeners[0].factory
        self.lines: list[str] = []

    def connect(self) -> Wire:
        connection = self.factory.buildProtocol(None)
        wire = Wire(hostAddress=IPv4Address("TCP", "127.0.0.1", PORT))
        wire.protocol = connection
        connection.makeConnection(wire)
        return wire

    def turn(self) -> None:
        """Let everything happen that is about to."""
        for _ in range(20):
            self.clock.advance(0)

    def note(self, text: str) -> None:
        self.lines += ["", f"# {text}", ""] if self.lines else [f"# {text}", ""]

    def heard(self, text: str, who: str = "<") -> None:
        """Write down what was said, a line for each of its lines."""
        for pattern, name in _CHANGING:
            text = pattern.sub(TELLING[name], text)
        self.lines += [f"{who} {line}".rstrip() for line in text.split("\n")]

    @property
    def text(self) -> str:
        return "\n".join(self.lines).strip() + "\n"


class Request:
    """One request, and what comes back as it comes."""

    def __init__(self, tape: Tape, method: str, path: str, body: Any = None, **more: str) -> None:
        self.tape = tape
        self.wire = tape.connect()
        headers = {"Host": f"localhost:{PORT}"}
        headers |= {name.replace("_", "-"): value for name, value in more.items()}
        content = b"" if body is None else msgspec.json.encode(body)
        if body is not None:
            headers |= {"Content-Type": "application/json", "Content-Length": str(len(content))}
        lines = [f"{method} {path} HTTP/1.1", *(f"{n}: {v}" for n, v in headers.items())]
        shown = [*lines, "", content.decode()] if content else [*lines, ""]
        tape.heard("\n".join(shown), ">")
        self.wire.protocol.dataReceived("\r\n".join([*lines, "", ""]).encode() + content)
        self._told_head = False
        self._told = 0
        self.hear()

    @property
    def response(self) -> Response:
        return Response(self.wire)

    def hear(self) -> None:
        """Write down what has come since."""
        self.tape.turn()
        response = self.response
        if not response.status:
            return
        if not self._told_head:
            self._told_head = True
            head = [line.decode() for line in response.head]
            self.tape.heard("\n".join([*head, ""]))
        body = response.body[self._told :].decode()
        self._told = len(response.body)
        if body:
            self.tape.heard(body.rstrip("\n") + ("\n" if body.endswith("\n\n") else ""))


BOTH = "application/json, text/event-stream"


def rpc(method: str, id: Any = None, **params: Any) -> dict[str, Any]:
    """A message."""
    message: dict[str, Any] = {"jsonrpc": "2.0"}
    if id is not None:
        message["id"] = id
    message["method"] = method
    return {**message, "params": params} if params else message


def hello(revision: str) -> dict[str, Any]:
    """The handshake of a client that can be asked."""
    return rpc(
        "initialize", 1, protocolVersion=revision, capabilities={"elicitation": {}}, clientInfo=ROSE
    )


def meta(**more: Any) -> dict[str, Any]:
    """What a modern request says of its client."""
    return {**modern_meta(ROSE), CAPABILITIES_KEY: {"elicitation": {}}, **more}


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
}


def main() -> None:
    """Have them all, and write them down."""
    FOLDER.mkdir(exist_ok=True)
    for name, have in CONVERSATIONS.items():
        (FOLDER / f"{name}.txt").write_text(have(), encoding="utf-8")


if __name__ == "__main__":
    main()
