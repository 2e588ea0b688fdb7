"""Signed requests at the gate: who signs needs no token, and each attack on a signature fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mcptwist.auth.httpsignatures import ASKED, content_digest
from mcptwist.auth.keys import P256, RSA, PrivateKey
from mcptwist.auth.tickets import PREFIX
from mcptwist.messages import encode_json
from mcptwist.negotiation import modern_meta
from mcptwist.protocols.site import HostGuard
from tests.auth.closed import BASE, FULL, HERE, MCP, Closed, ClosedCase, from_elsewhere
from tests.auth.people import key
from tests.auth.signing import signed
from tests.conversations.posting import BOB, BOTH, Response, rpc
from tests.protocols.wsfront import UPGRADE, Socket

REVISION = "2025-11-25"
GREETING = rpc("initialize", {"protocolVersion": REVISION, "capabilities": {}, "clientInfo": {}})


class SignedCase(ClosedCase):
    """A daemon that takes signatures."""

    auth: dict[str, Any] = {"exempt": (f"{HERE}/32",), "http_signatures": True}

    def sign(
        self,
        method: str = "POST",
        path: str = "/mcp",
        body: bytes = b"",
        signer: PrivateKey | None = None,
        headers: dict[str, str] | None = None,
        **different: Any,
    ) -> dict[str, Any]:
        """The headers of a request that Alice signs, or somebody else."""
        given = {"url": BASE + path, "now": self.house.wall(), **different}
        url = given.pop("url")
        return signed(signer or self.alice, method, url, headers or {}, body, **given)

    def send(
        self, headers: dict[str, Any], message: Any = None, path: str = "/mcp", method: str = "POST"
    ) -> Response:
        body = b"" if method != "POST" else encode_json(message or GREETING)
        standing = {"Content-Type": "application/json", "Accept": BOTH}
        return self.house.request(method, path, standing | headers, body)

    def greet(self, signer: PrivateKey | None = None, **different: Any) -> Response:
        """Greet the daemon, signed."""
        return self.send(self.sign(body=encode_json(GREETING), signer=signer, **different))

    def modern(self, method: str, params: Any = None, id: Any = 1, **different: Any) -> Response:
        body = encode_json(rpc(method, {"_meta": modern_meta(BOB), **(params or {})}, id))
        headers = {"mcp-protocol-version": "2026-07-28", "mcp-method": method}
        if params and "name" in params:
            headers["mcp-name"] = params["name"]
        made = self.sign(body=body, headers=headers, **different)
        standing = {"Content-Type": "application/json", "Accept": BOTH}
        return self.house.request("POST", "/mcp", standing | made, body)

    def assert_comes_in(self, response: Response) -> None:
        self.assertIn(response.status, (0, 200), response.wire.value())
        self.assertEqual(self.house.gatehouse.guard.admitted, 1)

    def assert_not_believed(self, response: Response, reason: str, status: int = 401) -> None:
        """Refused, with what is asked of signatures; why is in the audit log alone."""
        self.assert_turned_away(response, status)
        if status == 401:
            self.assertEqual(response.headers["accept-signature"], ASKED.decode())
        told = self.house.events("auth.request.denied")[-1]["reason"]
        self.assertIn(reason, told)
        self.assertNotIn(told, response.wire.value().decode())


class ComingTests(SignedCase):
    def test_no_token(self) -> None:
        self.assert_comes_in(self.greet())

    def test_who(self) -> None:
        """Who signs is who its key's line says, and may what it says."""
        self.modern("tools/call", {"name": "t"})
        (request,) = self.house.gatehouse.presence._open_requests()
        principal = request.principal
        self.assertEqual((principal.name, principal.via), ("alice", "signed"))
        self.assertEqual(principal.scopes, frozenset(FULL.split()))

    def test_kinds(self) -> None:
        for kind in (P256, RSA):
            signer = key("carol", kind)
            self.house.write(*self.authorized(), f'scope="{FULL}" {signer.public.words()} carol')
            self.house.look()
            before = self.house.gatehouse.guard.admitted
            self.assertIn(self.greet(signer).status, (0, 200))
            self.assertEqual(self.house.gatehouse.guard.admitted, before + 1)

    def test_session(self) -> None:
        """A whole stay: each request signed anew, with its session and its revision."""
        response = self.greet()
        self.house.agree()
        self.assertEqual(response.status, 200)
        named = {"mcp-session-id": response.headers["mcp-session-id"],
                 "mcp-protocol-version": REVISION}  # fmt: skip
        call = rpc("tools/call", {"name": "t"}, 2)
        called = self.send(self.sign(body=encode_json(call), headers=named), call)
        self.house.answer(self.house.asked(), {"content": []})
        self.assertEqual(called.status, 200)
        stream = self.send(self.sign("GET", headers=named), method="GET")
        self.assertEqual(stream.headers["content-type"], "text/event-stream")
        ended = self.send(self.sign("DELETE", headers=named), method="DELETE")
        self.assertEqual(ended.status, 204)

    def test_anothers_session(self) -> None:
        response = self.greet()
        self.house.agree()
        named = {"mcp-session-id": response.headers["mcp-session-id"],
                 "mcp-protocol-version": REVISION}  # fmt: skip
        other = self.send(self.sign("DELETE", headers=named, signer=self.bob), method="DELETE")
        self.assertEqual(other.status, 404)
        self.assertEqual(len(self.house.events("auth.session.foreign")), 1)

    def test_query(self) -> None:
        """What is signed is the whole URL."""
        body = encode_json(GREETING)
        self.assert_comes_in(self.send(self.sign(path="/mcp?a=b", body=body), path="/mcp?a=b"))

    def test_http2(self) -> None:
        client = self.house.http2()
        body = encode_json(GREETING)
        for piece in (body, body[:-1] + b" "):
            made = self.sign(body=body)
            fields = [(name.encode(), value.encode())
                      for name, value in made.items()]  # fmt: skip
            head = [(b":method", b"POST"), (b":path", b"/mcp"), (b"accept", BOTH.encode()),
                    (b"content-type", b"application/json"), *fields]  # fmt: skip
            number = client.begin(*head, end=False)
            client.h2.send_data(number, piece[:10])
            client.h2.send_data(number, piece[10:], end_stream=True)
            client.flush()
            status = client.told[number].status
            self.assertEqual(status, 0 if piece is body else 401)
        self.assert_audited("auth.request.denied")

    def test_event_stream(self) -> None:
        """HTTP+SSE: the stream and what is posted to it."""
        made = self.sign("GET", "/sse")
        stream = self.house.request("GET", "/sse", {"Accept": "text/event-stream", **made})
        place = stream.blocks[0]["data"]
        body = encode_json(rpc("ping"))
        self.assertEqual(
            self.send(self.sign(path=place, body=body), rpc("ping"), place).status, 202
        )
        unsigned = self.house.post(rpc("ping"), path=place)
        self.assertEqual(unsigned.status, 401)

    def test_web_socket(self) -> None:
        made = self.sign("GET", "/ws")
        socket = Socket(self.house.request("GET", "/ws", {**UPGRADE, **made}).wire)
        socket.modern("tools/call", 1, name="t")
        self.assertEqual(len(self.house.connector.wires), 1)
        again = self.house.request("GET", "/ws", {**UPGRADE, **made})
        self.assertEqual(again.status, 401)

    def test_web_socket_over_http2(self) -> None:
        """One that is opened there is signed as what it is elsewhere, a GET."""
        client = self.house.http2()
        opening = [(b":method", b"CONNECT"), (b":protocol", b"websocket"), (b":path", b"/ws"),
                   (b"sec-websocket-version", b"13")]  # fmt: skip
        for method, status in (("GET", 200), ("CONNECT", 401)):
            made = self.sign(method, "/ws").items()
            fields = [(name.encode(), value.encode()) for name, value in made]
            told = client.ask(*opening, *fields, end=False)
            self.assertEqual(told.status, status)

    def test_ticket(self) -> None:
        """Where tickets are given, a body is held against its digest as well."""
        body = encode_json({"resource": f"{BASE}/ws"})
        path = "/oauth/ws-ticket"
        made = {"Content-Type": "application/json", **self.sign(path=path, body=body)}
        self.assertEqual(self.house.request("POST", path, made, body + b" ").status, 401)
        self.assert_audited("auth.request.denied")
        made = {"Content-Type": "application/json", **self.sign(path=path, body=body)}
        self.assertEqual(self.house.request("POST", path, made, body).status, 200)

    def test_token_as_well(self) -> None:
        """A token that is signed with the request is worth what it is for."""
        token = self.house.token(self.alice, scope="mcp:read")
        call = rpc("tools/call", {"name": "t"})
        headers = {"authorization": f"Bearer {token}"}
        made = self.sign(body=encode_json(call), headers=headers)
        self.assertEqual(self.send(made, call).status, 403)
        self.assert_audited("auth.stepup")

    def test_credentials_go_no_further(self) -> None:
        self.modern("tools/call", {"name": "t"})
        (request,) = self.house.gatehouse.presence._open_requests()
        names = {name for name, _ in request.raw_headers}
        self.assertFalse(names & {b"signature", b"signature-input"})

    def test_metadata(self) -> None:
        path = "/.well-known/oauth-protected-resource/mcp"
        told = self.house.request("GET", path, {}).json
        self.assertEqual(
            told["http_message_signature_alg_values_supported"],
            ["ed25519", "ecdsa-p256-sha256", "rsa-v1_5-sha256", "rsa-pss-sha512"],
        )

    def test_asked(self) -> None:
        """Who brings nothing hears that signatures are taken."""
        response = self.house.post(GREETING)
        self.assertEqual(response.status, 401)
        self.assertEqual(response.headers["accept-signature"], ASKED.decode())

    def test_memory(self) -> None:
        """Nonces are forgotten when they are of no use any more."""
        (checker,) = [each for each in self.house.gatehouse.portal.checkers.values()
                      if hasattr(each, "_replays")]  # fmt: skip
        self.greet()
        self.assertEqual(len(checker._replays), 1)
        self.house.turn(302, 50)
        self.greet()
        self.assertEqual(len(checker._replays), 1)


