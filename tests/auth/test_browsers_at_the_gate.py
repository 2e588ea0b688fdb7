"""Attacks by web pages on a daemon that wants keys: foreign names, foreign origins, odd bodies.

Each is turned away with the status it deserves and a line in the audit log; no server is asked.
"""

from __future__ import annotations

from typing import Any
from unittest import mock

from mcptwist.versions import MODERN
from tests.auth.closed import BASE, FORM, MCP, ClosedCase, Response
from tests.auth.people import assertion
from tests.conversations.posting import rpc
from tests.protocols.wsfront import UPGRADE

PAGE = "https://app.example"
READABLE = ("mcp-session-id", "www-authenticate", "dpop-nonce", "retry-after")
FOREIGN_ORIGINS = (
    "null",
    "http://localhost.evil.com",
    "http://localhost.evil.com:8080",
    "http://127.0.0.1@evil.com",
    "http://127.0.0.1:8080@evil.com",
    "http://evil.example:8080",
    "HTTP://LOCALHOST",
    "HTTP://LOCALHOST:8080",
    "http://localhost.:8080",
    "http://localhost",
    "http://localhost:8081",
    "http://localhost:8080/",
    "http://localhost:08080",
    "http://2130706433:8080",
    "https://app.example.",
    "https://app.example:444",
    "https://app.example.evil.com",
    "https://evilapp.example",
    "http://app.example",
    "https://APP.example",
    "file://",
    "chrome-extension://abc",
    "https://app.example https://app.example",
    "*",
    "",
)


class PageCase(ClosedCase):
    """A daemon that pages of ``PAGE`` may ask, and nobody else's.

    :ivar hers: the header that makes a request Alice's.
    """

    origins = (PAGE,)

    def setUp(self) -> None:
        super().setUp()
        self.hers = {"Authorization": f"Bearer {self.house.token(self.alice)}"}

    def assert_objected(self, response: Response, status: int, event: str) -> None:
        """Refused before anybody asked who is calling."""
        self.assertEqual(response.status, status, response.wire.value())
        self.assertEqual(self.house.gatehouse.guard.admitted, 0)
        self.assert_audited(event)
        self.assert_unseen()


class NameTests(PageCase):
    """B1: requests that go to a name that is not ours."""

    NAMES = (
        "evil.example", "evil.example:8080", "localhost:8081", "localhost.evil.example:8080",
        "127.0.0.1.evil.example:8080", "127.0.0.2:8080", "[::2]:8080",
    )  # fmt: skip

    def test_post(self) -> None:
        for name in self.NAMES:
            response = self.house.post(rpc("ping"), host=name, **self.hers)
            self.assert_objected(response, 421, "auth.host.refused")
            self.assertEqual(self.house.events()[-1]["host"], name)

    def test_token_endpoint(self) -> None:
        response = self.house.ask_token(self.alice, headers={"Host": "evil.example:8080"})
        self.assert_objected(response, 421, "auth.host.refused")
        self.assertEqual(len(self.house.events("auth.token.issued")), 1)

    def test_websocket(self) -> None:
        headers = {**UPGRADE, **self.hers, "Host": "evil.example:8080"}
        response = self.house.request("GET", "/ws", headers)
        self.assert_objected(response, 421, "auth.host.refused")

    def test_http2(self) -> None:
        client = self.house.http2()
        for name in (b"evil.example", b"localhost:8081"):
            told = client.ask(
                (b":method", b"POST"),
                (b":path", b"/mcp"),
                (b":authority", name),
                (b"authorization", self.hers["Authorization"].encode()),
                body=b"{}",
            )
            self.assertEqual(told.status, 421)
            self.assertEqual(self.house.events()[-1]["event"], "auth.host.refused")
            client = self.house.http2()
        self.assertEqual(self.house.gatehouse.guard.admitted, 0)

    def test_rebinding(self) -> None:
        """B2: a page whose own name leads here has that name as Host and as Origin."""
        evil = "evil.example:8080"
        for headers in (self.hers, {}):
            response = self.house.post(rpc("ping"), host=evil, origin=f"http://{evil}", **headers)
            self.assert_objected(response, 421, "auth.host.refused")

    def test_malformed(self) -> None:
        for name in ("", "a b", "user@localhost:8080", "localhost:8080/", "localhost:99999999"):
            response = self.house.post(rpc("ping"), host=name, **self.hers)
            self.assertEqual(response.status, 400, name)
            self.assert_unseen()


