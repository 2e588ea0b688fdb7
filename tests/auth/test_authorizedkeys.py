"""``authorized_keys`` and ``revoked_keys``: what a line gives, and that it never gives more."""

from __future__ import annotations

import string

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.authorizedkeys import (
    CALL,
    KEYS_PER_PRINCIPAL,
    OPTIONS,
    READ,
    Grant,
    LineProblem,
    duration,
    moment_of,
    read_authorized_keys,
    read_line,
    read_revoked_keys,
)
from mcptwist.auth.keys import KeyProblem
from mcptwist.auth.patterns import PatternProblem, Patterns, Sources
from tests.auth.people import DSA, KINDS, key
from tests.auth.touched import HARDWARE, Authenticator

ALICE = key().public.words()
FULL = (
    'principal="ci",scope="mcp:read mcp:call",tools="git_*,search",resources="file:///a/*",'
    'prompts="hello",from="10.0.0.0/8,unix",expiry-time="20270101Z",not-before="20260101Z",'
    f'max-token-ttl="8h",require-dpop,no-ws,no-mtls,resource="/mcp,/servers/a/mcp" {ALICE} ci@build'
)
#: What may be said of a grant to make it narrower, and what it is when nothing is said.
NARROWING = {
    "tools": None,
    "resources": None,
    "prompts": None,
    "sources": None,
    "expires": None,
    "begins": None,
    "paths": None,
    "require_dpop": False,
    "websocket": True,
    "mtls": True,
}