class AttackTests(SignedCase):
    """H1 to H10: nobody comes in by a signature that is not theirs, fresh, and of this request."""

    def test_replayed(self) -> None:
        made = self.sign(body=encode_json(GREETING))
        self.assert_comes_in(self.send(made))
        wires = len(self.house.connector.wires)
        for _ in range(3):
            self.assertEqual(self.send(made).status, 401)
            self.assert_audited("auth.request.denied")
        self.assertIn("used before", self.house.events()[-1]["reason"])
        self.assertEqual(len(self.house.connector.wires), wires)

    def test_replayed_on_one_connection(self) -> None:
        """The very same head again, where heads are compared and their proofs remembered."""
        client = self.house.factory.buildProtocol(None)
        assert client is not None
        body = encode_json(GREETING)
        lines = {"host": BASE.removeprefix("http://"), "accept": BOTH,
                 "content-type": "application/json", "content-length": str(len(body)),
                 **self.sign(body=body)}  # fmt: skip
        head = "".join(f"{n}: {v}\r\n" for n, v in lines.items())
        whole = f"POST /mcp HTTP/1.1\r\n{head}\r\n".encode() + body
        wire = self.house.request("GET", "/health", {}).wire
        wire.clear()
        protocol: Any = wire.protocol
        before = self.house.gatehouse.guard.admitted
        protocol.dataReceived(whole)
        self.house.agree()
        protocol.dataReceived(whole)
        self.house.turn(1)
        self.assertEqual(self.house.gatehouse.guard.admitted, before + 1)
        self.assertEqual(wire.value().count(b"HTTP/1.1 401"), 1)

    def test_nonce_again(self) -> None:
        """A nonce is good once for each key, whatever else is signed with it."""
        nonce = "the-same-nonce-01"
        self.greet(nonce=nonce)
        self.assertIn(self.greet(self.bob, nonce=nonce).status, (0, 200))
        self.house.turn(10)
        response = self.greet(nonce=nonce, tag="another")
        self.assertEqual(response.status, 401)
        self.assertIn("used before", self.house.events()[-1]["reason"])

    def test_body(self) -> None:
        """Another body, a longer, a shorter, none."""
        body = encode_json(GREETING)
        for other in (
            body + b" ",
            body[:-1],
            b"",
            b"{}",
            body.replace(b"initialize", b"tools/cal"),
        ):
            made = {"Content-Type": "application/json", "Accept": BOTH, **self.sign(body=body)}
            response = self.house.request("POST", "/mcp", made, other)
            self.assert_not_believed(response, "the body is not what was signed")
        self.assertEqual(len(self.house.concourse.sessions), 0)

    def test_body_of_a_get(self) -> None:
        """A request without a body is signed as such."""
        made = self.sign("GET", body=b"x")
        self.assert_not_believed(self.send(made, method="GET"), "the body is not")

    def test_piecewise(self) -> None:
        """A body that comes in pieces is held against its digest when it is whole."""
        body = encode_json(GREETING)
        lines = {"host": BASE.removeprefix("http://"), "accept": BOTH,
                 "content-type": "application/json", "transfer-encoding": "chunked",
                 **self.sign(body=body)}  # fmt: skip
        head = "".join(f"{n}: {v}\r\n" for n, v in lines.items())
        for last, status in ((b" ", 401), (b"", 0)):
            wire = self.house.request("GET", "/health", {}).wire
            wire.clear()
            protocol: Any = wire.protocol
            if status == 0:
                fresh = self.sign(body=body)
                head = "".join(f"{n}: {v}\r\n" for n, v in (lines | fresh).items())
            protocol.dataReceived(f"POST /mcp HTTP/1.1\r\n{head}\r\n".encode())
            for piece in (body[:7], body[7:] + last):
                self.assertEqual(wire.value(), b"")
                protocol.dataReceived(b"%x\r\n%s\r\n" % (len(piece), piece))
            protocol.dataReceived(b"0\r\n\r\n")
            self.assertEqual(Response(wire).status, status)

    def test_elsewhere(self) -> None:
        """A request that was signed for another place, another daemon, another method."""
        body = encode_json(GREETING)
        for path, url in (
            ("/mcp", f"{BASE}/servers/far/mcp"),
            ("/servers/far/mcp", MCP),
            ("/mcp", "https://localhost:8808/mcp"),
            ("/mcp", "http://evil.example/mcp"),
            ("/mcp?x", MCP),
            ("/mcp", f"{MCP}?x"),
            ("/mcp/", MCP),
            ("/mcp", f"{BASE}/MCP"),
        ):
            made = self.sign(url=url, body=body)
            self.assert_not_believed(self.send(made, path=path), "the signature is wrong")
        made = self.sign("DELETE", body=body)
        self.assert_not_believed(self.send(made), "the signature is wrong")

    def test_proxies(self) -> None:
        """What a proxy says of where a request went says nothing."""
        body = encode_json(GREETING)
        made = self.sign(url="https://mcp.example.com/mcp", body=body)
        made |= {"X-Forwarded-Host": "mcp.example.com", "X-Forwarded-Proto": "https",
                 "Forwarded": "host=mcp.example.com;proto=https"}  # fmt: skip
        self.assert_not_believed(self.send(made), "the signature is wrong")

    def test_covered(self) -> None:
        """A signature over less than it must cover, and one that is cut down."""
        named = {"mcp-session-id": "key-0", "mcp-protocol-version": REVISION}
        body = encode_json(GREETING)
        for name in ("@method", "@target-uri", "content-digest", "mcp-session-id",
                     "mcp-protocol-version"):  # fmt: skip
            made = self.sign(body=body, headers=named)
            made["signature-input"] = made["signature-input"].replace(f'"{name}"', "", 1)
            self.assert_not_believed(self.send(made), f"does not cover {name}")

    def test_added_after_signing(self) -> None:
        """A session, a revision or a token that was put to it on the way."""
        body = encode_json(GREETING)
        for name, value in (
            ("mcp-session-id", "key-0"),
            ("mcp-protocol-version", REVISION),
            ("authorization", f"Bearer {self.house.token(self.alice)}"),
        ):
            made = {**self.sign(body=body), name: value}
            self.assert_not_believed(self.send(made), "does not cover")

    def test_digest(self) -> None:
        body = encode_json(GREETING)
        made = self.sign(body=body)
        made.pop("content-digest")
        self.assert_not_believed(self.send(made), "comes without content-digest")
        for value in ("sha-512=:AAAA:", "sha-256=:AAAA:", "sha-256", "x"):
            made = {**self.sign(body=body), "content-digest": value}
            self.assert_not_believed(self.send(made), "")
        changed = body + b" "
        made = {**self.sign(body=body), "content-digest": content_digest(changed).decode()}
        standing = {"Content-Type": "application/json", "Accept": BOTH}
        response = self.house.request("POST", "/mcp", standing | made, changed)
        self.assert_not_believed(response, "the signature is wrong")

    def test_times(self) -> None:
        now = int(self.house.wall())
        for created, reason in ((now + 62, "from the future"), (now + 10**6, "from the future")):
            self.assert_not_believed(self.greet(created=created), reason)
        self.house.turn(400, 100)
        now = int(self.house.wall())
        for different, reason in (
            ({"created": now - 300}, "too old"),
            ({"created": now - 10**6}, "too old"),
            ({"created": 0}, "too old"),
            ({"created": now - 9, "expires": now}, "too old"),
        ):
            self.assert_not_believed(self.greet(**different), reason)

    def test_before_a_restart(self) -> None:
        """What was signed before the daemon began may have been used already."""
        now = int(self.house.wall())
        self.assert_not_believed(self.greet(created=now - 1), "before the daemon was started")

    def test_keys(self) -> None:
        """Unknown, another's, revoked: all hear the same."""
        answers = set()
        for different, reason in (
            ({"signer": self.mallory}, "not known"),
            ({"signer": self.mallory, "keyid": self.alice.public.thumbprint}, "wrong"),
            ({"keyid": self.bob.public.thumbprint}, "wrong"),
            ({"keyid": self.alice.public.fingerprint}, "not known"),
            ({"keyid": "alice"}, "not known"),
        ):
            response = self.greet(**different)
            self.assert_not_believed(response, reason)
            answers.add(response.body)
        self.house.write(*self.authorized(), revoked=self.alice.public.fingerprint)
        self.house.look()
        response = self.greet()
        self.assert_not_believed(response, "not known")
        self.assertEqual(answers, {response.body})

    def test_algorithms(self) -> None:
        """The key decides; what a message says otherwise makes it bad."""
        body = encode_json(GREETING)
        for name in ("ecdsa-p256-sha256", "rsa-v1_5-sha256", "hmac-sha256", "none", "EdDSA"):
            made = self.sign(body=body)
            made["signature-input"] += f';alg="{name}"'
            self.assert_not_believed(self.send(made), "algorithm is not its key's")
        made = self.sign(body=body)
        made["signature-input"] += ';alg="ed25519"'  # not what was signed
        self.assert_not_believed(self.send(made), "the signature is wrong")

    def test_several(self) -> None:
        body = encode_json(GREETING)
        mine, other = self.sign(body=body), self.sign(body=body, signer=self.mallory)
        for name in ("signature", "signature-input"):
            second = other[name].replace("sig1=", "sig2=")
            both = {**mine, name: f"{mine[name]}, {second}"}
            self.assert_not_believed(self.send(both), "not one with")
        both = {
            **mine,
            "signature": f"{mine['signature']}, {other['signature'].replace('sig1', 'sig2')}",
            "signature-input": f"{mine['signature-input']}, "
            + other["signature-input"].replace("sig1", "sig2"),
        }
        self.assert_not_believed(self.send(both), "not one with")

    def test_lines(self) -> None:
        """Headers that come twice, to be joined here in another way than elsewhere."""
        named = {"mcp-session-id": "key-0", "mcp-protocol-version": REVISION}
        body = encode_json(GREETING)
        for name in ("signature", "signature-input", "content-digest", "mcp-session-id",
                     "mcp-protocol-version"):  # fmt: skip
            made = self.sign(body=body, headers=named)
            for values in ([made[name], made[name]], [made[name], "x=1"], ["x=1", made[name]]):
                response = self.send({**made, name: values})
                self.assert_not_believed(response, "several lines of")

    def test_half(self) -> None:
        for name in ("signature", "signature-input"):
            made = self.sign(body=encode_json(GREETING))
            made.pop(name)
            self.assert_not_believed(self.send(made), "comes without")

    def test_forms(self) -> None:
        body = encode_json(GREETING)
        for name in ("signature", "signature-input"):
            for value in ("", "x", "sig1", "sig1=", "sig1=(", "sig1=:!:", "\xe9=1", "a" * 5000,
                          "sig1=" + "(" * 2000, "sig1=?1, " * 500):  # fmt: skip
                response = self.send({**self.sign(body=body), name: value})
                self.assert_not_believed(response, "")

    def test_full(self) -> None:
        """No room to remember: 503, and nobody comes in."""
        (checker,) = [each for each in self.house.gatehouse.portal.checkers.values()
                      if hasattr(each, "_replays")]  # fmt: skip
        checker._replays.limit = 1
        self.greet(self.bob)
        wires = len(self.house.connector.wires)
        response = self.greet()
        self.assertEqual((response.status, response.headers["retry-after"]), (503, "5"))
        self.assert_audited("auth.request.denied")
        self.assertEqual(len(self.house.connector.wires), wires)

    def test_what_is_not_good_is_not_remembered(self) -> None:
        (checker,) = [each for each in self.house.gatehouse.portal.checkers.values()
                      if hasattr(each, "_replays")]  # fmt: skip
        for different in ({"signer": self.mallory}, {"keyid": self.bob.public.thumbprint}):
            self.greet(**different)
        self.assertEqual(len(checker._replays), 0)

    def test_tokens_of_others(self) -> None:
        token = self.house.token(self.bob, "bob")
        headers = {"authorization": f"Bearer {token}"}
        response = self.greet(headers=headers)
        self.assert_not_believed(response, "of another key")

    def test_bad_token(self) -> None:
        """A good signature makes no token good."""
        response = self.greet(headers={"authorization": "Bearer mcp_at_no"})
        self.assert_turned_away(response, error="invalid_token")

    def test_nothing_escapes_into_the_log(self) -> None:
        self.assert_not_believed(self.greet(keyid='evil \\"} x', tag="<script>"), "not known")
        self.assertNotIn("script", json.dumps(self.house.events()))