class OriginTests(PageCase):
    """B3: pages that may not ask; with a good token all the same."""

    def test_foreign(self) -> None:
        for origin in FOREIGN_ORIGINS:
            response = self.house.post(rpc("ping"), origin=origin, **self.hers)
            self.assert_objected(response, 403, "auth.origin.refused")
            self.assertNotIn("access-control-allow-origin", response.headers)
            self.assertEqual(self.house.events()[-1].get("origin"), origin)

    def test_every_way(self) -> None:
        """To whatever they ask: MCP, streams, tokens, sockets."""
        evil = {"Origin": "https://evil.example"}
        form = {"Content-Type": FORM, **evil}
        for response in (
            self.house.request("GET", "/mcp", {**self.hers, **evil}),
            self.house.request("DELETE", "/mcp", {**self.hers, **evil}),
            self.house.request("GET", "/sse", {**self.hers, **evil}),
            self.house.request("GET", "/health", evil),
            self.house.request("POST", "/oauth/token", form, b"a=b"),
            self.house.request("GET", "/ws", {**UPGRADE, **self.hers, **evil}),
        ):
            self.assert_objected(response, 403, "auth.origin.refused")

    def test_native_clients(self) -> None:
        """B4: whoever is no page sends none."""
        response = self.house.greet(**self.hers)
        self.assertEqual(response.status, 200)

    def test_allowed(self) -> None:
        response = self.house.greet(origin=PAGE, **self.hers)
        self.assertEqual(response.status, 200)
        self.assertEqual(response.headers["access-control-allow-origin"], PAGE)

    def test_allowed_is_not_let_in(self) -> None:
        """A good origin is no credential."""
        self.assert_turned_away(self.come(None, origin=PAGE))


class PreflightTests(PageCase):
    """B6: what browsers ask first, and without credentials."""

    def ask(self, origin: str) -> Response:
        headers = {
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type,dpop,mcp-method",
        }
        return self.house.request("OPTIONS", "/mcp", headers)

    def test_allowed(self) -> None:
        response = self.ask(PAGE)
        self.assertEqual((response.status, response.body), (204, b""))
        self.assertEqual(response.headers["access-control-allow-origin"], PAGE)
        allowed = {each.strip() for each in
                   response.headers["access-control-allow-headers"].lower().split(",")}  # fmt: skip
        self.assertLessEqual({"authorization", "content-type", "dpop", "mcp-method"}, allowed)
        self.assertNotIn("*", allowed)
        self.assertNotIn("access-control-allow-credentials", response.headers)
        self.assertIn("Origin", response.headers["vary"])
        self.assertEqual(self.house.gatehouse.guard.admitted, 0)

    def test_refused(self) -> None:
        response = self.ask("https://evil.example")
        self.assert_objected(response, 403, "auth.origin.refused")
        self.assertNotIn("access-control-allow-origin", response.headers)
        self.assertIn("Origin", response.headers["vary"])


