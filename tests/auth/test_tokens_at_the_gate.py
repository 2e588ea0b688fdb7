"""Attacks on tokens and assertions. Every one is turned away with the status it deserves, a line in
the audit log, no server asked, and no secret in any output (the last is looked for after each).
"""

from __future__ import annotations

import json
from typing import Any
from unittest import mock
from urllib.parse import urlencode

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from mcptwist.auth import keys
from mcptwist.auth.addresses import PROTECTED
from mcptwist.auth.jws import make_jws
from mcptwist.auth.keys import ED25519, P256, RSA, PrivateKey, from_base64url, to_base64url
from mcptwist.auth.oauth.assertions import TYPE
from mcptwist.auth.oauth.dpop import token_hash
from mcptwist.auth.oauth.tokens import TokenTable
from mcptwist.protocols.mcphttp import encode_value
from tests.auth.closed import BASE, FORM, MCP, ClosedCase, decoded, from_elsewhere
from tests.auth.people import assertion, claims, key, proof
from tests.conversations.posting import Response

URL = f"{BASE}/oauth/token"


class ComingInTests(ClosedCase):
    """First, that the door opens at all."""

    def test_let_in(self) -> None:
        token = self.house.token(self.alice)
        response = self.house.greet(authorization=f"Bearer {token}")
        self.assertEqual(response.status, 200)
        (event,) = self.house.events("auth.token.issued")
        self.assertEqual(event["principal"], "alice")
        self.assertEqual(event["key"], self.alice.public.fingerprint)

    def test_scheme_in_any_case(self) -> None:
        token = self.house.token(self.alice)
        self.assert_let_in(token, authorization=f"bEARER {token}")

    def test_answer(self) -> None:
        response = self.house.ask_token(self.alice)
        granted = response.json
        del granted["access_token"]
        expected = {"token_type": "Bearer", "expires_in": 600, "scope": "mcp:read mcp:call"}
        self.assertEqual(granted, expected)
        self.assertEqual(response.headers["cache-control"], "no-store")

    def test_by_fingerprint(self) -> None:
        """A client may go by its key's fingerprint."""
        self.assertTrue(self.house.token(self.alice, self.alice.public.fingerprint))

    def test_named_key(self) -> None:
        """``kid`` may name the key, by either of its names; another's is not tried."""
        for kid in (self.alice.public.fingerprint, self.alice.public.thumbprint):
            made = make_jws(self.alice, {"kid": kid}, self.claims())
            self.assertTrue(self.house.token(self.alice, assertion=made))
        kid = self.bob.public.fingerprint
        made = make_jws(self.alice, {"kid": kid}, self.claims())
        self.assertEqual(self.house.ask_token(self.alice, assertion=made).status, 401)

    def test_each_kind(self) -> None:
        for kind in (P256, RSA):
            self.kind = kind
            self.setUp()
            self.assert_let_in(self.house.token(self.alice))

    def claims(self, **different: Any) -> dict[str, Any]:
        return claims("alice", self.house.wall(), **{"aud": BASE, **different})