class WithdrawalTests(SignedCase):
    """H11: what came with signatures ends with their key."""

    def test_streams(self) -> None:
        call = self.modern("tools/call", {"name": "t"})
        made = self.sign("GET", "/sse")
        stream = self.house.request("GET", "/sse", {"Accept": "text/event-stream", **made})
        opened = {**UPGRADE, **self.sign("GET", "/ws")}
        socket = Socket(self.house.request("GET", "/ws", opened).wire)
        self.house.write(self.line("bob", f'scope="{FULL}"'))
        self.house.turn(0.9, 0.1)
        self.assertEqual(socket.closing()[0], 4401)
        self.assertTrue(call.wire.is_closed)
        self.assertTrue(stream.ended or stream.wire.is_closed)
        (event,) = self.house.events("auth.key.revoked")
        self.assertEqual((event["principal"], event["reason"]), ("alice", "removed"))
        self.assertEqual(self.greet().status, 401)
        self.assert_audited("auth.request.denied")

    def test_between_head_and_body(self) -> None:
        """A key that goes while the body of a request is under way."""
        body = encode_json(GREETING)
        lines = {"host": BASE.removeprefix("http://"), "accept": BOTH,
                 "content-type": "application/json", "content-length": str(len(body)),
                 **self.sign(body=body)}  # fmt: skip
        head = "".join(f"{n}: {v}\r\n" for n, v in lines.items())
        wire = self.house.request("GET", "/health", {}).wire
        wire.clear()
        protocol: Any = wire.protocol
        protocol.dataReceived(f"POST /mcp HTTP/1.1\r\n{head}\r\n".encode() + body[:5])
        self.house.write(self.line("bob", f'scope="{FULL}"'))
        self.house.turn(0.9, 0.1)
        self.assertTrue(wire.is_closed)
        self.assert_unseen()


