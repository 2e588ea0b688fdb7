"""Proving a key on a WebSocket: G13, and what comes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import msgspec
from OpenSSL import SSL

from mcptwist.auth.keys import P256, RSA, from_base64url, to_base64url
from mcptwist.auth.mutualproof import (
    LARGEST,
    MUST_SIGN,
    SECONDS,
    SUBPROTOCOL,
    Channel,
    ProofFailed,
    to_be_signed,
)
from tests.auth.behind_tls import HOST, SecureDoor, pair_of
from tests.auth.closed import FULL, HERE, ClosedCase
from tests.auth.people import key
from tests.auth.proving import Prover, ProvingSocket, TLSEnd, Tunnelled, modern
from tests.conversations.posting import rpc
from tests.protocols.wsfront import BINARY, frame

PING = json.dumps(rpc("ping")).encode()


class DoorstepCase(ClosedCase):
    def setUp(self) -> None:
        super().setUp()
        self.place = Path(self.mktemp())
        self.door = SecureDoor(self.house, self.place, mutual=False)
        self.house.gatehouse.doorstep.host_key = self.door.certificates.key_shown

    def socket(self, path: str = "/ws", **how: Any) -> ProvingSocket:
        return ProvingSocket(self.door, path, **how)

    def assert_closed(self, socket: ProvingSocket, reason: str, code: int = 4401) -> None:
        """Turned away; the audit log says why, the client is told nothing of it."""
        closed, told = socket.closing()
        self.assertEqual(closed, code)
        if code == 4401:
            self.assertEqual(told, "the proof is not good")
        (event,) = self.house.events("auth.proof.refused")
        self.assertIn(reason, event["reason"])
        self.assertEqual(self.house.gatehouse.guard.admitted, 0)
        self.assertEqual(len(self.house.gatehouse.doorstep), 0)
        self.assert_unseen()


class ComingInTests(DoorstepCase):
    def test_proved(self) -> None:
        socket = self.socket()
        self.assertEqual((socket.status, socket.chosen), (101, SUBPROTOCOL))
        told = Prover(socket, self.alice).prove()
        self.assertEqual((told.principal, told.expires_in), ("alice", 3600))
        self.assertEqual(told.scopes, ("mcp:call", "mcp:read", "mcp:subscribe"))
        socket.say(PING)
        self.assertEqual(json.loads(socket.message())["result"], {})
        (event,) = self.house.events("auth.proof.ok")
        self.assertEqual((event["principal"], event["key"]),
                         ("alice", self.alice.public.fingerprint))  # fmt: skip
        self.assertEqual(len(self.house.gatehouse.doorstep), 0)

    def test_each_kind(self) -> None:
        for kind in (P256, RSA):
            self.kind = kind
            self.setUp()
            self.assertEqual(Prover(self.socket(), self.alice).prove().principal, "alice")

    def test_over_http2(self) -> None:
        socket = Tunnelled(self.door)
        self.assertEqual((socket.status, socket.chosen), (200, SUBPROTOCOL))
        self.assertEqual(Prover(socket, self.alice).prove().principal, "alice")
        socket.say(PING)
        self.assertEqual(json.loads(socket.message())["result"], {})

    def test_said_at_once(self) -> None:
        """What comes with the proof, behind it, is a message of who has come in."""
        socket = self.socket()
        prover = Prover(socket, self.alice)
        proof = prover.proof.proof(prover.challenge())
        socket.send(frame(proof) + frame(PING))
        welcome, pong = socket.heard()
        self.assertEqual(prover.proof.welcomed(welcome[1]).principal, "alice")
        self.assertEqual(json.loads(pong[1])["result"], {})

    def test_long_messages_afterwards(self) -> None:
        socket = self.socket()
        Prover(socket, self.alice).prove()
        socket.say(json.dumps(rpc("ping", {"x": "x" * 3 * LARGEST})).encode())
        self.assertEqual(json.loads(socket.message())["result"], {})

    def test_a_server(self) -> None:
        socket = self.socket("/servers/far/ws")
        self.assertEqual(Prover(socket, self.alice).prove().principal, "alice")

    def test_scopes(self) -> None:
        self.house.write(self.line("alice", 'scope="mcp:read"'))
        self.house.look()
        socket = self.socket()
        Prover(socket, self.alice).prove()
        socket.say(modern("tools/call", name="x"))
        code = json.loads(socket.message())["error"]["data"]["code"]
        self.assertEqual(code, "insufficient-scope")

    def test_withdrawn(self) -> None:
        """C13: within a second, with a code that says why."""
        socket = self.socket()
        Prover(socket, self.alice).prove()
        self.house.write(*self.authorized()[1:])
        self.house.look()
        self.assertEqual(socket.closing()[0], 4401)

    def test_token_counts_first(self) -> None:
        token = self.house.token(self.alice)
        self.assertEqual(self.socket(Authorization=f"Bearer {token}").status, 401)


class MustSignTests(DoorstepCase):
    """H12: a proof does not do for a key that must sign; only its owner hears of that."""

    def authorized(self) -> list[str]:
        return [self.line("alice", f'scope="{FULL}",require-signature')]

    def test_told(self) -> None:
        """Nobody is blamed, for who has not been here cannot know."""
        for _ in range(30):
            socket = self.socket()
            prover = Prover(socket, self.alice)
            socket.say(prover.proof.proof(prover.challenge()))
            self.assertEqual(socket.closing()[0], MUST_SIGN)
        reasons = {each["reason"] for each in self.house.events("auth.proof.refused")}
        self.assertEqual(reasons, {"the key must sign its requests"})
        self.assertEqual(self.house.gatehouse.guard.admitted, 0)
        self.assert_unseen()

    def test_somebody_else(self) -> None:
        """Who does not have the key hears nothing of it."""
        socket = self.socket()
        prover = Prover(socket, self.alice)
        proof = json.loads(prover.proof.proof(prover.challenge()))
        wrong = bytearray(from_base64url(proof["sig"]))
        wrong[0] ^= 1
        socket.say(json.dumps({**proof, "sig": to_base64url(bytes(wrong))}).encode())
        self.assert_closed(socket, "wrong key")


class EndingTests(DoorstepCase):
    auth: ClassVar[dict[str, Any]] = {**DoorstepCase.auth, "stream_age": 12.0}

    def test_ends(self) -> None:
        """After a while the client has to prove who it is again."""
        socket = self.socket()
        self.assertEqual(Prover(socket, self.alice).prove().expires_in, 12)
        self.house.turn(11.5)
        self.assertEqual(socket.heard(), [])
        self.house.turn(1)
        self.assertEqual(socket.closing()[0], 4401)


class NotOfferedTests(DoorstepCase):
    """Where there is no proving, a client without a token hears what it would have heard."""

    def assert_challenged(self, socket: ProvingSocket) -> None:
        self.assertEqual(socket.status, 401)
        self.assertIn(b"Bearer", socket.head)

    def test_not_offered(self) -> None:
        self.assert_challenged(self.socket(offered="mcp"))

    def test_not_for_websockets(self) -> None:
        self.assert_challenged(self.socket("/mcp"))

    def test_older_tls(self) -> None:
        self.door = SecureDoor(self.house, self.place, mutual=False, tls12=True)
        self.house.gatehouse.doorstep.host_key = self.door.certificates.key_shown
        self.assertEqual(self.socket().status, 101)
        self.assert_challenged(self.socket(tls=TLSEnd(self.door, SSL.TLS1_2_VERSION)))

    def test_without_tls(self) -> None:
        headers = {"Sec-WebSocket-Protocol": f"mcp, {SUBPROTOCOL}", "Upgrade": "websocket"}
        response = self.house.request("GET", "/ws", {**headers, "Connection": "upgrade"})
        self.assertEqual(response.status, 401)

    def test_no_handshake(self) -> None:
        self.assertEqual(self.socket(**{"Sec-WebSocket-Version": "12"}).status, 426)
        self.assertEqual(len(self.house.gatehouse.doorstep), 0)


class AttackTests(DoorstepCase):
    """G13."""

    def test_messages_before_the_proof(self) -> None:
        socket = self.socket()
        socket.say(PING)
        self.assert_closed(socket, "something else came than hello")

    def test_hello_twice(self) -> None:
        socket = self.socket()
        prover = Prover(socket, self.alice)
        prover.challenge()
        socket.say(prover.proof.hello())
        self.assert_closed(socket, "something else came than proof")

    def test_binary(self) -> None:
        socket = self.socket()
        socket.send(frame(b"{}", BINARY))
        self.assert_closed(socket, "nothing was proved", 1003)

    def test_too_long(self) -> None:
        socket = self.socket()
        socket.say(b"x" * (LARGEST + 1))
        self.assert_closed(socket, "nothing was proved", 1009)

    def test_in_pieces(self) -> None:
        """A message that never ends is not kept."""
        socket = self.socket()
        socket.send(frame(b"x" * 3000, fin=False) + frame(b"x" * 3000, 0, fin=False))
        self.assert_closed(socket, "nothing was proved", 1009)

    def test_silence(self) -> None:
        socket = self.socket()
        self.assertEqual(len(self.house.gatehouse.doorstep), 1)
        self.house.turn(SECONDS)
        self.assert_closed(socket, "nothing was proved", 4408)
        self.assertEqual(len(self.house.gatehouse.doorstep), 0)

    def test_unknown_key(self) -> None:
        """It is challenged as any other, and refused in the end."""
        socket = self.socket()
        prover = Prover(socket, self.mallory)
        socket.say(prover.proof.proof(prover.challenge()))
        self.assert_closed(socket, "unknown client")

    def test_wrong_key(self) -> None:
        socket = self.socket()
        prover = Prover(socket, self.mallory)
        hello = json.loads(prover.proof.hello()) | {"key": self.alice.public.fingerprint}
        socket.say(json.dumps(hello).encode())
        challenge = json.loads(socket.message())
        proof = {"type": "proof", "alg": "EdDSA", "sig": challenge["sig"]}
        socket.say(json.dumps(proof).encode())
        self.assert_closed(socket, "wrong key")

    def test_another_name(self) -> None:
        """A proof that was made for another name of the daemon's is none."""
        socket = self.socket()
        prover = Prover(socket, self.alice, authority="other.example:8443")
        with self.assertRaises(ProofFailed):
            prover.proof.proof(prover.challenge())

    def test_in_between(self) -> None:
        """Who ends TLS in between and passes all on is refused by both; even a careless client,
        who signs for whoever asks, has signed for another connection."""
        outer = self.socket()
        prover = Prover(outer, self.alice, exporter=bytes(32))
        challenge = prover.challenge()
        with self.assertRaisesRegex(ProofFailed, "not proved its key"):
            prover.proof.proof(challenge)
        inner = Channel(HOST, outer.tls.host_key.fingerprint, bytes(32))
        nonce = from_base64url(json.loads(challenge)["nonce"])
        signed = to_be_signed(b"client", inner, self.alice.public.fingerprint, nonce, b"n" * 32)
        signature = to_base64url(self.alice.sign("EdDSA", signed))
        outer.say(json.dumps({"type": "proof", "alg": "EdDSA", "sig": signature}).encode())
        self.assert_closed(outer, "wrong key")

    def test_not_for_sockets(self) -> None:
        self.house.write(self.line("alice", f'scope="{FULL}",no-ws'))
        self.house.look()
        socket = self.socket()
        prover = Prover(socket, self.alice)
        socket.say(prover.proof.proof(prover.challenge()))
        self.assert_closed(socket, "not from there")

    def test_no_tokens_is_no_matter(self) -> None:
        self.house.write(self.line("alice", f'scope="{FULL}",no-oauth'))
        self.house.look()
        self.assertEqual(Prover(self.socket(), self.alice).prove().principal, "alice")

    def test_another_place(self) -> None:
        self.house.write(self.line("alice", f'scope="{FULL}",resource="/servers/far/mcp"'))
        self.house.look()
        socket = self.socket()
        prover = Prover(socket, self.alice)
        socket.say(prover.proof.proof(prover.challenge()))
        self.assert_closed(socket, "not for that place")

    def test_what_is_not_there(self) -> None:
        """Nobody hears what there is before the proof; afterwards, that there is nothing."""
        socket = self.socket("/servers/none/ws")
        self.assertEqual(socket.status, 101)
        prover = Prover(socket, self.alice)
        socket.say(prover.proof.proof(prover.challenge()))
        self.assertEqual(socket.closing()[0], 4404)

    def test_penalty_for_silence(self) -> None:
        """It costs little to prove nothing, and nobody does so by the dozen."""
        self.house.source = "203.0.113.9"
        for _ in range(8):
            self.assertEqual(self.socket().status, 101)
        self.house.turn(SECONDS)
        self.assertEqual(self.socket().status, 429)

    def test_penalty(self) -> None:
        self.house.source = "203.0.113.9"
        for _ in range(3):
            self.socket().say(b"x")
        self.assertEqual(self.socket().status, 429)

    def bound(self, most: int, per_source: int) -> None:
        doorstep = self.house.gatehouse.doorstep
        doorstep.on = msgspec.structs.replace(doorstep.on, most=most, per_source=per_source)

    def test_too_many_of_one(self) -> None:
        self.bound(100, 2)
        sockets = [self.socket() for _ in range(3)]
        self.assertEqual([each.status for each in sockets], [101, 101, 429])
        self.house.source = "192.168.1.2"
        self.assertEqual(self.socket().status, 101)
        sockets[0].tls.wire.abortConnection()
        self.house.turn(0)
        self.house.source = HERE
        self.assertEqual(self.socket().status, 101)

    def test_too_many_of_all(self) -> None:
        self.bound(2, 100)
        sockets = [self.socket() for _ in range(3)]
        self.assertEqual([each.status for each in sockets], [101, 101, 503])
        self.assertIn(b"etry-after: 5", sockets[2].head)

    def test_certificate_counts_first(self) -> None:
        """Who is known by the connection need not prove it again: ``mcp`` is chosen."""
        door = SecureDoor(self.house, self.place / "mutual", mutual=True)
        files = pair_of(self.place, "alice", key("alice"))
        tls = TLSEnd(door, certificate=files)
        socket = ProvingSocket(door, tls=tls)
        self.assertEqual((socket.status, socket.chosen), (101, "mcp"))
