"""One request at a time, over a real connection of HTTP/1.1 in memory."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mcptwist.protocols.request import Request
from tests.protocols.front import HOST, Front, Wire, answers

HELD = b"GET /held?a=1&a=2&b=%20c HTTP/1.1\r\n" + HOST


class RequestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.front = Front()

    def held(self, raw: bytes = HELD + b"\r\n") -> tuple[Wire, Request]:
        wire = self.front.talk(raw)
        return wire, self.front.held.requests[-1]

    def ask(
        self, resource: Any, method: bytes = b"GET", extra: bytes = b"", body: bytes = b""
    ) -> tuple[int, dict[bytes, bytes], bytes]:
        """What a resource at /it answers; time is turned until it does."""
        self.front.root.putChild(b"it", resource)
        if body:
            extra += b"Content-Length: %d\r\n" % len(body)
        wire = self.front.talk(method + b" HTTP/1.1\r\n" + HOST + extra + b"\r\n" + body)
        for _ in range(20):
            self.front.clock.advance(0)
        [answer] = answers(wire.value())
        return answer
