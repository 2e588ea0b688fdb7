"""``configuration.listening``: endpoints, hosts and origins, checked without opening anything."""

import sys
from subprocess import run
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.configuration.listening import (
    DEFAULT_ENDPOINT,
    endpoints,
    header_name,
    host,
    is_local,
    origin,
)
from mcptwist.configuration.settings import Ledger, Reader
from mcptwist.protocols.site import HostGuard


def reading(read: Reader, value: Any) -> tuple[Any, list[str], list[str]]:
    """What was read, the mistakes and the notes."""
    ledger = Ledger({})
    found = read(ledger.place("x"), value)
    return found, [str(each) for each in ledger.mistakes], [each.path for each in ledger.notes]


class EndpointsTests(SynchronousTestCase):
    """Twisted's descriptions of where to listen."""

    def test_good(self) -> None:
        """TCP of both sorts, sockets in the file system, any free port."""
        for description in (
            DEFAULT_ENDPOINT, "tcp:0:interface=127.0.0.1", "tcp6:8808:interface=\\:\\:1",
            "tcp:8808:interface=localhost", "unix:/run/mcpd.socket:mode=660",
        ):  # fmt: skip
            self.assertEqual(reading(endpoints, [description]), ((description,), [], []))

    def test_lines(self) -> None:
        """Lines without HTTP are for sockets in the file system: pages can reach any other."""
        good = "lines:unix:/run/mcpd.sock:mode=660"
        self.assertEqual(reading(endpoints, [good]), ((good,), [], []))
        for entry in ("lines:tcp:8808", "lines:https:8808", "lines:", "lines:/a"):
            self.assertEqual(len(reading(endpoints, [entry])[1]), 1, entry)

    def test_one_string(self) -> None:
        """A single endpoint needs no list."""
        self.assertEqual(reading(endpoints, DEFAULT_ENDPOINT)[0], (DEFAULT_ENDPOINT,))

    def test_opens_nothing(self) -> None:
        """Certificates and inherited sockets are looked for when the daemon starts, not before."""
        there = ["ssl:8443:interface=127.0.0.1:privateKey=/nowhere", "systemd:domain=INET:index=0"]
        self.assertEqual(reading(endpoints, there), (tuple(there), [], ["x[1]"]))

    def test_local(self) -> None:
        """What can be reached from elsewhere, or might be, is not local."""
        for entry in (
            "tcp:1:interface=127.0.0.1", "https:1:interface=127.9.9.9", "tcp:1:interface=localhost",
            "tcp6:1:interface=\\:\\:1", "unix:/a", "lines:unix:/a", "https+unix:/a",
            "systemd:domain=UNIX:index=0",
        ):  # fmt: skip
            self.assertTrue(is_local(entry), entry)
        for entry in (
            "tcp:1", "tcp6:1", "https:1", "tcp:1:interface=0.0.0.0", "tcp:1:interface=10.0.0.1",
            "tcp:1:interface=127.example.com", "tcp:1:interface=localhost.example.com",
            "tcp6:1:interface=\\:\\:", "systemd:domain=INET:index=0",
            "tcp:1:interface=127.0.0.1:interface=0.0.0.0",
        ):  # fmt: skip
            self.assertFalse(is_local(entry), entry)

    def test_bad(self) -> None:
        """What is no endpoint says so, and says what one looks like."""
        for value in (
            "",
            "tcp",
            "tcp:",
            "tcp:http",
            "tcp:70000",
            "tcp:-1",
            "tcp:1:nonsense=2",
            "x:1",
            ":",
        ):
            found, mistakes, _ = reading(endpoints, [value])
            self.assertIsNone(found, value)
            self.assertEqual(len(mistakes), 1, value)
            self.assertTrue(mistakes[0].startswith("x[0]: "), value)

    def test_address_and_port(self) -> None:
        """What people write elsewhere is answered with the endpoint they mean."""
        self.assertIn('"tcp:8080:interface=127.0.0.1"', reading(endpoints, ["8080"])[1][0])
        self.assertIn('"tcp:80:interface=0.0.0.0"', reading(endpoints, ["0.0.0.0:80"])[1][0])

    def test_no_endpoint(self) -> None:
        """A daemon that listens nowhere is of no use."""
        self.assertEqual(len(reading(endpoints, [])[1]), 1)

    def test_twice(self) -> None:
        """The second could not be opened; but each port 0 is another."""
        self.assertEqual(len(reading(endpoints, ["unix:/a", "unix:/a"])[1]), 1)
        free = "tcp:0:interface=127.0.0.1"
        self.assertEqual(reading(endpoints, [free, free])[1], [])

    def test_open_to_the_network(self) -> None:
        """It may be meant, so it is noted."""
        for value in ("tcp:8808", "tcp:8808:interface=0.0.0.0", "tcp6:1", "ssl:8443"):
            self.assertEqual(reading(endpoints, [value]), ((value,), [], ["x[0]"]))

    def test_no_reactor(self) -> None:
        """Checking installs no reactor: twistd chooses one later."""
        script = (
            "import sys; from mcptwist.config import override_listen, default_config, Loaded;"
            "override_listen(Loaded('', default_config()), ['tcp:1', 'nonsense:1']);"
            "sys.exit('twisted.internet.reactor' in sys.modules)"
        )
        self.assertEqual(run([sys.executable, "-c", script], check=False).returncode, 0)

    @settings(deadline=None, max_examples=100)
    @given(some.text(max_size=20) | some.builds("tcp:{}".format, some.text(max_size=12)))
    def test_any_text(self, value: str) -> None:
        """Any text is an endpoint or a mistake."""
        found, mistakes, _ = reading(endpoints, [value])
        self.assertEqual(found is None, bool(mistakes))


