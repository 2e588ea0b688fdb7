"""docs/wires/websocket.rst as somebody reads it who builds a client: it says what is so."""

from __future__ import annotations

from tests.interop.rig import InteropCase, Json, script

#: What is seen of each promise of the page; see ``clients/python1_page.py``.
KEPT: Json = {
    "sub protocol is chosen": "mcp",
    "none is needed": [None, {}],
    "only others are refused": 400,
    "compression is not agreed on": None,
    "foreign pages are refused": [403, 403],
    "binary messages are refused": 1003,
    "frames mean nothing": "42",
    "what is no message is answered": [
        [None, -32700, "parse-error"],
        [None, -32600, "invalid-request"],
        [None, -32600, "invalid-request"],
        [7, -32600, "invalid-request"],
        {},
    ],
    "text is utf 8": 1007,
    "a message has a bound": 1009,
    "before the handshake there is only ping": [[1, -32600, "not-initialized"], {}],
    "a second handshake is refused": [True, "2025-11-25", [3, -32602, "invalid-params"]],
    "both eras on one connection": ["2", "3", "2", ["complete", None, "complete"]],
    "an open id is not used again": [None, -32600, "duplicate-id", 1],
    "a cancelled request is not answered": [1, "4"],
    "answers come in their own order": ["fast", "slow"],
    "progress comes before the answer": ["notifications/progress", "answer"],
    "subscriptions bear their id": ["notifications/subscriptions/acknowledged", "s"],
    "pings are answered": True,
    "a close is answered": 1000,
}


class PageTests(InteropCase):
    environments = ("python1",)

    async def test_every_promise(self) -> None:
        """A client that was written from the page alone finds it true."""
        daemon = await self.daemon({"box": {"python": "mcptwist.serving.toolbox:toolbox"}})
        url = f"ws{daemon.base.removeprefix('http')}/ws"
        seen = await self.report_of([*script("python1_page.py"), url])
        wrong = {
            promise: {"promised": KEPT.get(promise), "seen": seen.get(promise)}
            for promise in KEPT | seen
            if KEPT.get(promise) != seen.get(promise)
        }
        self.assertEqual(wrong, {})