class ReadableTests(PageCase):
    """B7: a page that may ask can read why it was refused; no other ever can (B10)."""

    def responses(self, origin: str | None) -> list[tuple[int, Response]]:
        few = self.house.token(self.alice, scope="mcp:read")
        hers, page = {"authorization": f"Bearer {few}"}, {"origin": origin}
        named = {"Origin": origin, "Content-Type": FORM}
        made = [
            (401, self.come(None, **page)),
            (401, self.come("mcp_at_x", **page)),
            (403, self.house.modern("tools/call", {"name": "t"}, **hers, **page)),
            (415, self.house.post(b"{}", content_type="text/plain", **hers, **page)),
            (400, self.house.post(b"{", **hers, **page)),
            (404, self.house.request("GET", "/none", {"Origin": origin, **self.hers})),
            (413, self.house.request("POST", "/oauth/token", named, b"a" * 20_000)),
            (400, self.house.request("POST", "/oauth/token", named, b"a=b")),
            (405, self.house.request("GET", "/oauth/token", named)),
        ]
        with mock.patch.object(self.house.gatehouse.guard, "admit", side_effect=ZeroDivisionError):
            made.append((500, self.come(None, **page)))
        self.flushLoggedErrors(ZeroDivisionError)
        with mock.patch.object(self.house.gatehouse.books.penalties, "wait", return_value=7.0):
            made.append((429, self.come(None, **page)))
        return made

    def test_allowed(self) -> None:
        for status, response in self.responses(PAGE):
            self.assertEqual(response.status, status)
            headers = response.headers
            self.assertEqual(headers["access-control-allow-origin"], PAGE, status)
            exposed = headers["access-control-expose-headers"].lower()
            for name in READABLE:
                self.assertIn(name, exposed)
            self.assertIn("Origin", headers["vary"])
            self.assertNotIn("access-control-allow-credentials", headers)

    def test_nobody_elses(self) -> None:
        """Whoever keeps an answer for others is told that it depends on who asks."""
        for status, response in self.responses(None):
            self.assertEqual(response.status, status)
            self.assertNotIn("access-control-allow-origin", response.headers)
            self.assertIn("Origin", response.headers["vary"], status)

    def test_metadata(self) -> None:
        """B10: the same for all, so it may be kept; still never with another page's name."""
        path = "/.well-known/oauth-authorization-server"
        for origin in (PAGE, BASE, None):
            response = self.house.request("GET", path, {"Origin": origin})
            self.assertEqual(response.headers.get("access-control-allow-origin"), origin)
            self.assertIn("Origin", response.headers["vary"])