class HostTests(SynchronousTestCase):
    """Names in a Host header."""

    def test_good(self) -> None:
        """Names and addresses, with a port or without, in small letters."""
        for value in ("example.com", "example.com:8443", "10.0.0.1", "[::1]:80"):
            self.assertEqual(reading(host, value), (value, [], []))
        self.assertEqual(reading(host, "Example.COM")[0], "example.com")

    def test_bad(self) -> None:
        """No URL, no pattern, nothing that no Host header holds."""
        for value in (
            "",
            "https://example.com",
            "*",
            "a/b",
            "a b",
            "a\n",
            "a:70000",
            "a:",
            "-a",
            5,
        ):
            found, mistakes, _ = reading(host, value)
            self.assertIsNone(found)
            self.assertEqual(len(mistakes), 1, value)


class OriginTests(SynchronousTestCase):
    """Where a page is from."""

    def test_good(self) -> None:
        """Scheme, host and perhaps port, in small letters."""
        for value in ("https://a.example", "http://localhost:6274", "http://a:*", "http://[::1]:1"):
            self.assertEqual(reading(origin, value), (value, [], []))

    def test_bad(self) -> None:
        """No path, no bare host, no pattern, no null."""
        for value in (
            "https://a.example/",
            "a.example",
            "*",
            "null",
            "https://*",
            "ftp://a",
            "http://a:0",
            None,
        ):
            found, mistakes, _ = reading(origin, value)
            self.assertIsNone(found)
            self.assertEqual(len(mistakes), 1, value)


class HeaderNameTests(SynchronousTestCase):
    """What pages may send and read."""

    def test_good(self) -> None:
        """Any token."""
        for value in ("X-Trace", "x_y", "traceparent"):
            self.assertEqual(reading(header_name, value), (value, [], []))

    def test_bad(self) -> None:
        """No list in one string, nothing that would end a header, no wildcard."""
        for value in ("", "*", "A, B", "A:", "A\r\nB", "A\n", "é", "x" * 101, 5):
            found, mistakes, _ = reading(header_name, value)
            self.assertIsNone(found)
            self.assertEqual(len(mistakes), 1, value)


class GuardTests(SynchronousTestCase):
    """Those who use hosts and origins take what was let through here."""

    @settings(deadline=None, max_examples=150)
    @given(some.text("aZ0.-_:[]*é٣\n", max_size=8))
    def test_guard_takes_them(self, value: str) -> None:
        """A value that is no mistake starts the daemon."""
        for name in (value, f"a:{value}", f"[{value}]"):
            if (found := reading(host, name)[0]) is not None:
                HostGuard([found])
            if (found := reading(origin, f"https://{name}")[0]) is not None:
                HostGuard([], [found])
