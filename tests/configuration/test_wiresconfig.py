"""``configuration.wiresconfig``: which wires are served where, from the file to the endpoints."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.config import Config, Loaded, Sse, StreamableHttp, WebSocket, load, override_listen
from mcptwist.services import make_daemon
from tests.conversations.posting import Response
from tests.protocols.front import PORT, Wire
from tests.protocols.wsfront import UPGRADE

OWN = "tcp:9001:interface=127.0.0.1"
SERVERS = {"box": {"python": "mcptwist.serving.toolbox:toolbox"}, "two": {"python": "a:b"}}


def loaded(**sections: Any) -> Loaded:
    return load(json.dumps({"mcpServers": SERVERS, **sections}), "mcp.json", {})


class ReadingTests(SynchronousTestCase):
    def config(self, **sections: Any) -> Config:
        found = loaded(**sections)
        assert found.config is not None, found.mistakes
        return found.config

    def mistakes(self, **sections: Any) -> list[str]:
        return [mistake.path for mistake in loaded(**sections).mistakes]

    def test_defaults(self) -> None:
        """Everything is served, everywhere."""
        config = self.config()
        self.assertEqual(list(config.wires), ["streamable_http", "websocket", "sse"])
        self.assertTrue(all(wire.shared and not wire.listen for wire in config.wires.values()))
        self.assertEqual(config.endpoints, {"listen[0]": config.listen[0]})

    def test_switched_off(self) -> None:
        self.assertEqual(self.config(sse=False).sse, Sse(shared=False))
        self.assertEqual(self.config(websocket=True).websocket, WebSocket())

    def test_values(self) -> None:
        section = {
            "shared": False, "listen": [OWN], "message_bytes": "1MiB", "message_time": "5s",
            "backlog_bytes": 1000, "ping": 7, "ping_timeout": "1s",
        }  # fmt: skip
        config = self.config(websocket=section)
        expected = WebSocket(
            shared=False, listen=(OWN,), message_bytes=1 << 20, message_time=5.0,
            backlog_bytes=1000, ping=7.0, ping_timeout=1.0,
        )  # fmt: skip
        self.assertEqual(config.websocket, expected)
        self.assertEqual(config.endpoints["websocket.listen[0]"], OWN)
        self.assertEqual(self.config(sse={"streams": 5}).sse.streams, 5)
        self.assertEqual(
            self.config(streamable_http={"listen": OWN}).streamable_http.listen, (OWN,)
        )

    def test_mistakes(self) -> None:
        for section, path in (
            ({"websocket": 7}, "websocket"),
            ({"websocket": {"shared": "no"}}, "websocket.shared"),
            ({"websocket": {"listen": ["7"]}}, "websocket.listen[0]"),
            ({"websocket": {"ping": 0}}, "websocket.ping"),
            ({"sse": {"message_bytes": 7}}, "sse.message_bytes"),
            ({"sse": {"listen": ["lines:unix:/x"]}}, "sse.listen[0]"),
        ):
            self.assertEqual(self.mistakes(**section), [path])

    def test_nothing_left(self) -> None:
        """A file that serves nothing over HTTP is noted."""
        config = self.config(sse=False, websocket=False, streamable_http=False)
        self.assertTrue(any("no wire" in note.text for note in config.notes))

    def test_open_to_the_network(self) -> None:
        """An endpoint of a wire's own needs keys like any other."""
        found = override_listen(loaded(websocket={"listen": ["tcp:9001"]}), ())
        self.assertEqual([m.path for m in found.mistakes], ["websocket.listen[0]"])
        found = override_listen(loaded(listen=["tcp:9001"]), ["tcp:9002"])
        self.assertEqual([m.path for m in found.mistakes], ["--listen[0]"])

    def test_tls_for_a_wires_own(self) -> None:
        """A certificate that only such an endpoint shows means something."""
        config = self.config(tls={"min_version": "1.2"}, sse={"listen": [f"https+{OWN}"]})
        self.assertEqual([note for note in config.notes if note.path == "tls"], [])


class ServingTests(SynchronousTestCase):
    """What is found at which endpoint."""

    def statuses(self, config: Config) -> list[list[int]]:
        """For each listener: ``/mcp``, ``/ws``, ``/sse``, ``/messages``, a server's ``/ws``."""
        daemon = make_daemon(config, Clock(), {"MCPTWIST_STATE": "/nonexistent"})
        return [
            [
                self.ask(listener.factory, method, path)
                for method, path in (
                    ("GET", "/mcp"),
                    ("GET", "/ws"),
                    ("GET", "/sse"),
                    ("POST", "/messages"),
                    ("GET", "/servers/box/ws"),
                )
            ]
            for listener in daemon.listeners
        ]

    def ask(self, factory: Any, method: str, path: str) -> int:
        connection = factory.buildProtocol(None)
        wire = Wire(hostAddress=IPv4Address("TCP", "127.0.0.1", PORT))
        wire.protocol = connection
        connection.makeConnection(wire)
        headers = UPGRADE if path.endswith("/ws") else {"Host": UPGRADE["Host"]}
        lines = [f"{method} {path} HTTP/1.1", *(f"{n}: {v}" for n, v in headers.items()), "", ""]
        connection.dataReceived("\r\n".join(lines).encode())
        return Response(wire).status

    def config(self, **sections: Any) -> Config:
        config = loaded(**sections).config
        assert config is not None
        return config

    def test_all(self) -> None:
        self.assertEqual(self.statuses(self.config()), [[400, 101, 200, 400, 101]])

    def test_switched_off(self) -> None:
        """What is off is not there; the hint tells what is."""
        config = self.config(sse=False, websocket=False)
        self.assertEqual(self.statuses(config), [[400, 404, 404, 404, 404]])

    def test_own_endpoints(self) -> None:
        """Each wire's own endpoint has that wire, of all servers and of each, and no other."""
        config = self.config(
            streamable_http={"listen": "tcp:1:interface=127.0.0.1"},
            websocket={"shared": False, "listen": "tcp:2:interface=127.0.0.1"},
            sse={"listen": "tcp:3:interface=127.0.0.1"},
        )
        self.assertEqual(
            self.statuses(config),
            [
                [400, 404, 200, 400, 404],
                [400, 404, 404, 404, 404],
                [404, 101, 404, 404, 101],
                [404, 404, 200, 400, 404],
            ],
        )

    def test_alone(self) -> None:
        """One wire may be all there is."""
        config = Config(
            listen=(OWN,), sse=Sse(shared=False), streamable_http=StreamableHttp(shared=False)
        )
        self.assertEqual(self.statuses(config), [[404, 101, 404, 404, 404]])
