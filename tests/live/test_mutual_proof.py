"""A real daemon, and a client that proves its key to it on a WebSocket over a real connection."""

from __future__ import annotations

import json
import os
import re
import socket
from typing import Any

from OpenSSL import SSL
from twisted.internet.threads import deferToThread

from mcptwist.auth.keys import PrivateKey
from mcptwist.auth.mutualproof import EXPORTER_LABEL, EXPORTER_SIZE, ProofFailed
from tests.auth.proving import Prover, ProvingSocket, shown_key_of
from tests.live.test_commands import INITIALIZE, MCPTWIST, CommandCase
from tests.patience import SECONDS


class RealTLS:
    """The client's end of a TLS connection; see :class:`tests.auth.proving.TLSEnd`."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), SECONDS)
        self.socket.setblocking(True)
        self.ssl = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), self.socket)
        self.ssl.set_connect_state()
        self.ssl.do_handshake()
        shown = self.ssl.get_peer_certificate()
        found = shown_key_of(shown)
        assert found is not None
        self.host_key = found
        self.exporter = self.ssl.export_keying_material(EXPORTER_LABEL, EXPORTER_SIZE)
        self.data = b""

    def send(self, data: bytes) -> None:
        self.ssl.sendall(data)
        self.hear()

    def hear(self) -> None:
        if not self.data:
            self.data = self.ssl.recv(1 << 16)

    def take(self) -> bytes:
        data, self.data = self.data, b""
        return data


class ProofTests(CommandCase):
    async def open(self, *keys: PrivateKey) -> int:
        """Start a daemon that these keys may come to; its port."""
        self.place.chmod(0o700)
        authorized = self.place / "authorized_keys"
        authorized.touch(0o600)
        words = [f'principal="alice",scope="mcp:read" {key.public.words()}' for key in keys]
        authorized.write_text("\n".join(words) + "\n")
        value = {
            "listen": ["https:0:interface=127.0.0.1"],
            "tls": {"directory": str(self.place / "tls")},
            "auth": {"authorized_keys": str(authorized), "audit_log": "audit.jsonl"},
            "mcpServers": {"box": {"python": "mcptwist.serving.toolbox:toolbox"}},
        }
        config = self.place / "mcp.json"
        config.write_text(json.dumps(value))
        program = self.start([MCPTWIST, "run", "--config", str(config)], dict(os.environ))
        heard = await program.when_said(r"(https://127\.0\.0\.1:(\d+))/mcp[\s\S]+Press", SECONDS)
        return int(heard.group(2))

    def come(self, port: int, signer: PrivateKey, **different: Any) -> tuple[Any, Any]:
        """What the welcome says, and what a handshake is answered with."""
        tls: Any = RealTLS(port)
        self.addCleanup(tls.socket.close)
        door: Any = None
        opened = ProvingSocket(door, tls=tls, Host=f"127.0.0.1:{port}")
        assert opened.status == 101, opened.head
        told = Prover(opened, signer, authority=f"127.0.0.1:{port}", **different).prove()
        opened.say(json.dumps(INITIALIZE).encode())
        return told, json.loads(opened.message())

    async def test_proved(self) -> None:
        alice = PrivateKey.generate()
        port = await self.open(alice)
        told, answer = await deferToThread(self.come, port, alice)
        self.assertEqual((told.principal, told.scopes), ("alice", ("mcp:read",)))
        self.assertEqual(answer["result"]["protocolVersion"], "2025-11-25")
        with self.assertRaises(ProofFailed):
            await deferToThread(self.come, port, alice, exporter=bytes(32))
        stranger = PrivateKey.generate()
        with self.assertRaises(AssertionError):
            await deferToThread(self.come, port, stranger)
        audit = (self.place / "audit.jsonl").read_text()
        self.assertTrue(re.search(r'"auth\.proof\.ok".*"alice"', audit), audit)
        self.assertIn("unknown client", audit)