class NobodyTests(ClosedCase):
    """Without credentials, only what is public is answered."""

    def test_every_place(self) -> None:
        """Every route and method; also what is not there, which is as closed as what is."""
        paths = (
            "/", "/mcp", "/ws", "/sse", "/messages", "/servers", "/servers/far/mcp",
            "/servers/none/mcp", "/admin/mcp", "/admin", "/groups", "/ready", "/metrics",
            "/oauthx", "/MCP", "/mcp/", "/%6dcp",
            "//mcp", "/servers/far/%6dcp", "/..%2fmcp", "/health%2f..%2fmcp",
        )  # fmt: skip
        for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"):
            for path in paths:
                response = self.house.request(method, path, {})
                self.assertEqual(response.status, 401, (method, path))
        self.assert_unseen()

    def test_nothing_else_is_public(self) -> None:
        """Whoever adds a page that anybody may ask has to say so here."""
        gate = self.house.factory.site.resource
        public = {
            (name, below)
            for name, page in gate._public.items()
            for below in getattr(page, "children", None) or {b"": page}
        }
        self.assertEqual(public, {
            (b"health", b""),
            (b".well-known", b"oauth-protected-resource"),
            (b".well-known", b"oauth-authorization-server"),
            (b"oauth", b"token"),
            (b"oauth", b"revoke"),
            (b"oauth", b"ws-ticket"),
        })  # fmt: skip
        for name in gate._inside.children:
            if name not in gate._public:
                response = self.house.request("GET", f"/{name.decode()}", {})
                self.assert_turned_away(response)

    def test_public(self) -> None:
        for path in (
            "/health",
            "/.well-known/oauth-protected-resource",
            "/.well-known/oauth-protected-resource/mcp",
            "/.well-known/oauth-protected-resource/servers/far/ws",
            "/.well-known/oauth-authorization-server",
        ):
            self.assertEqual(self.house.request("GET", path, {}).status, 200, path)
        for path in (
            "/.well-known/oauth-protected-resource/other",
            "/.well-known/oauth-authorization-server/mcp",
            "/.well-known/openid-configuration",
            "/.well-known",
            "/oauth",
            "/oauth/authorize",
            "/oauth/jwks",
        ):
            self.assertEqual(self.house.request("GET", path, {}).status, 404, path)
        self.assertEqual(self.house.request("GET", "/oauth/token", {}).status, 405)

    def test_nothing_tells_which_servers_there_are(self) -> None:
        pages = [
            self.house.request(
                "GET", f"/.well-known/oauth-protected-resource/servers/{name}/mcp", {}
            )
            for name in ("far", "fog")
        ]
        self.assertEqual(pages[0].body, pages[1].body.replace(b"fog", b"far"))
        challenges = [
            self.house.request("POST", f"/servers/{name}/mcp", {}) for name in ("far", "fog")
        ]
        self.assertEqual(challenges[0].status, challenges[1].status)

    def test_challenge(self) -> None:
        """One header line, Bearer first; it names the metadata and a scope that is of use."""
        response = self.come(None)
        self.assert_turned_away(response)
        challenge = response.headers["www-authenticate"]
        self.assertTrue(challenge.startswith('Bearer realm="mcptwist", resource_metadata='))
        self.assertIn('scope="mcp:read mcp:call"', challenge)
        self.assertEqual(challenge.count("Bearer"), 1)
        lines = [line for line in response.head if line.lower().startswith(b"www-authenticate")]
        self.assertEqual(len(lines), 1)

    def test_metadata(self) -> None:
        """What clients insist on is there, and names one origin, which is not the Host's choice."""
        server = decoded(self.house.request("GET", "/.well-known/oauth-authorization-server", {}))
        for member in ("issuer", "authorization_endpoint", "token_endpoint"):
            self.assertTrue(server[member].startswith(BASE), member)
        self.assertEqual(server["response_types_supported"], ["code"])
        self.assertEqual(server["code_challenge_methods_supported"], ["S256"])
        self.assertEqual(server["grant_types_supported"], ["client_credentials"])
        self.assertNotIn("mcp:admin", server["scopes_supported"])
        resource = decoded(self.house.request("GET", f"{PROTECTED}/mcp", {}))
        self.assertEqual(resource["resource"], MCP)
        self.assertEqual(resource["authorization_servers"], [BASE])
        other = {"Host": "evil.example:8080"}
        response = self.house.request("GET", "/.well-known/oauth-authorization-server", other)
        self.assertEqual(response.status, 421)
        self.assertNotIn(b"evil", response.wire.value())

    def test_forwarded(self) -> None:
        """No header that a proxy might set makes anyone anybody."""
        for name in (
            "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "X-Real-Ip",
            "X-Client-Cert", "X-Remote-User", "Remote-User", "Mcp-Init-Host", "X-Original-Url",
        ):  # fmt: skip
            response = self.house.post({}, **{name.lower().replace("-", "_"): "alice"})
            self.assert_turned_away(response)
            self.assertNotIn(b"alice", response.wire.value())


