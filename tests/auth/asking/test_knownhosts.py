"""``known_hosts``: as OpenSSH writes and reads it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.asking.knownhosts import (
    CHANGED,
    KNOWN,
    REVOKED,
    UNKNOWN,
    KnownHosts,
    line_of,
    name_of,
)
from mcptwist.auth.keyformats import SMALLEST_HOST_RSA
from mcptwist.auth.keys import P256, PublicKey, to_base64url
from tests.auth.people import key
from tests.debian import SSH_KEYGEN

HOST, OTHER = key("host", P256).public, key("other", P256).public


def _rsa(byte: int) -> dict[str, str]:
    """An RSA key of 2048 bits, as a JWK; nobody has its other half."""
    return {"kty": "RSA", "n": to_base64url(bytes([byte]) * 256), "e": "AQAB"}


class KnownHostsTests(SynchronousTestCase):
    def test_verdicts(self) -> None:
        known = KnownHosts(line_of("mcp.example.com", 8443, HOST) + "\n")
        self.assertEqual(known.verdict("mcp.example.com", 8443, HOST), KNOWN)
        self.assertEqual(known.verdict("MCP.example.com", 8443, HOST), KNOWN)
        self.assertEqual(known.verdict("mcp.example.com", 8443, OTHER), CHANGED)
        for host, port in (
            ("mcp.example.com", 443),
            ("mcp.example.com", 22),
            ("x.example.com", 8443),
        ):
            self.assertEqual(known.verdict(host, port, HOST), UNKNOWN)
        self.assertEqual(known.keys("mcp.example.com", 8443), [HOST])

    def test_certificates_of_others(self) -> None:
        """RSA keys of 2048 bits, which most certificates have, are known again as any other."""
        short, other = (PublicKey.from_jwk(_rsa(byte), SMALLEST_HOST_RSA) for byte in (0xFF, 0xFD))
        known = KnownHosts(line_of("a", 1, short))
        self.assertEqual(known.keys("a", 1), [short])
        self.assertEqual(known.verdict("a", 1, short), KNOWN)
        self.assertEqual(known.verdict("a", 1, other), CHANGED)

    def test_revoked(self) -> None:
        """Wherever it is shown, and whatever other lines say."""
        lines = [line_of("a", 1, HOST), f"@revoked * {HOST.words()}"]
        known = KnownHosts("\n".join(lines))
        self.assertEqual(known.verdict("a", 1, HOST), REVOKED)
        self.assertEqual(known.verdict("b", 1, HOST), REVOKED)
        self.assertEqual(known.keys("a", 1), [])

    def test_two_keys(self) -> None:
        """While a key is being replaced, both are known."""
        known = KnownHosts(f"{line_of('a', 1, HOST)}\n{line_of('a', 1, OTHER)}")
        self.assertEqual({known.verdict("a", 1, each) for each in (HOST, OTHER)}, {KNOWN})

    def test_patterns(self) -> None:
        known = KnownHosts(f"*.example.com,!bad.example.com,[10.0.0.?]:99 {HOST.words()}")
        for host, port, verdict in (
            ("a.example.com", 22, KNOWN),
            ("bad.example.com", 22, UNKNOWN),
            ("example.com", 22, UNKNOWN),
            ("10.0.0.7", 99, KNOWN),
            ("10.0.0.7", 98, UNKNOWN),
        ):
            self.assertEqual(known.verdict(host, port, HOST), verdict, host)

    def test_hashed(self) -> None:
        line = line_of("mcp.example.com", 8443, HOST, lambda size: b"s" * size)
        self.assertTrue(line.startswith("|1|"))
        self.assertNotIn("example", line)
        known = KnownHosts(line)
        self.assertEqual(known.verdict("mcp.example.com", 8443, HOST), KNOWN)
        self.assertEqual(known.verdict("mcp.example.com", 8444, HOST), UNKNOWN)

    def test_not_understood(self) -> None:
        """Such a line makes nobody known."""
        for line in (
            f"@cert-authority * {HOST.words()}",
            f"@other * {HOST.words()}",
            f"* {HOST.words()[:-4]}",
            "* ssh-dss AAAA",
            f"|1|x|y {HOST.words()}",
            f"|2|AAAA|AAAA {HOST.words()}",
            f"# * {HOST.words()}",
            "",
            "*",
        ):
            self.assertEqual(KnownHosts(line).verdict("a", 1, HOST), UNKNOWN, line)

    def test_without(self) -> None:
        lines = [
            "# mine",
            line_of("a", 1, HOST),
            line_of("b", 1, HOST),
            f"@revoked a {OTHER.words()}",
        ]
        text, count = KnownHosts("\n".join(lines) + "\n").without("a", 1)
        self.assertEqual((text.splitlines(), count), ([lines[0], *lines[2:]], 1))

    def test_names(self) -> None:
        self.assertEqual(name_of("a", 22), "a")
        self.assertEqual(name_of("[::1]", 8443), "[::1]:8443")

    @settings(max_examples=200, deadline=None)
    @given(st.text(max_size=100))
    def test_anything(self, text: str) -> None:
        for made in (text, f"{text} {HOST.words()}", f"a {text}"):
            self.assertIn(KnownHosts(made).verdict("a", 1, OTHER), (UNKNOWN, CHANGED))

    def test_ssh_keygen(self) -> None:
        """OpenSSH finds, hashes and removes what we write, and we read what it wrote."""
        program = SSH_KEYGEN.needed()
        path = Path(self.mktemp())
        path.write_text(line_of("mcp.example.com", 8443, HOST) + "\n")
        name = "[mcp.example.com]:8443"

        def run(*options: str) -> str:
            argv = [program, *options, "-f", str(path)]
            done = subprocess.run(argv, capture_output=True, check=True, env=os.environ)
            return done.stdout.decode()

        def verdict() -> str:
            return KnownHosts(path.read_text()).verdict("mcp.example.com", 8443, HOST)

        self.assertIn(HOST.fingerprint, run("-lF", name))
        run("-H")
        self.assertNotIn("example", path.read_text())
        self.assertEqual(verdict(), KNOWN)
        run("-R", name)
        self.assertEqual(
            KnownHosts(path.read_text()).verdict("mcp.example.com", 8443, HOST), UNKNOWN
        )
