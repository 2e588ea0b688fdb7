"""Recorded conversations in lines: with one client, as on stdio, and with two on a socket."""

from __future__ import annotations

from typing import Any

import msgspec

from tests.conversations.tape import Tape, hello, meta, rpc

__all__ = ["stdio", "unix_sockets"]


class Lines:
    """A client on a stream.

    :param name: stands before what it says, if there are several.
    """

    def __init__(self, tape: Tape, name: str = "") -> None:
        self._tape = tape
        self._name = f" {name}" if name else ""
        self.wire = tape.connect(tape.lines_factory.buildProtocol(None))

    def tell(self, message: Any) -> None:
        """Say one message, and hear what comes."""
        self.say(msgspec.json.encode(message))

    def say(self, line: bytes) -> None:
        self._tape.heard(line.decode(), f">{self._name}")
        self.wire.protocol.dataReceived(line + b"\n")
        self.hear()

    def hear(self) -> None:
        self._tape.turn()
        for line in self.wire.value().splitlines():
            self._tape.heard(line.decode(), f"<{self._name}")
        self.wire.clear()


def stdio() -> str:
    """Both eras on one stream."""
    tape = Tape()
    client = Lines(tape)
    tape.note("A client of a legacy revision shakes hands; the stream is its session.")
    client.tell(hello("2025-11-25"))
    client.tell(rpc("notifications/initialized"))
    tape.note("Two calls are open at once. The first waits for a person; the second does not.")
    client.tell(rpc("tools/call", 2, name="mow"))
    client.tell(
        rpc("tools/call", 3, name="water", arguments={"beds": 2}, _meta={"progressToken": "b"})
    )
    client.tell({"jsonrpc": "2.0", "id": 1, "result": {"action": "decline"}})
    tape.note("A modern request on the same stream needs no handshake.")
    client.tell(rpc("tools/call", 4, name="water", arguments={"beds": 1}, _meta=meta()))
    tape.note("What is no message is answered, and what comes after it is taken.")
    client.say(b"{not JSON")
    client.tell(rpc("ping", 5))
    return tape.text


def unix_sockets() -> str:
    """Two clients of one socket."""
    tape = Tape()
    ann, bob = Lines(tape, "ann"), Lines(tape, "bob")
    tape.note("Two clients use the same id, each on its own connection.")
    mow = rpc("tools/call", 1, name="mow", _meta=meta())
    ann.tell(mow)
    bob.tell(rpc("tools/call", 1, name="water", arguments={"beds": 1}, _meta=meta()))
    tape.note("An id that is open on a connection cannot be used again.")
    listen = rpc("subscriptions/listen", 2, notifications={"toolsListChanged": True}, _meta=meta())
    bob.tell(listen)
    bob.tell(rpc("tools/list", 2, _meta=meta()))
    tape.note("What a client takes back is not answered.")
    bob.tell(rpc("notifications/cancelled", requestId=2))
    return tape.text