class BodyTests(PageCase):
    """B5 and F1: bodies that a page can send without asking, and bodies that are none."""

    def test_types(self) -> None:
        """Before anything is parsed."""
        for kind in (
            "text/plain", "multipart/form-data; boundary=x", FORM, "application/jsonp", "", None,
            "text/plain; application/json",
        ):  # fmt: skip
            for body in (rpc("initialize"), b"{"):
                response = self.house.post(body, content_type=kind, **self.hers)
                self.assertEqual(response.status, 415, kind)
        self.assert_unseen()

    def test_no_message(self) -> None:
        """F1."""
        cases: list[tuple[bytes, int, int]] = [
            (b'{"jsonrpc":"2.0","id":1,"Method":"tools/call"}', 400, -32600),
            (b'{"jsonrpc":"2.0","id":1,"METHOD":"ping","params":{}}', 400, -32600),
            (b'{"jsonrpc":"2.0","id":NaN,"method":"ping"}', 400, -32700),
            (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":Infinity}}', 400, -32700),
            (b'{"jsonrpc":"2.0","id":"\xed\xa0\x80","method":"ping"}', 400, -32700),
            (b'{"jsonrpc":"2.0","id":"\xff","method":"ping"}', 400, -32700),
            (b'\xef\xbb\xbf{"jsonrpc":"2.0","id":1,"method":"ping"}', 400, -32700),
            (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', 400, -32600),
            (b"[]", 400, -32600),
            (b"", 400, -32700),
            (b"null", 400, -32600),
            (b"[" * 100_000, 400, -32600),
            (b'{"a":' * 100_000, 400, -32600),
            (b'{"jsonrpc":"2.0","id":1,"method":"ping"}{}', 400, -32700),
        ]
        modern = {"mcp_protocol_version": MODERN, "mcp_method": "tools/call", "mcp_name": "t"}
        for era in ({}, modern):
            for body, status, code in cases:
                response = self.house.post(body, **self.hers, **era)
                told = response.status, response.error["code"]
                self.assertEqual(told, (status, code), (body[:60], era))
                if era:  # it is the body that is wrong, and not what else might be
                    kind = {-32600: "invalid-request", -32700: "parse-error"}[code]
                    self.assertEqual(response.error["data"]["code"], kind, body[:60])
            big = self.house.post(b" " * (1 << 20) + b"x", **self.hers, **era)
            self.assertEqual(big.status, 413)
        self.assert_unseen()

    def test_no_message_in_a_session(self) -> None:
        """F1: the same where there is one; its revision has no batches."""
        self.house.shake_hands(**self.hers)
        self.house.wire.take()
        for body in (
            b'{"jsonrpc":"2.0","id":1,"Method":"tools/call","params":{"name":"t"}}',
            b'{"jsonrpc":"2.0","id":1,"METHOD":"tools/list"}',
            b'[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t"}}]',
            b' [{"jsonrpc":"2.0","id":1,"method":"tools/list"}]',
            b"[]",
        ):
            response = self.house.post(body, **self.hers)
            told = response.status, response.error["data"]["code"]
            self.assertEqual(told, (400, "invalid-request"), body)
        self.assertEqual(self.house.wire.take(), [])

    def test_twice(self) -> None:
        """F1: what is in a message twice leaves the daemon once: all read the same."""
        self.house.shake_hands(**self.hers)
        body = b'{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/list","params":{}}'
        self.house.post(body, **self.hers)
        self.assertEqual(self.house.asked().method, "tools/list")

    def test_twice_decides_once(self) -> None:
        """Scopes are looked up for the method that would go out, in whichever order."""
        few = {"Authorization": f"Bearer {self.house.token(self.alice, scope='mcp:read')}"}
        self.house.shake_hands(**few)
        for pair in (b'"tools/list","method":"tools/call"', b'"tools/call","method":"tools/list"'):
            body = b'{"jsonrpc":"2.0","id":1,"params":{"name":"t"},"method":%b}' % pair
            self.house.post(body, **few)
        self.assertEqual([each.method for each in self.house.wire.take()], ["tools/list"])


class HeaderTests(PageCase):
    """F2: what the headers say of a body is not believed."""

    options = 'scope="mcp:read mcp:call",tools="safe,far__safe"'

    def ask(self, header: Any, body: str) -> Response:
        return self.house.modern("tools/call", {"name": body}, mcp_name=header, **self.hers)

    def test_names(self) -> None:
        for header in (
            "safe",
            "SAFE",
            "DANGER",
            "=?base64?c2FmZQ==?=",
            "=?BASE64?ZGFuZ2Vy?=",
            "=?base64?ZGFuZ2Vy",
            "safe, danger",
            ["danger", "safe"],
            ["safe", "danger"],
            None,
            "",
        ):
            response = self.ask(header, "danger")
            self.assertEqual(response.status, 400, header)
            self.assertEqual(response.error["code"], -32020)
        self.assert_unseen()

    def test_the_body_decides(self) -> None:
        """Headers that agree with it, in any spelling, make nothing good."""
        for header in ("danger", "=?base64?ZGFuZ2Vy?="):
            response = self.ask(header, "danger")
            self.assertEqual((response.status, response.error["code"]), (400, -32602))
            self.assertEqual(self.house.events("mcp.denied")[-1]["name"], "danger")
        self.assert_unseen()
        # The same in another spelling of base64, which some would read and others not.
        response = self.ask("=?base64?c2FmZR==?=", "safe")
        self.assertEqual((response.status, response.error["code"]), (400, -32020))
        self.assert_unseen()
        self.ask("=?base64?c2FmZQ==?=", "safe")
        self.assertEqual(self.house.asked().method, "tools/call")

    def test_forwarded(self) -> None:
        """A5: no header that a proxy might set changes who, whence or whereto."""
        lies: dict[str, str] = {
            "X-Forwarded-For": "203.0.113.9",
            "X-Forwarded-Host": "evil.example",
            "X-Forwarded-Proto": "https",
            "Forwarded": "for=203.0.113.9;host=evil.example;proto=https",
            "X-Real-Ip": "203.0.113.9",
            "X-Client-Cert": "alice",
            "X-Remote-User": "bob",
            "Mcp-Init-Host": "evil.example",
        }
        response = self.house.request("GET", "/.well-known/oauth-protected-resource/mcp", lies)
        self.assertEqual(response.json["resource"], MCP)
        made = assertion(self.mallory, "alice", self.house.wall(), aud=BASE)
        self.house.ask_token(self.mallory, assertion=made, headers=lies)
        event = self.house.events("auth.token.refused")[-1]
        self.assertEqual((event["peer"], event["issuer"]), ("192.168.1.1", BASE))
        self.house.greet(**self.hers, **lies)
        (session,) = self.house.concourse.sessions
        self.assertTrue(session.principal.startswith("alice SHA256:"))
