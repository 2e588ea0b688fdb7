"""``mcptwist.protocols.pages``: which URL leads where."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from mcptwist.gateway import Gateway
from mcptwist.interfaces import IView
from mcptwist.protocols.pages import site_tree
from tests.conversations.posting import Response
from tests.protocols.front import Front


class Named(Resource):
    """A place that answers with what it is."""

    isLeaf = True

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def render_GET(self, request: Any) -> bytes:
        return self.name.encode()


class PagesCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.front = Front()
        self.made: list[str] = []
        self.clock = Clock()
        self.status = 200
        backends: Any = {"time": Backendish("time"), "büro": Backendish("büro")}
        whole: Any = Backendish("")
        groups: Any = {"work": Backendish("work")}
        gateway = Gateway(backends, whole, {"odd": "command is missing"}, groups)
        self.front.site.resource = site_tree(
            gateway,
            self.places,
            lambda: (200, {"status": "ok"}),
            lambda: (self.status, {"status": "who knows"}),
        )

    def places(self, view: IView) -> dict[bytes, Any]:
        self.made.append(view.name)
        return {wire: Named(f"{view.name} {wire.decode()}") for wire in (b"mcp", b"ws")}

    def get(self, path: str, method: str = "GET") -> Response:
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost:8080\r\n\r\n"
        return Response(self.front.talk(head.encode()))


class Backendish:
    """Enough of a server for a URL to lead to it."""

    def __init__(self, name: str) -> None:
        self.name = name


class PagesTests(PagesCase):
    def test_wires(self) -> None:
        """Each wire of all servers as one, and of each server by its name."""
        for path, name in (
            ("/mcp", " mcp"),
            ("/ws", " ws"),
            ("/servers/time/mcp", "time mcp"),
            ("/servers/time/ws", "time ws"),
            ("/servers/b%C3%BCro/mcp", "büro mcp"),
            ("/servers/time/mcp?x=1", "time mcp"),
            ("/groups/work/mcp", "work mcp"),
            ("/groups/work/ws", "work ws"),
        ):
            answer = self.get(path)
            self.assertEqual((answer.status, answer.body.decode()), (200, name), path)

    def test_made_once(self) -> None:
        """A server's places are made when they are first asked for, and kept."""
        self.assertEqual(self.made, [""])
        for _ in range(3):
            self.get("/servers/time/mcp")
            self.get("/servers/time/ws")
        self.assertEqual(self.made, ["", "time"])

    def test_nothing_there(self) -> None:
        """Whoever asks for what is not there is told what is."""
        for path, hint in (
            ("/", "/mcp"),
            ("/nothing", "/mcp"),
            ("/mcp2", "/mcp"),
            ("//", "/mcp"),
            ("/servers/time", "/servers/time/mcp"),
            ("/servers/time/", "/servers/time/mcp"),
            ("/servers/time/sse", "/servers/time/mcp"),
            ("/groups/work", "/groups/work/mcp"),
        ):
            answer = self.get(path)
            self.assertEqual(answer.status, 404, path)
            error = msgspec.json.decode(answer.body)["error"]
            self.assertEqual(error["code"], "not-found")
            self.assertIn(hint, error["message"], path)

    def test_unknown_server(self) -> None:
        for path in (
            "/servers/nobody/mcp",
            "/servers/%FF/mcp",
            "/servers/TIME/mcp",
            "/servers//",
            "/groups/time/mcp",
        ):
            answer = self.get(path)
            self.assertEqual(answer.status, 404, path)
            self.assertEqual(msgspec.json.decode(answer.body)["error"]["code"], "unknown-server")

    def test_broken_server(self) -> None:
        """One that is not configured rightly says what is wrong."""
        answer = self.get("/servers/odd/mcp")
        self.assertEqual(answer.status, 404)
        self.assertIn("command is missing", answer.body.decode())

    def test_methods(self) -> None:
        """What is not there is not there for any method."""
        for method in ("POST", "DELETE", "PUT"):
            self.assertEqual(self.get("/nothing", method).status, 404, method)

    def test_reports(self) -> None:
        """For those who watch over the daemon; never from a cache."""
        for path in ("/health", "/ready"):
            answer = self.get(path)
            self.assertEqual(
                (answer.status, answer.headers["content-type"]), (200, "application/json")
            )
            self.assertEqual(answer.headers["cache-control"], "no-store")
        self.status = 503
        self.assertEqual(self.get("/ready").status, 503)
        self.assertEqual(self.get("/health", "HEAD").status, 200)
