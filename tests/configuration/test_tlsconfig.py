"""``configuration.tlsconfig``: TLS and encrypted entries of ``listen``; nothing is opened."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mcptwist.config import load
from mcptwist.configuration.listening import encrypted, endpoints
from mcptwist.configuration.settings import Ledger
from mcptwist.configuration.tlsconfig import KeyPair, Tls, tls_table
from mcptwist.receipt import receipt

PAIR = {"certificate": "a.pem", "key": "a.key"}


class TlsTableTests(SynchronousTestCase):
    """The ``[tls]`` section."""

    def reading(self, value: Any) -> tuple[Tls | None, list[str]]:
        ledger = Ledger({"HOME": "/home/me", "CERTS": "/certs"}, "/etc/mcptwist")
        found = tls_table(ledger.place("tls"), value)
        return found, [str(each) for each in ledger.mistakes]

    def test_empty(self) -> None:
        """Nothing need be said."""
        self.assertEqual(self.reading({}), (Tls(), []))

    def test_paths(self) -> None:
        """Files are found from the file's own folder on, and may name variables."""
        found, mistakes = self.reading(
            {"certificate": "a.pem", "key": "${CERTS}/a.key", "directory": "~/state"}
        )
        assert found is not None
        self.assertEqual(mistakes, [])
        self.assertEqual(
            (found.certificate, found.key, found.directory),
            ("/etc/mcptwist/a.pem", "/certs/a.key", "/home/me/state"),
        )

    def test_others(self) -> None:
        """More certificates for more names."""
        found, mistakes = self.reading({**PAIR, "others": [{"certificate": "b", "key": "c"}]})
        assert found is not None
        expected = KeyPair(certificate="/etc/mcptwist/b", key="/etc/mcptwist/c")
        self.assertEqual((found.others, mistakes), ((expected,), []))

    def test_mistakes(self) -> None:
        """Each says where it is."""
        for value, path in (
            ({"certificate": "a.pem"}, "tls: "),
            ({"key": "a.key"}, "tls: "),
            ({"others": [PAIR]}, "tls.others: "),
            ({**PAIR, "others": [{"key": "b"}]}, "tls.others[0].certificate: "),
            ({**PAIR, "others": ["b"]}, "tls.others[0]: "),
            ({**PAIR, "others": PAIR}, "tls.others: "),
            ({**PAIR, "key": ""}, "tls.key: "),
            ({**PAIR, "key": 5}, "tls.key: "),
            ({"min_version": "1.1"}, "tls.min_version: "),
            ({"min_version": 1.3}, "tls.min_version: "),
            ({"cert": "a.pem"}, "tls.cert: "),
            ("yes", "tls: "),
        ):
            _, mistakes = self.reading(value)
            self.assertEqual(len(mistakes), 1, (value, mistakes))
            self.assertTrue(mistakes[0].startswith(path), mistakes)

    def test_means_nothing(self) -> None:
        """A section that no endpoint uses is worth a note."""
        for listen, noted in (("tcp", True), ("https", False)):
            text = f'listen = ["{listen}:1:interface=127.0.0.1"]\n[tls]\nmin_version = "1.2"\n'
            config = load(text, "a.toml", {}).config
            assert config is not None
            self.assertEqual("tls" in [note.path for note in config.notes], noted)


class EncryptedTests(SynchronousTestCase):
    """Entries of ``listen`` that begin with ``https``."""

    def test_endpoints(self) -> None:
        """``https:`` stands for ``tcp:``; ``https+`` goes before any other."""
        for entry, expected in (
            ("https:8443:interface=127.0.0.1", (True, "tcp:8443:interface=127.0.0.1")),
            ("https+unix:/run/s", (True, "unix:/run/s")),
            ("mtls:8444:interface=127.0.0.1", (True, "tcp:8444:interface=127.0.0.1")),
            ("mtls+unix:/run/s", (True, "unix:/run/s")),
            ("https+systemd:domain=INET:index=0", (True, "systemd:domain=INET:index=0")),
            ("tcp:1", (False, "tcp:1")),
            ("ssl:1:privateKey=x", (False, "ssl:1:privateKey=x")),
        ):
            self.assertEqual(encrypted(entry), expected)

    def test_checked(self) -> None:
        """They are checked as what they stand for."""
        for value, mistakes in (
            ("https:8443:interface=127.0.0.1", 0),
            ("https+unix:/run/s", 0),
            ("https:", 1),
            ("https:http", 1),
            ("https:70000", 1),
            ("https:1:nonsense=2", 1),
            ("https+x:1", 1),
            ("https+ssl:1:privateKey=x", 1),
        ):
            ledger = Ledger({})
            endpoints(ledger.place("x"), [value])
            self.assertEqual(len(ledger.mistakes), mistakes, (value, ledger.mistakes))

    def test_twice(self) -> None:
        """Each port 0 is another port."""
        for value, mistakes in (("https:0:interface=127.0.0.1", 0), ("https:1", 1)):
            ledger = Ledger({})
            endpoints(ledger.place("x"), [value, value])
            self.assertEqual(len(ledger.mistakes), mistakes)


class ReceiptTests(SynchronousTestCase):
    """What is printed at the start."""

    def test_certificate(self) -> None:
        """Which file to trust, and how to know it again."""
        said = receipt(
            ["https://127.0.0.1:1"], ["a"], certificate=("/x/cert.pem", "AA:BB", "SHA256:x")
        )
        self.assertIn("Certificate: /x/cert.pem\n  SHA-256\n  AA:BB\n", said)
        self.assertIn('"url": "https://127.0.0.1:1/mcp"', said)
        self.assertNotIn("Certificate", receipt(["http://127.0.0.1:1"], ["a"]))