class RequiredTests(SignedCase):
    """H12: keys that must sign."""

    options = f'scope="{FULL}",require-signature'

    def test_tokens(self) -> None:
        """A token alone is worth nothing, and is not asked for in vain: signed, it is."""
        token = self.house.token(self.alice)
        self.assert_not_believed(self.come(token), "must sign")
        self.assert_comes_in(self.greet(headers={"authorization": f"Bearer {token}"}))

    def test_signed(self) -> None:
        self.assert_comes_in(self.greet())

    def test_tickets(self) -> None:
        path = "/oauth/ws-ticket"
        made = {"Content-Type": "application/json", **self.sign(path=path)}
        ticket = self.house.request("POST", path, made, b"").json["ticket"]
        offered = {**UPGRADE, "Sec-WebSocket-Protocol": f"mcp, {PREFIX}{ticket}"}
        self.assertEqual(self.house.request("GET", "/ws", offered).status, 401)
        self.assertIn("must sign", self.house.events()[-1]["reason"])


class SharedTests(SignedCase):
    """Two daemons behind one URL, with a file between them."""

    def setUp(self) -> None:
        self.auth = {**self.auth, "replay_store": str(Path(self.mktemp()) / "replay.sqlite3")}
        super().setUp()
        self.other = Closed(Path(self.mktemp()), *self.authorized(), auth=self.auth)
        self.addCleanup(self.other.gatehouse.stopService)

    def test_once_between_them(self) -> None:
        body = encode_json(GREETING)
        made = {"Content-Type": "application/json", "Accept": BOTH, **self.sign(body=body)}
        self.assert_comes_in(self.house.request("POST", "/mcp", made, body))
        again = self.other.request("POST", "/mcp", made, body)
        self.assertEqual(again.status, 401)
        self.assertIn("used before", self.other.events("auth.request.denied")[-1]["reason"])
        self.assertEqual(self.other.connector.wires, [])


