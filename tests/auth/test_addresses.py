"""Under which URLs we are known: chosen by the Host, never made of it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.addresses import Addresses, place_of

PUBLIC = ("https://mcp.example.com", "https://other.example.com:8443", "http://plain.example.com")


class AddressTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.addresses = Addresses(PUBLIC)

    def base(self, host: str, port: int | None = 8808, secure: bool = False) -> str | None:
        found = self.addresses.of(host.encode("latin-1"), port, secure, b"/mcp")
        return None if found is None else found.base

    def test_public(self) -> None:
        """A proxy may have ended TLS, so what counts is the URL that was configured."""
        for host, base in (
            ("mcp.example.com", PUBLIC[0]),
            ("MCP.Example.COM", PUBLIC[0]),
            ("mcp.example.com.", PUBLIC[0]),
            ("mcp.example.com:443", PUBLIC[0]),
            ("other.example.com:8443", PUBLIC[1]),
            ("plain.example.com", PUBLIC[2]),
            ("mcp.example.com:8808", None),
            ("other.example.com", None),
            ("evil.example.com", None),
            ("", None),
        ):
            self.assertEqual(self.base(host), base, host)

    def test_loopback(self) -> None:
        self.assertEqual(self.base("127.0.0.1:8808"), "http://127.0.0.1:8808")
        self.assertEqual(self.base("[::1]:8808"), "http://[::1]:8808")
        self.assertEqual(self.base("localhost:8808", secure=True), "https://localhost:8808")
        self.assertEqual(self.base("localhost", 80), "http://localhost")
        self.assertEqual(self.base("localhost", None), "http://localhost")
        for host in ("localhost:8809", "localhost", "127.0.0.2:8808", "localhost.evil:8808"):
            self.assertIsNone(self.base(host), host)

    @settings(max_examples=200, deadline=None)
    @given(st.text(st.characters(max_codepoint=255), max_size=40))
    def test_any_host(self, host: str) -> None:
        """Whatever it says, the base is one of ours."""
        ours = {None, *PUBLIC}
        ours |= {f"http://{name}:8808" for name in ("localhost", "127.0.0.1", "[::1]")}
        self.assertIn(self.base(host), ours)

    def test_however_it_is_written(self) -> None:
        """A place is where the tree of resources leads to, whatever is escaped on the way there."""
        for path, place, wire in (
            (b"/servers/far/mcp", "/servers/far", "mcp"),
            (b"/%73ervers/f%61r/%6dcp", "/servers/far", "mcp"),
            (b"/servers/.far/ws/", "/servers/.far", "ws"),
            (b"/%77s", "/", "ws"),
            (b"/servers%2ffar/mcp", None, ""),
            (b"/servers/..%2fmcp", None, ""),
            (b"/servers/%2e%2e/mcp", None, ""),
            (b"/%2573ervers/far/mcp", None, ""),
            (b"/metrics", None, ""),
        ):
            found = self.addresses.of(b"127.0.0.1:8808", 8808, False, path)
            assert found is not None
            self.assertEqual((found.place, found.wire), (place, wire), path)

    def test_places(self) -> None:
        for path, place in (
            ("/mcp", "/"),
            ("/ws", "/"),
            ("/messages", "/"),
            ("/servers/a.b/sse", "/servers/a.b"),
            ("/groups/some/ws", "/groups/some"),
            ("/admin/mcp", "/admin"),
            ("/mcp/", "/"),
        ):
            self.assertEqual(place_of(path), place)
        for path in (
            "/",
            "/mcp/x",
            "//mcp",
            "/servers/mcp",
            "/servers/../mcp",
            "/mcp\n",
            "/servers//mcp",
        ):
            self.assertIsNone(place_of(path), path)

    def test_resources(self) -> None:
        base = "http://localhost:8808"
        found = self.addresses.resource(base, f"{base}/servers/a/ws")
        assert found is not None
        at_place = self.addresses.of(b"localhost:8808", 8808, False, b"/servers/a/mcp")
        assert at_place is not None
        self.assertEqual(found.resource, at_place.resource)
        for url in (
            base,
            f"{base}/",
            f"{base}/x",
            "http://localhost:88/mcp",
            f"{base}@e/mcp",
            "/mcp",
        ):
            self.assertIsNone(self.addresses.resource(base, url), url)
