"""Lists of names and addresses in options: what they allow, and nothing else."""

from __future__ import annotations

import fnmatch

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.patterns import (
    LONGEST,
    MOST,
    UNIX,
    PatternProblem,
    Patterns,
    Sources,
    address_of,
)


class PatternTests(SynchronousTestCase):
    """Names."""

    def test_allowed(self) -> None:
        patterns = Patterns("a__*,b?,exact")
        for name in ("a__", "a__x", "b1", "exact", "a__x\ny"):
            self.assertTrue(patterns.allow(name), name)
        for name in ("", "a_", "b", "b12", "xexact", "exact\n", "exactx", "A__x"):
            self.assertFalse(patterns.allow(name), name)

    def test_nothing_else_is_special(self) -> None:
        """Signs that mean something to expressions mean themselves."""
        patterns = Patterns("a.b,(c|d),e+,^f$")
        for name in ("a.b", "(c|d)", "e+", "^f$"):
            self.assertTrue(patterns.allow(name))
        for name in ("axb", "c", "d", "ee", "f"):
            self.assertFalse(patterns.allow(name))

    def test_not_understood(self) -> None:
        """Refused, and never taken for something that allows more, or less."""
        for text in ("", "a,", ",a", "a,,b", "a b", "a\tb", "a\n", "[ab]", "a]", "!a", 'a"', "a\\",
                     "\u00e9"):  # fmt: skip
            self.assertRaises(PatternProblem, Patterns, text)

    def test_bounds(self) -> None:
        """As many and as long as they may be, and no more."""
        self.assertTrue(Patterns(",".join(["a"] * MOST)).allow("a"))
        self.assertRaises(PatternProblem, Patterns, ",".join(["a"] * (MOST + 1)))
        self.assertTrue(Patterns("a" * LONGEST).allow("a" * LONGEST))
        self.assertRaises(PatternProblem, Patterns, "a" * (LONGEST + 1))

    def test_worst(self) -> None:
        """A pattern made to be slow is not: its stars are tried once each."""
        patterns = Patterns("*a" * (LONGEST // 2) + "," + "*a" * 99 + "b")
        self.assertFalse(patterns.allow("a" * 255 + "c"))

    def test_alike(self) -> None:
        """Whether a line says something else now is seen by this."""
        self.assertEqual(Patterns("a,b"), Patterns("a,b"))
        self.assertEqual(hash(Patterns("a,b")), hash(Patterns("a,b")))
        self.assertNotEqual(Patterns("a,b"), Patterns("b,a"))
        self.assertNotEqual(Patterns("unix"), Sources("unix"))
        self.assertEqual(repr(Patterns("a")), "Patterns('a')")

    @given(st.text("ab*?", min_size=1, max_size=6), st.text("abc", max_size=6))
    @settings(max_examples=100, deadline=None)
    def test_as_shells_do(self, pattern: str, name: str) -> None:
        self.assertEqual(Patterns(pattern).allow(name), fnmatch.fnmatchcase(name, pattern))


class SourceTests(SynchronousTestCase):
    """Addresses."""

    def test_allowed(self) -> None:
        sources = Sources("10.0.0.0/8,2001:db8::/32,192.168.1.1")
        for host in ("10.1.2.3", "2001:db8::1", "192.168.1.1", "::ffff:10.1.2.3"):
            self.assertTrue(sources.allow(host), host)
        for host in ("11.0.0.1", "192.168.1.2", "2001:db9::1", "::ffff:11.0.0.1", UNIX, "", "host",
                     "10.1.2", "10.1.2.3 ", "0x0a.1.2.3"):  # fmt: skip
            self.assertFalse(sources.allow(host), host)

    def test_unix(self) -> None:
        """Sockets of this machine, where they are named; the name is no address."""
        self.assertTrue(Sources("unix").allow(UNIX))
        self.assertFalse(Sources("unix").allow("127.0.0.1"))
        self.assertTrue(Sources("::1,unix").allow(UNIX))

    def test_zones(self) -> None:
        """A link's own addresses, whichever link they came by."""
        self.assertTrue(Sources("fe80::/10").allow("fe80::1%eth0"))

    def test_not_understood(self) -> None:
        """Also a network with bits beyond its mask: whoever wrote it meant another."""
        for text in ("", "10.0.0.0/8,", "10.0.0.1/8", "host", "10.0.0.0/33", "*", "!10.0.0.0/8",
                     " unix"):  # fmt: skip
            self.assertRaises(PatternProblem, Sources, text)

    def test_bounds(self) -> None:
        self.assertTrue(Sources(",".join(["::1"] * MOST)).allow("::1"))
        self.assertRaises(PatternProblem, Sources, ",".join(["::1"] * (MOST + 1)))

    def test_alike(self) -> None:
        self.assertEqual(Sources("::1"), Sources("::1"))
        self.assertEqual(hash(Sources("::1")), hash(Sources("::1")))
        self.assertNotEqual(Sources("::1"), Sources("::2"))
        self.assertEqual(repr(Sources("::1")), "Sources('::1')")


class AddressTests(SynchronousTestCase):
    def test_same(self) -> None:
        """An address is one, however it came."""
        self.assertEqual(str(address_of("::ffff:1.2.3.4")), "1.2.3.4")
        self.assertEqual(str(address_of("2001:DB8:0::1")), "2001:db8::1")
        self.assertIsNone(address_of("unix"))
        self.assertIsNone(address_of(""))