class BehindAProxyTests(SignedCase):
    """What is signed is the URL that clients know, whoever ends TLS."""

    def setUp(self) -> None:
        self.auth = {**self.auth, "public_urls": ("https://mcp.example.com",)}
        super().setUp()
        self.house.site.guard = HostGuard(("mcp.example.com",))

    def test_public_url(self) -> None:
        body = encode_json(GREETING)
        for url, status in (
            ("https://mcp.example.com/mcp", 0),
            ("http://mcp.example.com/mcp", 401),
            ("https://mcp.example.com:443/mcp", 401),
            (MCP, 401),
        ):
            made = {"Host": "mcp.example.com", **self.sign(url=url, body=body)}
            self.assertEqual(self.send(made).status, status, url)


class RestrictedTests(SignedCase):
    options = f'scope="{FULL}",from="192.0.2.0/24",resource="/mcp"'

    def test_from(self) -> None:
        self.assert_not_believed(self.greet(), "not from there")
        from_elsewhere(self.house, "192.0.2.7")
        self.assertIn(self.greet().status, (0, 200))

    def test_places(self) -> None:
        from_elsewhere(self.house, "192.0.2.7")
        path = "/servers/far/mcp"
        made = self.sign(path=path, body=encode_json(GREETING))
        self.assert_not_believed(self.send(made, path=path), "not for that place")