class LineTests(SynchronousTestCase):
    def test_security_key(self) -> None:
        """A key in hardware may approve, and no JWS is signed by it."""
        for kind in HARDWARE:
            public = Authenticator(kind=kind).public
            grant = read_line(f'scope="mcp:read mcp:call" {public.words()} ann@token')
            self.assertEqual((grant.principal, grant.key), ("ann", public))
            self.assertEqual(grant.key.algorithms, ())
            for algorithm in ("EdDSA", "ES256"):
                self.assertFalse(grant.key.verify(algorithm, b"x" * 64, b"x"))
            self.assertEqual(read_revoked_keys(public.words()), {public.fingerprint})
            for wrong in ("", "AAAA", "!", public.words().split()[1][:-4]):
                self.assertRaises(LineProblem, read_line, f"{public.kind} {wrong}")

    def test_full(self) -> None:
        grant = read_line(FULL)
        self.assertEqual(grant.principal, "ci")
        self.assertEqual(grant.scopes, {READ, CALL})
        assert grant.tools
        assert grant.resources
        assert grant.prompts
        self.assertTrue(grant.tools.allow("git_status") and grant.tools.allow("search"))
        self.assertFalse(grant.tools.allow("research") or grant.tools.allow("xgit_"))
        self.assertTrue(grant.resources.allow("file:///a/b") and grant.takes("10.1.2.3"))
        self.assertFalse(grant.resources.allow("file:///b") or grant.takes("11.0.0.1"))
        self.assertEqual((grant.expires, grant.begins), (1798761600.0, 1767225600.0))
        self.assertEqual((grant.token_ttl, grant.require_dpop), (28800, True))
        self.assertEqual((grant.oauth, grant.websocket, grant.mtls), (True, False, False))
        self.assertEqual(grant.paths, ("/mcp", "/servers/a/mcp"))

    def test_plain(self) -> None:
        """Without options there is only reading, from anywhere."""
        for kind in KINDS:
            public = key(kind, kind).public
            self.assertEqual(
                read_line(public.words()), Grant(key=public, principal=public.fingerprint)
            )

    def test_principal(self) -> None:
        """The option, else the comment up to ``@``, else the fingerprint."""
        fingerprint = key().public.fingerprint
        for line, principal in (
            (f'principal="bob" {ALICE} alice@laptop', "bob"),
            (f"{ALICE} alice@laptop", "alice"),
            (f"{ALICE} alice", "alice"),
            (f"{ALICE} SHA256:AAAA", fingerprint),
            (f"{ALICE} Alice Doe", fingerprint),
            (f"{ALICE} uid:1000", fingerprint),
            (ALICE, fingerprint),
        ):
            self.assertEqual(read_line(line).principal, principal)

    def test_refused(self) -> None:
        for line in (
            f"pty {ALICE}",
            f'command="sh" {ALICE}',
            f'Principal="a" {ALICE}',
            f"principal=a {ALICE}",
            f'principal="a {ALICE}',
            f'principal="" {ALICE}',
            f'principal="a:b" {ALICE}',
            f"principal {ALICE}",
            f'principal="a",principal="b" {ALICE}',
            f'principal="a", scope="mcp:read" {ALICE}',
            f',principal="a" {ALICE}',
            f'principal="a"; {ALICE}',
            f'scope="mcp:read,mcp:call" {ALICE}',
            f'scope="mcp:everything" {ALICE}',
            f'scope="mcp:read  mcp:call" {ALICE}',
            f'tools="" {ALICE}',
            f'tools="a,,b" {ALICE}',
            f'tools="!a" {ALICE}',
            f'tools="[a-z]" {ALICE}',
            f'tools="a b" {ALICE}',
            f'from="10.0.0.1/8" {ALICE}',
            f'from="example.com" {ALICE}',
            f'from="!10.0.0.0/8" {ALICE}',
            f'expiry-time="2027-01-01" {ALICE}',
            f'expiry-time="20270230" {ALICE}',
            f'max-token-ttl="0" {ALICE}',
            f'max-token-ttl="8 h" {ALICE}',
            f'require-dpop="no" {ALICE}',
            f'require-signature="no" {ALICE}',
            "require-signature unix-user alice",
            f'resource="mcp" {ALICE}',
            f'resource="/a/../b" {ALICE}'.replace("..", "%2e"),
            f"{ALICE[:-3]}",
            ALICE.replace(" ", "  AAAA ", 1),
            "ssh-ed25519",
            DSA,
            f"{ALICE} \x1b[31mred",
            f"{ALICE} " + "x" * 20_000,
        ):
            self.assertRaises(LineProblem, read_line, line)

    def test_must_sign(self) -> None:
        self.assertTrue(read_line(f"require-signature {ALICE} a").require_signature)
        self.assertFalse(read_line(f"{ALICE} a").require_signature)

    def test_old_rsa(self) -> None:
        self.assertIn("allow-rsa2048", OPTIONS)
        self.assertEqual(read_line(f"allow-rsa2048 {ALICE} a").principal, "a")

    def test_times(self) -> None:
        self.assertEqual(moment_of("19700102Z"), 86400.0)
        self.assertEqual(moment_of("197001020001Z"), 86460.0)
        self.assertEqual(moment_of("19700102000101Z"), 86461.0)
        self.assertEqual(
            [duration(each) for each in ("7", "7s", "2m", "1h", "1d")], [7, 7, 120, 3600, 86400]
        )

    def test_good_times(self) -> None:
        grant = read_line(f'not-before="19700102Z",expiry-time="19700103Z" {ALICE}')
        moments = (86399.0, 86400.0, 172799.0, 172800.0)
        self.assertEqual([grant.is_good(each) for each in moments], [False, True, True, False])

    @settings(max_examples=400, deadline=None)
    @given(
        st.integers(0, len(FULL) - len(ALICE) - 10),
        # But a line break: it makes two lines, and the second may well be one of its own.
        st.sampled_from([*string.printable.replace("\n", ""), "", "é", "\0"]),
        st.booleans(),
    )
    def test_no_restriction_is_lost(self, at: int, character: str, inserted: bool) -> None:
        """Whatever one character of the options is changed to, no restriction disappears."""
        changed = FULL[:at] + character + FULL[at + (not inserted) :]
        found = read_authorized_keys(changed)
        for grant in found.grants.values():
            for field, unrestricted in NARROWING.items():
                self.assertNotEqual(getattr(grant, field), unrestricted, changed)
            self.assertLessEqual(grant.scopes, {READ, CALL})

    @settings(max_examples=200, deadline=None)
    @given(st.text(max_size=200))
    def test_anything(self, text: str) -> None:
        """No text makes reading fail, and none but a whole key gives anything."""
        self.assertEqual(dict(read_authorized_keys(text).grants), {})
        for before in ("", "tools=", 'tools="'):
            read_authorized_keys(f"{before}{text} {ALICE}")


