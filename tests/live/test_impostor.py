"""G16: somebody else answers where a known server should be, and hears nothing from us."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

from cryptography import x509

from mcptwist.auth.keys import P256, PrivateKey, PublicKey
from mcptwist.protocols.hostcertificate import host_certificate
from tests.auth.proving import modern
from tests.live.test_keys import KeyCase
from tests.patience import SECONDS


class Impostor:
    """Shakes hands over TLS with whoever comes, and keeps what it is sent after that.

    :ivar heard: the bytes of each connection.
    :ivar key: the one it shows.
    """

    def __init__(self, directory: Path) -> None:
        files = host_certificate(directory, ["localhost", "127.0.0.1"], time.time())
        certificate = x509.load_pem_x509_certificate(Path(files.certificate).read_bytes())
        self.key = PublicKey(certificate.public_key())  # type: ignore[arg-type]
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(files.certificate, files.key)
        self._context.set_alpn_protocols(["h2", "http/1.1"])
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self.heard: list[bytes] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            connection.settimeout(SECONDS)
            self._listen(connection)

    def _listen(self, connection: socket.socket) -> None:
        said = b""
        try:
            with self._context.wrap_socket(connection, server_side=True) as channel:
                said = channel.recv(4096)
        except OSError:
            pass  # it went away in the middle of something, as it should
        self.heard.append(said)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(SECONDS)


class ImpostorTests(KeyCase):
    def setUp(self) -> None:
        super().setUp()
        self.impostor = Impostor(self.home / "impostor")
        self.addCleanup(self.impostor.close)
        self.done("keygen")
        self.known = self.home / "mcptwist" / "known_hosts"

    def know(self, key: PublicKey, host: str = "", mark: str = "") -> None:
        port = self.impostor.host.rpartition(":")[2]
        name = host or f"[127.0.0.1]:{port}"
        self.known.write_text(f"{mark}{name} {key.words()}\n")
        self.known.chmod(0o600)

    @property
    def url(self) -> str:
        return f"https://{self.impostor.host}/mcp"

    def assert_bridge_ends(self) -> None:
        """The bridge answers its client, says the same to its person, and ends with 3."""
        process = subprocess.Popen(
            [sys.executable, "-m", "mcptwist", "connect", self.url],
            env=self.environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdin
        process.stdin.write(modern("server/discover").decode() + "\n")
        process.stdin.flush()  # and left open: it ends by itself
        self.assertEqual(process.wait(SECONDS), 3)
        answer, errors = process.communicate(timeout=SECONDS)
        self.assertEqual(json.loads(answer)["error"]["data"]["code"], "host-not-trusted")
        self.assertIn("othing was sent", errors)

    def assert_nothing_is_said(self, *more: tuple[str, ...]) -> None:
        """By no command; each ends with 3 and prints no result for programs to read."""
        for words in (("token", self.url), ("list", self.url), *more):
            ended = self.mcptwist(*words)
            self.assertEqual((ended.returncode, ended.stdout), (3, ""), (words, ended.stderr))
        self.assert_bridge_ends()
        self.assertGreaterEqual(len(self.impostor.heard), 3 + len(more))
        self.assertEqual(set(self.impostor.heard), {b""})

    def test_itself(self) -> None:
        """Whoever shows the key that is known is spoken to: else this would prove nothing."""
        self.know(self.impostor.key)
        self.assertEqual(self.mcptwist("token", self.url).returncode, 1)
        self.assertTrue(self.impostor.heard[0])

    def test_another_key(self) -> None:
        self.know(PrivateKey.generate(P256).public)
        socket_url = self.url.replace("https", "wss").replace("/mcp", "/ws")
        self.assert_nothing_is_said(("call", self.url, "add", "{}"), ("list", socket_url))

    def test_revoked(self) -> None:
        """The very key, and it is not to be believed any more."""
        self.know(self.impostor.key, mark="@revoked ")
        self.assert_nothing_is_said()

    def test_known_by_another_name(self) -> None:
        """The right key of another host is nobody's here."""
        self.know(self.impostor.key, host="[other.example]:8443")
        self.assert_nothing_is_said()

    def test_unknown(self) -> None:
        """Nobody is at hand to ask, so it is not asked."""
        self.assert_nothing_is_said()