class ScopeTests(SignedCase):
    options = 'scope="mcp:read",no-ws'

    def test_scopes(self) -> None:
        call = rpc("tools/call", {"name": "t"})
        response = self.send(self.sign(body=encode_json(call)), call)
        self.assertEqual(response.status, 403)
        self.assertIn('scope="mcp:call mcp:read"', response.headers["www-authenticate"])
        self.assert_audited("auth.stepup")
        self.assert_unseen()

    def test_no_web_sockets(self) -> None:
        response = self.house.request("GET", "/ws", {**UPGRADE, **self.sign("GET", "/ws")})
        self.assertEqual(response.status, 403)
        self.assert_audited("auth.request.denied")


class OffTests(SignedCase):
    """Where signatures are not taken, they are not looked at."""

    auth = {"exempt": (f"{HERE}/32",)}

    def test_nothing(self) -> None:
        response = self.greet()
        self.assert_turned_away(response)
        self.assertNotIn("accept-signature", response.headers)

    def test_with_a_token(self) -> None:
        token = self.house.token(self.alice)
        self.assert_let_in(token, signature="x", signature_input="y", content_digest="z")

    def test_metadata(self) -> None:
        path = "/.well-known/oauth-protected-resource/mcp"
        told = self.house.request("GET", path, {}).json
        self.assertNotIn("http_message_signature_alg_values_supported", told)


class PenaltyTests(SignedCase):
    auth = {"http_signatures": True}

    def authorized(self) -> list[str]:
        return [*super().authorized(), self.line("carol", "require-signature")]

    def test_who_must_sign(self) -> None:
        """Who comes with a token is told to sign, however often, and is not made to wait."""
        token = self.house.token(key("carol"), "carol")
        for _ in range(9):
            self.assert_not_believed(self.come(token), "must sign")
        self.assertIn(self.greet(key("carol")).status, (0, 200))

    def test_guessing(self) -> None:
        """Who guesses has to wait; who comes too late is forgiven."""
        for _ in range(3):
            self.greet(self.mallory)
        response = self.greet()
        self.assertEqual(response.status, 429)