class FileTests(SynchronousTestCase):
    def test_lines(self) -> None:
        """Comments and empty lines say nothing; a bad line does not spoil its neighbours."""
        bob = key("bob").public.words()
        text = f"# keys\n\n \t\n{ALICE} alice\r\nnonsense\n{bob} bob\n  # the end"
        found = read_authorized_keys(text)
        self.assertEqual({grant.principal for grant in found.grants.values()}, {"alice", "bob"})
        self.assertEqual([line.number for line in found.refused], [5])

    def test_same_key_twice(self) -> None:
        """The later line is refused, whatever it would allow."""
        found = read_authorized_keys(f'{ALICE} a\nscope="mcp:read mcp:admin" {ALICE} b')
        (grant,) = found.grants.values()
        self.assertEqual((grant.principal, grant.scopes), ("a", {READ}))
        self.assertEqual([line.number for line in found.refused], [2])

    def test_several_keys_of_one_principal(self) -> None:
        lines = [f"{key(str(n)).public.words()} x" for n in range(KEYS_PER_PRINCIPAL + 1)]
        found = read_authorized_keys("\n".join(lines))
        self.assertEqual(len(found.grants), KEYS_PER_PRINCIPAL)
        self.assertEqual(len(found.refused), 1)

    def test_too_long(self) -> None:
        found = read_authorized_keys("\n" * 20_000 + ALICE)
        self.assertEqual((dict(found.grants), len(found.refused)), ({}, 1))
        self.assertRaises(LineProblem, read_revoked_keys, "\n" * 20_000 + ALICE)

    def test_revoked(self) -> None:
        fingerprint = key("bob").public.fingerprint
        text = f"# lost laptops\n{ALICE} alice@laptop\n{fingerprint}\n"
        self.assertEqual(read_revoked_keys(text), {key().public.fingerprint, fingerprint})

    def test_revoked_is_read_whole_or_not_at_all(self) -> None:
        for line in ("SHA256:short", "alice", ALICE[:-4], "ssh-ed25519", "\0"):
            self.assertRaises(LineProblem, read_revoked_keys, f"{ALICE}\n{line}\n")

    @settings(max_examples=100, deadline=None)
    @given(st.text(max_size=100))
    def test_revoked_anything(self, text: str) -> None:
        try:
            read_revoked_keys(text)
        except LineProblem:
            pass


class PatternTests(SynchronousTestCase):
    def test_patterns(self) -> None:
        patterns = Patterns("a*c,d?,e.f")
        for name in ("ac", "abc", "a\nc", "dx", "e.f"):
            self.assertTrue(patterns.allow(name), name)
        for name in ("", "abcd", "d", "dxx", "exf", "ac\n"):
            self.assertFalse(patterns.allow(name), name)

    def test_many_stars(self) -> None:
        """A hostile name against a careless pattern ends soon."""
        self.assertFalse(Patterns("*a" * 50).allow("a" * 49 + "b" * 5000))

    def test_sources(self) -> None:
        sources = Sources("10.0.0.0/8,2001:db8::/32,192.0.2.1")
        for host in ("10.9.8.7", "::ffff:10.1.1.1", "2001:db8::1", "2001:db8::1%eth0", "192.0.2.1"):
            self.assertTrue(sources.allow(host), host)
        for host in ("11.0.0.1", "::ffff:11.1.1.1", "2001:db9::1", "unix", "", "10.0.0", "x"):
            self.assertFalse(sources.allow(host), host)
        self.assertTrue(Sources("unix").allow("unix"))
        for text in ("", "x", "10.0.0.1/8", "10.0.0.0/33", " 10.0.0.0/8", ",".join(["::/0"] * 300)):
            self.assertRaises(PatternProblem, Sources, text)

    @settings(max_examples=100, deadline=None)
    @given(st.text(max_size=60), st.text(max_size=30))
    def test_anything(self, text: str, name: str) -> None:
        for make in (Patterns, Sources):
            try:
                made = make(text)
            except (PatternProblem, KeyProblem):
                continue
            self.assertIsInstance(made.allow(name), bool)