class TokenAttackTests(ClosedCase):
    def test_where_tokens_do_not_belong(self) -> None:
        """C11: in the query, a cookie, the form, twice, or as a password."""
        token = self.house.token(self.alice)
        form = urlencode({"access_token": token}).encode()
        for response in (
            self.come(None, path=f"/mcp?access_token={token}"),
            self.come(None, cookie=f"access_token={token}"),
            self.house.request("POST", "/mcp", {"Content-Type": FORM}, form),
            self.come(None, x_access_token=token),
        ):
            self.assert_turned_away(response)
        twice = [f"Bearer {token}", f"Bearer {token}"]
        self.assert_turned_away(self.come(None, authorization=twice))
        for value in (f"Basic {token}", token, f"Bearer{token}", "Bearer", f"Token {token}"):
            self.assert_turned_away(self.come(None, authorization=value), error="invalid_token")
        self.assertEqual(len(self.house.events("auth.request.denied")), 6)

    def test_tokens_that_are_none(self) -> None:
        token = self.house.token(self.alice)
        for other in (token[:-1], token + "A", token.upper(), "mcp_at_", "A" * 5000, "é", ""):
            response = self.come(None, authorization=f"Bearer {other}".encode().decode("latin-1"))
            self.assert_turned_away(response, error="invalid_token")

    def test_expired(self) -> None:
        """By the clock that only goes forward, whatever the wall says."""
        token = self.house.token(self.alice)
        self.house.wall_moved = -7200.0
        self.house.turn(599, 100)
        self.assert_let_in(token)
        self.house.turn(1)
        self.assertEqual(self.come(token).status, 401)

    def test_same_head_again(self) -> None:
        """C13: one connection, one head over and over: it is asked each time."""
        token = self.house.token(self.alice, expires_in="30")
        body = b'{"jsonrpc":"2.0","id":7,"method":"ping"}'
        head = (
            f"POST /mcp HTTP/1.1\r\nHost: localhost:8080\r\nContent-Type: application/json\r\n"
            f"Accept: application/json, text/event-stream\r\nAuthorization: Bearer {token}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode()
        first = self.house.request("GET", "/health", {})
        wire = first.wire
        for _ in range(3):
            wire.clear()
            wire.protocol.dataReceived(head + body)
            self.assertIn(b"400 Bad Request", wire.value())  # it has no session
        self.house.turn(30, 1)
        wire.clear()
        wire.protocol.dataReceived(head + body)
        self.assertIn(b"401 Unauthorized", wire.value())
        self.assert_unseen()

    def test_keep_alive(self) -> None:
        """D9: who came in on a connection is forgotten with the next request."""
        token = self.house.token(self.alice)
        response = self.house.get(authorization=f"Bearer {token}")
        self.assertNotEqual(response.status, 401)
        response.wire.clear()
        head = b"GET /mcp HTTP/1.1\r\nHost: localhost:8080\r\nAccept: text/event-stream\r\n\r\n"
        response.wire.protocol.dataReceived(head)
        self.assert_turned_away(response)

    def test_other_resource(self) -> None:
        """C10: a token for one place is of no use at another, nor under another name of ours."""
        token = self.house.token(self.alice)
        for path in (
            "/servers/far/mcp",
            "/servers/far/%6dcp",
            "/%73ervers/far/mcp",
            "/%61dmin/mcp",
        ):
            response = self.come(token, path=path)
            self.assert_turned_away(response, error="invalid_token")
        response = self.come(token, host="127.0.0.1:8080")
        self.assertEqual(response.status, 401)
        self.assertIn("http://127.0.0.1:8080/.well-known", response.headers["www-authenticate"])
        for_server = self.house.token(self.alice, resource=f"{BASE}/servers/far/mcp")
        self.assert_turned_away(self.come(for_server), error="invalid_token")
        self.assert_let_in(for_server, path="/servers/far/mcp")

    def test_every_wire_of_a_place(self) -> None:
        """What a token is good for does not depend on the wire."""
        token = self.house.token(self.alice, resource=f"{BASE}/sse")
        self.assert_let_in(token)
        self.assert_let_in(token, path="/mcp/")

    def test_pages(self) -> None:
        """What speaks no MCP is for those who may come to all servers; the rest is not there."""
        token = self.house.token(self.alice)
        page = self.house.request("GET", "/ready", {"Authorization": f"Bearer {token}"})
        self.assertIn(b'"far"', page.body)
        none = self.house.request("GET", "/none", {"Authorization": f"Bearer {token}"})
        self.assertEqual(none.status, 404)
        narrow = self.house.token(self.alice, resource=f"{BASE}/servers/far/mcp")
        page = self.house.request("GET", "/ready", {"Authorization": f"Bearer {narrow}"})
        self.assertEqual(page.status, 401)

    def test_log_injection(self) -> None:
        """F7: what strangers and callers write into a request starts no line in any log."""
        token = self.house.token(self.alice, scope="mcp:read mcp:call")
        name = 't\n{"event":"auth.token.issued"}\x1b[2J\u202e'
        self.house.modern("tools/call", {"name": name}, authorization=f"Bearer {token}",
                          mcp_name=encode_value(name))  # fmt: skip
        told = self.house.events("mcp.allowed")[-1]["name"]
        self.assertTrue(told.isprintable())
        self.come(None, path="/%0a%1b[2J", user_agent="\x1b[2J")
        self.house.ask_token(self.mallory, "x\n\x1b[2J")
        issued = [line for line in self.house.lines if b'"event":"auth.token.issued"' in line]
        self.assertEqual(len(issued), 1)
        for line in self.house.lines:
            self.assertTrue(line.removesuffix(b"\n").decode().isprintable())

    def test_credentials_go_no_further(self) -> None:
        """C18: nobody behind the gate can see them."""
        seen: list[Any] = []
        gate = self.house.factory.site.resource
        inside = gate._inside.children[b"mcp"]
        render = inside.render

        def look(request: Any) -> Any:
            seen.append(request)
            return render(request)

        inside.render = look
        token = self.house.token(self.alice)
        self.assert_let_in(token, cookie="a=b", dpop="x")
        (request,) = seen
        for name in (b"authorization", b"dpop", b"cookie"):
            self.assertIsNone(request.header(name))
            self.assertIsNone(request.getHeader(name))
            self.assertFalse(request.requestHeaders.hasHeader(name))
            self.assertEqual(request.header_values(name), [])
            self.assertNotIn(name, dict(request.raw_headers))
        self.assertEqual(request.principal.name, "alice")


class AssertionAttackTests(ClosedCase):
    def ask(self, made: str, **different: Any) -> Response:
        self.house.turn(0.1)  # no faster than anyone may ask
        return self.house.ask_token(self.alice, assertion=made, **different)

    def assert_not_believed(self, made: str, **different: Any) -> None:
        response = self.ask(made, **different)
        self.assert_refused(response, 401, "invalid_client")
        self.assertEqual(response.body, b'{"error":"invalid_client"}')
        self.assertNotIn("www-authenticate", response.headers)

    def made(self, signer: PrivateKey | None = None, header: Any = None, **claim: Any) -> str:
        said = claims("alice", self.house.wall(), **{"aud": BASE, **claim})
        return make_jws(signer or self.alice, header or {}, said)

    def test_replayed(self) -> None:
        """C1: however often, one gets a token; and another daemon's uses are not known here."""
        made = self.made()
        statuses = [self.ask(made).status for _ in range(100)]
        self.assertEqual(statuses, [200] + [401] * 99)
        self.assertEqual(len(self.house.events("auth.replay")), 99)
        self.assertEqual(len(self.house.events("auth.token.issued")), 1)

    def test_replayed_after_a_restart(self) -> None:
        """C1: what was made before the daemon began may have been used."""
        now = self.house.wall()
        self.assert_not_believed(self.made(iat=now - 1, exp=now + 200))

    def test_replayed_after_the_clock_was_set(self) -> None:
        """G19: whichever way."""
        made = self.made()
        self.assertEqual(self.ask(made).status, 200)
        for moved in (3600.0, 0.0, -20.0):
            self.house.wall_moved = moved
            self.assertEqual(self.ask(made).status, 401)

    def test_times(self) -> None:
        """C2."""
        now = self.house.wall()
        for different in (
            {"exp": now + 301},
            {"iat": now + 31, "exp": now + 100},
            {"exp": now},
            {"exp": None},
            {"iat": None},
            {"exp": True},
            {"iat": "now"},
            {"nbf": now + 60},
        ):
            self.assert_not_believed(self.made(**different))
        self.house.turn(400, 100)
        self.assert_not_believed(self.made(iat=now, exp=now + 300))

    def test_audience(self) -> None:
        """C3."""
        for audience in (MCP, URL, [BASE], "http://127.0.0.1:8080", "https://localhost:8080", ""):
            self.assert_not_believed(self.made(aud=audience))

    def test_algorithms(self) -> None:
        """C4: the key says how it signs, not the message."""
        _, payload, _ = self.made().split(".")
        public = self.alice.public.words().encode()
        for algorithm in ("none", "HS256", "RS256", "ES256", "HS512", "EdDSA"):
            head = to_base64url(json.dumps({"alg": algorithm}).encode())
            for signature in ("", to_base64url(public), to_base64url(b"\0" * 64)):
                self.assert_not_believed(f"{head}.{payload}.{signature}")
        self.assertEqual(self.ask(make_jws(self.alice, {}, self.claims(), "Ed25519")).status, 200)

    def test_der(self) -> None:
        """C4: ES256 is two numbers side by side, not ASN.1 around them."""
        signer = key("alice", P256)
        self.house.write(f"{signer.public.words()} alice@there")
        self.house.look()
        signed, _, signature = make_jws(signer, {}, self.claims()).rpartition(".")
        raw = from_base64url(signature)
        r, s = (int.from_bytes(half, "big") for half in (raw[:32], raw[32:]))
        self.assert_not_believed(f"{signed}.{to_base64url(encode_dss_signature(r, s))}")
        self.assertEqual(self.ask(f"{signed}.{signature}").status, 200)

    def claims(self) -> dict[str, Any]:
        return claims("alice", self.house.wall(), aud=BASE)

    def test_headers(self) -> None:
        """C5: nothing in the header brings another key; nothing is fetched, as nothing could be."""
        mallory = self.mallory
        for header in (
            {"crit": ["exp"]},
            {"b64": False},
            {"jwk": mallory.public.jwk()},
            {"jku": "http://192.0.2.1/"},
            {"x5u": "http://192.0.2.1/"},
            {"x5c": ["AAAA"]},
            {"kid": "../../../dev/null"},
            {"kid": "' OR 1=1 --"},
            {"kid": mallory.public.fingerprint},
        ):
            with mock.patch("socket.socket.connect", side_effect=AssertionError("it fetched")):
                self.assert_not_believed(self.made(mallory, header))
                self.assert_not_believed(self.made(self.alice, header))

    def test_other_sorts(self) -> None:
        """C6: a proof is no assertion, an assertion no token and no proof."""
        self.assert_not_believed(proof(self.alice, url=URL, now=self.house.wall()))
        self.assert_not_believed(self.made(header={"typ": "dpop+jwt"}))
        self.assert_not_believed(self.made(header={"typ": "at+jwt"}))
        self.assert_turned_away(self.come(self.made()), error="invalid_token")
        mine = make_jws(self.alice, {"typ": "at+jwt"}, self.claims())
        self.assert_turned_away(self.come(mine), error="invalid_token")
        response = self.house.ask_token(self.alice, dpop=self.made())
        self.assertEqual(response.json["error"], "invalid_dpop_proof")

    def test_forms_of_an_assertion(self) -> None:
        """C7."""
        good = self.made()
        for made in (f"{good}=", f" {good}", f"{good}.", good[:-1], "", "a.b.c", "." * 3):
            self.assert_not_believed(made)
        # The last character of 64 bytes has bits that nobody reads.
        stray = chr(ord(good[-1]) + 1)
        self.assertEqual(len(good.rpartition(".")[2]) % 4, 2)
        self.assert_not_believed(good[:-1] + stray)
        deep = to_base64url(b'{"a":' * 400)
        self.assert_not_believed(f"{deep}.{deep}.{deep}")
        self.assert_not_believed("A" * 10_000)
        response = self.ask("A" * (1 << 20))
        self.assertEqual(response.status, 413)

    def test_nobody_can_tell_why(self) -> None:
        """C8: unknown, wrong key, revoked, not from there: the same words and headers."""
        self.house.write(
            *self.authorized(),
            self.line("carol"),
            self.line("dave", 'from="203.0.113.0/24"'),
            revoked=key("carol").public.words(),
        )
        self.house.look()
        answers = set()
        for client, signer in (
            ("nobody", self.mallory),
            ("alice", self.mallory),
            ("carol", key("carol")),
            ("dave", key("dave")),
        ):
            made = assertion(signer, client, self.house.wall(), aud=BASE)
            response = self.ask(made)
            answers.add((response.status, response.body, tuple(sorted(response.headers.items()))))
        self.assertEqual(len(answers), 1)
        reasons = [event["reason"] for event in self.house.events("auth.token.refused")]
        expected = ["unknown client", "wrong key", "unknown client", "not from there"]
        self.assertEqual(reasons, expected)

    def test_refusals_cost_the_same(self) -> None:
        """C8: as many signatures are verified, by the same algorithm, whatever is wrong.

        How long that takes is not measured here: what is done is counted.
        """
        two = 'principal="two"'
        self.house.write(
            *self.authorized(),
            self.line("carol"),
            self.line("dave", 'from="203.0.113.0/24"'),
            self.line("erin", two),
            self.line("frank", two),
            revoked=key("carol").public.words(),
        )
        self.house.look()
        counts = set()
        for client, signer in (
            ("nobody", self.mallory),
            ("alice", self.mallory),
            ("two", self.mallory),
            ("carol", key("carol")),
            ("dave", key("dave")),
            (self.alice.public.fingerprint, self.mallory),
            (self.mallory.public.fingerprint, self.mallory),
        ):
            with mock.patch.object(keys, "_verify", wraps=keys._verify) as verify:
                response = self.ask(assertion(signer, client, self.house.wall(), aud=BASE))
            self.assert_refused(response, 401, "invalid_client")
            counts.add(tuple(call.args[1] for call in verify.call_args_list))
        self.assertEqual(counts, {("EdDSA", "EdDSA")})

    def test_another_kind_of_key_costs_the_same(self) -> None:
        """C8: nor does the algorithm tell which kinds of key there are."""
        for kind in (P256, RSA):
            counts = set()
            for client in ("nobody", "alice"):
                made = assertion(key("mallory", kind), client, self.house.wall(), aud=BASE)
                with mock.patch.object(keys, "_verify", wraps=keys._verify) as verify:
                    self.assert_refused(self.ask(made), 401, "invalid_client")
                counts.add(tuple(call.args[1] for call in verify.call_args_list))
            self.assertEqual(len(counts), 1)
            self.assertEqual(len(counts.pop()), 1)

    def test_scopes(self) -> None:
        """C9: what is not granted is not given, however it is asked for."""
        for asked, given in (
            ("mcp:read", "mcp:read"),
            ("mcp:read mcp:admin", "mcp:read"),
            ("mcp:call mcp:read mcp:subscribe x", "mcp:read mcp:call mcp:subscribe"),
            ("", "mcp:read mcp:call"),
        ):
            response = self.house.ask_token(self.alice, scope=asked)
            self.assertEqual(response.json["scope"], given)
        for asked in ("mcp:admin", "MCP:READ", "mcp:read,mcp:call", " ", "é"):
            response = self.house.ask_token(self.alice, scope=asked)
            self.assertEqual((response.status, response.json["error"]), (400, "invalid_scope"))

    def test_resources(self) -> None:
        """C10: exactly one of ours, under the name that was asked by."""
        for resource in (
            None,
            "",
            BASE,
            f"{BASE}/",
            f"{MCP}?a",
            f"{MCP}#a",
            f"{MCP}/x",
            f"{BASE}/other",
            MCP.upper(),
            "http://localhost:8081/mcp",
            "http://127.0.0.1:8080/mcp",
            "https://localhost:8080/mcp",
            "http://localhost:8080.evil.example/mcp",
            "http://localhost:8080@evil.example/mcp",
            f"{BASE}/servers/../mcp",
            f"{BASE}/servers/a%2fb/mcp",
        ):
            response = self.ask(self.made(), resource=resource)
            self.assert_refused(response, 400, "invalid_target")

    def test_forms(self) -> None:
        """The request itself: one form, each parameter once, and nothing beside it."""
        made = self.made()
        good = {"client_assertion_type": TYPE, "client_assertion": made, "resource": MCP}
        body = urlencode({"grant_type": "client_credentials", **good}).encode()

        def ask(body: bytes, path: str = "/oauth/token", **headers: str) -> Response:
            headers = {"Content-Type": FORM, **headers}
            return self.house.request("POST", path, headers, body)

        for response in (
            ask(body + b"&resource=x"),
            ask(body + b"&grant_type=client_credentials"),
            ask(body, path="/oauth/token?a=b"),
            ask(body, Authorization="Basic YTpi"),
            ask(body, **{"Content-Type": "application/json"}),
            ask(body, **{"Content-Type": "multipart/form-data"}),
            ask(b"\xff\xfe"),
            ask(b"&".join(b"a%d=b" % n for n in range(50))),
            ask(b"a=b&;;;=&=%zz&&&c"),
        ):
            self.assert_refused(response, 400, "invalid_request")
        for grant in ("authorization_code", "password", "refresh_token", "", None):
            response = self.ask(self.made(), grant_type=grant)
            self.assert_refused(response, 400, "unsupported_grant_type")
        for kind in ("urn:ietf:params:oauth:client-assertion-type:saml2-bearer", "", None):
            response = self.ask(self.made(), client_assertion_type=kind)
            self.assert_refused(response, 401, "invalid_client")
        self.assert_refused(self.ask(self.made(), client_id="bob"), 401, "invalid_client")
        self.assertEqual(ask(b"a" * 20_000).status, 413)
        for method in ("GET", "PUT", "DELETE"):
            self.assertEqual(self.house.request(method, "/oauth/token", {}).status, 405)

    def test_full(self) -> None:
        """C16: what cannot be remembered is not accepted."""
        self.house.gatehouse.books.replays.limit = 0
        response = self.ask(self.made())
        self.assert_refused(response, 503, "temporarily_unavailable")
        self.assertEqual(response.headers["retry-after"], "5")

    def test_no_room_for_tokens(self) -> None:
        self.house.gatehouse.books.tokens.limit = 0
        response = self.ask(self.made())
        self.assert_refused(response, 503, "temporarily_unavailable")
        self.assertEqual(response.headers["retry-after"], "5")

    def test_lifetimes(self) -> None:
        """No longer than the key's line allows, nor than the key itself."""
        self.house.write(
            self.line("alice", 'scope="mcp:read",max-token-ttl="8h"'),
            self.line("bob", 'max-token-ttl="1m"'),
            self.line("carol", 'expiry-time="20270115080500Z"'),
        )
        self.house.look()
        for client, asked, given in (
            ("alice", None, 600),
            ("alice", "7200", 7200),
            ("alice", "86400", 28800),
            ("alice", "-1", 600),
            ("alice", "9" * 30, 600),
            ("bob", None, 60),
            ("bob", "7200", 60),
        ):
            response = self.house.ask_token(key(client), client, expires_in=asked)
            self.assertEqual(response.json["expires_in"], given, (client, asked))
        left = self.house.ask_token(key("carol"), "carol").json["expires_in"]
        self.assertLess(left, 600)

    def test_revocation(self) -> None:
        """RFC 7009: one's own tokens, and no one else's."""
        token = self.house.token(self.alice)

        def revoke(signer: PrivateKey, client: str) -> Response:
            made = assertion(signer, client, self.house.wall(), aud=BASE)
            form = {"client_assertion_type": TYPE, "client_assertion": made, "token": token}
            headers = {"Content-Type": FORM}
            return self.house.request("POST", "/oauth/revoke", headers, urlencode(form).encode())

        self.assertEqual(revoke(self.bob, "bob").status, 200)
        self.assert_let_in(token)
        self.assertEqual(revoke(self.mallory, "alice").status, 401)
        self.assertEqual(revoke(self.alice, "alice").status, 200)
        self.assertEqual(self.come(token).status, 401)
        self.assertEqual(len(self.house.events("auth.token.revoked")), 1)


class ProofAttackTests(ClosedCase):
    """C14: a token that is bound to a key, and those who have not got it."""

    def setUp(self) -> None:
        super().setUp()
        self.holder, self.thief = key("holder", P256), key("thief", P256)
        self.token = self.house.bound(self.alice, self.holder)

    def come_with(self, *proofs: str, scheme: str = "DPoP", token: str = "") -> Response:
        headers = {"authorization": f"{scheme} {token or self.token}", "dpop": list(proofs)}
        return self.come(None, **headers)

    def test_good(self) -> None:
        response = self.come_with(self.house.proof(self.holder, self.token))
        self.assertEqual(response.status, 0)
        self.assertEqual(self.house.gatehouse.guard.admitted, 1)
        again = self.come_with(self.house.proof(self.holder, self.token))
        self.assertEqual(again.status, 0)

    def test_bad(self) -> None:
        made = self.house.proof
        for text in (
            made(self.thief, self.token),
            made(self.holder, self.token, header={"jwk": self.thief.public.jwk()}),
            made(self.thief, self.token, header={"jwk": self.holder.public.jwk()}),
            made(self.holder, self.token, method="GET"),
            made(self.holder, self.token, url=f"{BASE}/servers/far/mcp"),
            made(self.holder, self.token, url=f"{MCP}?a=b"),
            made(self.holder, self.token, url="http://127.0.0.1:8080/mcp"),
            made(self.holder, self.token, ath=token_hash(b"other")),
            made(self.holder, self.token, ath=None),
            made(self.holder, self.token, now=self.house.wall() - 61),
            made(self.holder, self.token, now=self.house.wall() + 61),
            made(self.holder, self.token, header={"jwk": self.holder.jwk()}),
            made(self.holder, self.token, header={"jwk": {"kty": "oct", "k": "AAAA"}}),
            made(self.holder, self.token, header={"typ": "JWT"}),
            "",
            "x.y.z",
        ):
            self.assert_turned_away(self.come_with(text), error="invalid_dpop_proof")
        self.assertEqual(self.house.gatehouse.guard.admitted, 0)

    def test_missing_or_several(self) -> None:
        self.assert_turned_away(self.come_with(), error="invalid_dpop_proof")
        two = [self.house.proof(self.holder, self.token) for _ in range(2)]
        self.assert_turned_away(self.come_with(*two), error="invalid_dpop_proof")

    def test_replayed(self) -> None:
        made = self.house.proof(self.holder, self.token)
        self.assertEqual(self.come_with(made).status, 0)
        response = self.come_with(made)
        self.assertEqual(response.status, 401)
        self.assertIn('error="invalid_dpop_proof"', response.headers["www-authenticate"])

    def test_downgrade(self) -> None:
        """As a bearer token it is worth nothing, with a proof or without."""
        for proofs in ([], [self.house.proof(self.holder, self.token)]):
            response = self.come_with(*proofs, scheme="Bearer")
            self.assert_turned_away(response, error="invalid_token")

    def test_upgrade(self) -> None:
        """A token that is bound to nothing is not to be had as if it were."""
        token = self.house.token(self.alice)
        made = self.house.proof(self.holder, token)
        self.assert_turned_away(self.come_with(made, token=token), error="invalid_token")

    def test_challenge(self) -> None:
        challenge = self.come_with().headers["www-authenticate"]
        self.assertTrue(challenge.startswith('DPoP realm="mcptwist", algs="ES256 EdDSA Ed25519"'))

    def test_replay_cache_full(self) -> None:
        self.house.gatehouse.books.replays.limit = 0
        response = self.come_with(self.house.proof(self.holder, self.token))
        self.assert_turned_away(response, 503)

    def test_at_the_token_endpoint(self) -> None:
        for made in ("x", proof(self.holder, url=MCP, now=self.house.wall())):
            response = self.house.ask_token(self.alice, dpop=made)
            self.assertEqual((response.status, response.json["error"]), (400, "invalid_dpop_proof"))
        two = [proof(self.holder, url=URL, now=self.house.wall()) for _ in range(2)]
        self.assertEqual(self.house.ask_token(self.alice, dpop=two).status, 400)


class RequiredProofTests(ClosedCase):
    """C15."""

    options = 'scope="mcp:read mcp:call",require-dpop'

    def test_required(self) -> None:
        response = self.house.ask_token(self.alice)
        self.assert_refused(response, 400, "invalid_dpop_proof")
        self.assertTrue(self.house.bound(self.alice, key("holder", P256)))


class NonceTests(ClosedCase):
    """C15: proofs with nonces."""

    auth = {"dpop_nonces": True}

    def test_wanted_and_given(self) -> None:
        holder = key("holder", P256)
        made = proof(holder, url=URL, now=self.house.wall())
        response = self.house.ask_token(self.alice, dpop=made)
        self.assertEqual((response.status, response.json["error"]), (400, "use_dpop_nonce"))
        nonce = response.headers["dpop-nonce"]
        made = proof(holder, url=URL, now=self.house.wall(), nonce=nonce)
        response = self.house.ask_token(self.alice, dpop=made)
        token = response.json["access_token"]
        without = self.house.proof(holder, token)
        response = self.come(None, authorization=f"DPoP {token}", dpop=without)
        self.assert_turned_away(response, error="use_dpop_nonce")
        self.assertEqual(response.headers["dpop-nonce"], nonce)
        with_it = self.house.proof(holder, token, nonce=nonce)
        self.assert_let_in(token, authorization=f"DPoP {token}", dpop=with_it)

    def test_stale(self) -> None:
        holder = key("holder", ED25519)
        nonces = self.house.gatehouse.guard._on.nonces
        assert nonces
        old = nonces.current()
        self.house.turn(400, 100)
        made = proof(holder, url=URL, now=self.house.wall(), nonce=old)
        token = self.house.token(self.alice, dpop=made)
        self.house.turn(250, 50)
        made = self.house.proof(holder, token, nonce=old)
        response = self.come(None, authorization=f"DPoP {token}", dpop=made)
        self.assert_turned_away(response, error="use_dpop_nonce")
        self.assertNotEqual(response.headers["dpop-nonce"], old)


class SourceTests(ClosedCase):
    """Where things come from."""

    options = 'scope="mcp:read",from="192.0.2.0/24"'

    def test_from(self) -> None:
        """C20: a token that was taken elsewhere is worth nothing there."""
        from_elsewhere(self.house, "192.0.2.7")
        token = self.house.token(self.alice)
        self.house.source = "::ffff:192.0.2.9"
        self.assert_let_in(token)
        for source in ("198.51.100.1", "2001:db8::1"):
            self.house.source = source
            response = self.come(token)
            self.assertEqual(response.status, 401)
            self.assertEqual(self.house.events()[-1]["reason"], "not from there")
            self.assertEqual(self.house.ask_token(self.alice).status, 401)
            self.assertEqual(self.house.events()[-1]["reason"], "not from there")

    def test_penalties(self) -> None:
        """G17: who fails too often waits; others do not, and it ends."""
        from_elsewhere(self.house, "203.0.113.5")
        statuses = [self.house.ask_token(self.mallory).status for _ in range(5)]
        self.assertEqual(statuses, [401, 401, 401, 429, 429])
        response = self.come(None)
        self.assert_turned_away(response, 429)
        self.assertGreater(int(response.headers["retry-after"]), 0)
        self.assertEqual(len(self.house.events("auth.penalty")), 1)
        self.house.source = "203.0.113.6"
        self.assertEqual(self.come(None).status, 401)
        self.house.source = "203.0.113.5"
        self.house.turn(16, 1)
        self.assertEqual(self.come(None).status, 401)

    def test_asking_without_is_no_failure(self) -> None:
        """Clients ask without a token to be told where to get one."""
        for _ in range(50):
            self.assertEqual(self.come(None).status, 401)

    def test_hasty(self) -> None:
        """Even good requests for tokens come at a bounded rate."""
        from_elsewhere(self.house, "192.0.2.7")
        statuses = [self.house.ask_token(self.alice).status for _ in range(60)]
        self.assertEqual(statuses.count(200), 50)
        self.assertEqual(statuses[-1], 429)
        self.house.turn(1)
        self.assertEqual(self.house.ask_token(self.alice).status, 200)


class ExemptTests(ClosedCase):
    auth = {"exempt": ("203.0.113.0/24",)}

    def test_exempt(self) -> None:
        from_elsewhere(self.house, "203.0.113.5")
        for _ in range(10):
            self.assertEqual(self.house.ask_token(self.mallory).status, 401)


class TableTests(ClosedCase):
    def test_digests_only(self) -> None:
        """The daemon's memory of tokens is no use to who reads it."""
        token = self.house.token(self.alice)
        table: TokenTable = self.house.gatehouse.books.tokens
        self.assertNotIn(token, repr(vars(table)))
