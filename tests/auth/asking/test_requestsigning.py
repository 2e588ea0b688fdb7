"""Requests are signed where a server wants that, each anew, and for that server alone."""

from __future__ import annotations

import hashlib
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from mcptwist.auth.asking.requestsigning import RequestSigner
from mcptwist.auth.httpsignatures import (
    ACCEPT,
    ASKED,
    BadSignature,
    Head,
    MessageSignature,
    algorithm_of,
    read_signature,
)
from mcptwist.auth.keys import P256, RSA, KeyProblem
from mcptwist.errors import SignInFailed
from mcptwist.interfaces import IAdmission
from mcptwist.protocols.upstream import Upstream
from tests.auth.asking.test_tokensource import CHALLENGE, METADATA, TOKEN, SignInCase
from tests.auth.elsewhere import ISSUER, PLACE, SERVER, Answer, Asked
from tests.auth.people import NOW

WANTED = {ACCEPT.decode(): ASKED.decode()}


class SigningCase(SignInCase):
    """A server that takes signatures, and nothing else unless a test says so."""

    always = False

    def setUp(self) -> None:
        super().setUp()
        self.admission = self.make_signer()
        self.upstream = Upstream(self.there, PLACE, admission=self.admission)
        self.seen: list[MessageSignature] = []
        for url in (METADATA, f"{SERVER}/.well-known/oauth-protected-resource"):
            self.there.answers[url] = Answer(404, {})

    def make_signer(self, name: str = "", always: bool | None = None) -> RequestSigner:
        is_always = self.always if always is None else always
        return RequestSigner(
            PLACE, self.load, self.source, lambda: NOW, self.make_bytes, name, is_always
        )

    def signature(self, asked: Asked) -> MessageSignature:
        """What a server makes of a request.

        :raises BadSignature: it is not signed as it should be.
        """
        body = asked.body.encode()

        def values(name: bytes) -> list[bytes]:
            value = asked.headers.get(name.decode())
            return [] if value is None else [value.encode()]

        found = read_signature(Head(asked.method, asked.url, values))
        found.check_time(NOW)
        public = self.signer.public
        algorithm = algorithm_of(public.kind, found.algorithm)
        good = algorithm and public.verify(algorithm, found.signature, found.signed)
        if not good or found.digest != hashlib.sha256(body).digest():
            raise BadSignature("is wrong")
        return found

    def serve(self, asked: Asked) -> Answer:
        try:
            found = self.signature(asked)
        except BadSignature:
            return Answer(401, {"error": "unauthenticated"}, WANTED)
        if any(found.nonce == each.nonce for each in self.seen):
            return Answer(401, {"error": "replayed"}, WANTED)
        self.seen.append(found)
        return Answer(200, {"echo": asked.body})


class AskedTests(SigningCase):
    def test_interface(self) -> None:
        verifyObject(IAdmission, self.admission)

    def test_asked_for(self) -> None:
        """The first request is not signed, and is made again; all after it are."""
        self.assertEqual([self.ask() for _ in range(3)], [200] * 3)
        first, *others = self.there.to(PLACE)
        self.assertNotIn("signature", first.headers)
        self.assertEqual(len(others), 3)
        self.assertEqual(len({each.nonce for each in self.seen}), 3)

    def test_asked_for_a_websocket(self) -> None:
        """Told once that a server wants it, each that is opened is signed."""
        url = PLACE.replace("http", "ws", 1)
        self.assertEqual(self.successResultOf(self.admission.come("GET", url)), [])
        self.assertEqual([self.admission.sign(), self.admission.sign()], [True, False])
        shown = dict(self.successResultOf(self.admission.come("GET", url)))
        self.assertIn(b"signature", shown)

    def test_kinds(self) -> None:
        for kind in (P256, RSA):
            self.kind = kind
            self.setUp()
            self.assertEqual(self.ask(), 200)

    def test_what_is_said(self) -> None:
        self.ask()
        (found,) = self.seen
        thumbprint = self.signer.public.thumbprint
        self.assertEqual((found.keyid, found.tag), (thumbprint, thumbprint))
        self.assertEqual((found.created, found.expires), (NOW, NOW + 60))
        self.assertEqual(found.algorithm, "")

    def test_session(self) -> None:
        """What a request says of itself is signed with it."""
        self.ask()
        sent = [(b"Mcp-Session-Id", b"abc"), (b"MCP-Protocol-Version", b"2025-11-25")]
        asking = Deferred.fromCoroutine(self.upstream.request(b"DELETE", sent))
        self.assertEqual(self.successResultOf(asking).code, 200)
        self.assertIn(b'"mcp-session-id": abc', self.seen[-1].signed)
        self.assertIn(b'"mcp-protocol-version": 2025-11-25', self.seen[-1].signed)

    def test_not_asked_for(self) -> None:
        self.there.answers[PLACE] = Answer(401, {})
        self.assertEqual(self.ask(), 401)
        self.assertEqual((self.loads, len(self.there.to(PLACE))), (0, 1))

    def test_refused(self) -> None:
        """A signature that is not taken is not made again and again."""
        self.there.answers[PLACE] = Answer(401, {}, WANTED)
        self.assertEqual(self.ask(), 401)
        self.assertEqual(len(self.there.to(PLACE)), 2)

    def test_no_key(self) -> None:
        async def none() -> Any:
            raise SignInFailed("there is no key")

        self.admission._load = none
        self.failureResultOf(self.begin(), SignInFailed)

    def test_agent(self) -> None:
        """A signer may take its time, and may fail."""

        class Slow:
            public = self.signer.public
            answer: Any = None

            def sign(self, algorithm: str, data: bytes) -> Any:
                self.algorithm, self.data = algorithm, data
                self.answer = Deferred()
                return self.answer

        agent = Slow()

        async def load() -> Any:
            return agent

        self.admission._load = load
        asking = self.begin()
        self.assertNoResult(asking)
        agent.answer.callback(self.signer.sign(agent.algorithm, agent.data))
        self.assertEqual(self.successResultOf(asking).code, 200)
        asking = self.begin()
        agent.answer.errback(KeyProblem("the agent is locked"))
        problem = self.failureResultOf(asking, SignInFailed).value
        self.assertIn("the agent is locked", str(problem))

    def test_other_origins(self) -> None:
        """Nothing is signed for them."""
        self.ask()
        made = self.admission.headers("POST", "https://elsewhere.example/mcp", [], b"")
        self.assertEqual(self.successResultOf(made), [])


class PreferenceTests(SigningCase):
    """A server that gives tokens as well."""

    wants_both = False

    def setUp(self) -> None:
        super().setUp()
        self.there.answers[METADATA] = Answer(200, self.login.protected)

    def serve(self, asked: Asked) -> Answer:
        token = asked.headers.get("authorization", "").partition(" ")[2]
        is_token = bool(token) and token == f"token-{self.login.given}"
        if is_token and not self.wants_both:
            return Answer(200, {})
        signed = super().serve(asked)
        if signed.status == 200 and (is_token or not self.wants_both):
            return signed
        return Answer(401, {"error": "invalid_token"}, CHALLENGE | WANTED)

    def test_token(self) -> None:
        """It is asked for once, and nothing is signed."""
        self.assertEqual([self.ask() for _ in range(3)], [200] * 3)
        self.assertEqual((self.login.given, self.seen), (1, []))

    def test_no_token_for_this_key(self) -> None:
        self.login.refusal = Answer(401, {"error": "invalid_client"})
        self.assertEqual(self.ask(), 200)
        self.assertEqual(len(self.seen), 1)

    def test_nobody_gives_any(self) -> None:
        self.there.answers[f"{ISSUER}/.well-known/oauth-authorization-server"] = Answer(404, {})
        self.assertEqual(self.ask(), 200)
        self.assertEqual(len(self.seen), 1)

    def test_both(self) -> None:
        """A key whose requests must be signed, tokens or not: the token is signed too."""
        self.wants_both = True
        self.assertEqual(self.ask(), 200)
        self.assertEqual(self.ask(), 200)
        self.assertIn(b'"authorization": Bearer token-1', self.seen[-1].signed)
        self.assertEqual(self.login.given, 1)

    def test_neither(self) -> None:
        """What is wrong with the key is said by who was asked for a token."""
        self.login.refusal = Answer(401, {"error": "invalid_client"})
        self.there.answers[PLACE] = Answer(401, {}, CHALLENGE | WANTED)
        problem = self.failureResultOf(self.begin(), SignInFailed).value
        self.assertIn("invalid_client", str(problem))
        self.assertEqual(len(self.there.to(TOKEN)), 1)


class AlwaysTests(SigningCase):
    """A person said that requests are to be signed."""

    always = True

    def test_from_the_first(self) -> None:
        self.assertEqual(self.ask(), 200)
        self.assertEqual((len(self.there.asked), len(self.seen)), (1, 1))

    def test_web_socket(self) -> None:
        socket = SERVER.replace("https", "wss") + "/ws"
        made = self.successResultOf(self.admission.come("GET", socket))
        asked = Asked("GET", f"{SERVER}/ws", {n.decode(): v.decode() for n, v in made}, "")
        self.assertEqual(self.signature(asked).digest, hashlib.sha256(b"").digest())

    def test_web_socket_unasked(self) -> None:
        """Otherwise a token is what is brought there, if one is to be had."""
        made = self.make_signer(always=False).come("GET", f"{SERVER}/ws")
        self.assertEqual(self.successResultOf(made), [])

    def test_named(self) -> None:
        for name, tag in (("alice", "alice"), ("ä\n", self.signer.public.thumbprint)):
            self.upstream = Upstream(self.there, PLACE, admission=self.make_signer(name))
            self.ask()
            self.assertEqual(self.seen[-1].tag, tag)

    def test_token_besides(self) -> None:
        """A server that takes no signatures gets the token that it wants."""
        self.there.answers[METADATA] = Answer(200, self.login.protected)
        self.there.answers[PLACE] = lambda asked: (
            Answer(200, {})
            if asked.headers.get("authorization") == "Bearer token-1"
            else Answer(401, {}, CHALLENGE)
        )
        self.assertEqual(self.ask(), 200)

    def test_secrets(self) -> None:
        self.ask()
        self.assertEqual(self.admission.secrets, frozenset())
        self.admission.doubt()
        self.assertEqual(self.ask(), 200)
