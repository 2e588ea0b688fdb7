"""Tokens for a server elsewhere: had when they are wanted, renewed, and shown to nobody else."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from mcptwist.auth.asking.clientcredentials import KeyHolder
from mcptwist.auth.asking.inquiry import Inquiry, Ways
from mcptwist.auth.asking.possession import Possession
from mcptwist.auth.asking.signin import Credentials, SignIn
from mcptwist.auth.asking.tokensource import TokenSource
from mcptwist.auth.jws import read_jws
from mcptwist.auth.keys import P256, RSA
from mcptwist.auth.oauth.dpop import ProofReader
from mcptwist.auth.oauth.replay import ReplayCache
from mcptwist.errors import ServerUnreachable, SignInFailed
from mcptwist.interfaces import IAdmission
from mcptwist.protocols.upstream import Upstream
from tests.auth.elsewhere import ISSUER, PLACE, SERVER, Answer, Asked, Login
from tests.auth.people import NOW, key

TOKEN = f"{ISSUER}/token"
METADATA = f"{SERVER}/.well-known/oauth-protected-resource/mcp"
CHALLENGE = {"www-authenticate": f'Bearer resource_metadata="{METADATA}", scope="read call"'}


class SignInCase(SynchronousTestCase):
    """A server that wants tokens, and who has a key for it."""

    kind = "ssh-ed25519"

    def setUp(self) -> None:
        self.clock = Clock()
        self.signer = key(kind=self.kind)
        self.login = Login(self.clock, self.signer.public)
        self.there = self.login.there
        self.there.answers[PLACE] = self.serve
        self.good: set[str] = set()
        self.loads = 0
        self.waiting: Deferred[None] | None = None
        self.count = 0
        self.signing = self.make_signin()
        self.source = TokenSource(self.signing, self.clock)
        self.upstream = Upstream(self.there, PLACE, admission=self.source)

    def make_signin(self, url: str = PLACE, principal: str = "alice") -> SignIn:
        ways = Ways(self.there, self.there, self.clock, lambda: NOW, self.make_bytes)
        keys = KeyHolder(self.load, principal, ways)
        possession = Possession(ways.wall, ways.make_bytes)
        return SignIn(url, Inquiry(url, ways), possession, Credentials(keys))

    async def load(self) -> Any:
        self.loads += 1
        if self.waiting is not None:
            await self.waiting
        return self.signer

    def make_bytes(self, size: int) -> bytes:
        self.count += 1
        return self.count.to_bytes(size, "big")

    def serve(self, asked: Asked) -> Answer:
        """Whoever brings a good token is let in; by default, the last that was given."""
        token = asked.headers.get("authorization", "").partition(" ")[2]
        if token in (self.good or {f"token-{self.login.given}"}):
            return Answer(200, {"echo": asked.body})
        return Answer(401, {"error": "invalid_token"}, CHALLENGE)

    def begin(self, body: bytes = b"hello") -> Deferred[Any]:
        return Deferred.fromCoroutine(self.upstream.request(b"POST", [], body))

    def ask(self) -> int:
        return int(self.successResultOf(self.begin()).code)


class FlowTests(SignInCase):
    def test_interface(self) -> None:
        verifyObject(IAdmission, self.source)

    def test_from_challenge_to_answer(self) -> None:
        """The request that found out is made again, with the same body."""
        self.assertEqual(self.ask(), 200)
        urls = [each.url for each in self.there.asked]
        issuer = f"{ISSUER}/.well-known/oauth-authorization-server"
        self.assertEqual(urls, [PLACE, METADATA, issuer, TOKEN, PLACE])
        first, last = self.there.to(PLACE)
        self.assertNotIn("authorization", first.headers)
        self.assertEqual((last.headers["authorization"], last.body), ("Bearer token-1", "hello"))
        form = self.there.to(TOKEN)[0].form
        self.assertEqual(form["resource"], PLACE)
        self.assertEqual(form["scope"], "call read")
        self.assertEqual(form["client_id"], "alice")
        self.assertNotIn("expires_in", form)

    def test_kept(self) -> None:
        for _ in range(3):
            self.assertEqual(self.ask(), 200)
        self.assertEqual(self.login.given, 1)
        self.assertEqual(self.loads, 1)

    def test_nothing_is_wanted(self) -> None:
        """Then no key is read, and nothing is shown."""
        self.there.answers[PLACE] = Answer(200, {})
        self.assertEqual(self.ask(), 200)
        self.assertEqual((self.loads, len(self.there.asked)), (0, 1))
        self.assertNotIn("authorization", self.there.asked[0].headers)

    def test_one_for_many(self) -> None:
        self.there.held = []
        asked = [self.begin() for _ in range(5)]
        self.there.let_go()
        self.assertEqual([self.successResultOf(each).code for each in asked], [200] * 5)
        self.assertEqual(self.login.given, 1)

    def test_one_gives_up(self) -> None:
        """Others get what it was waiting for."""
        self.waiting = Deferred()
        one, two = self.begin(), self.begin()
        one.cancel()
        self.failureResultOf(one)
        self.waiting.callback(None)
        self.assertEqual(self.successResultOf(two).code, 200)

    def test_other_keys(self) -> None:
        """What the authorization server verifies by is what is signed with."""
        for kind, listed, chosen in ((P256, ["ES256"], "ES256"), (RSA, ["X", "RS256"], "RS256")):
            self.kind = kind
            self.setUp()
            self.login.metadata["token_endpoint_auth_signing_alg_values_supported"] = listed
            self.assertEqual(self.ask(), 200)
            assertion = self.there.to(TOKEN)[0].form["client_assertion"]
            self.assertEqual(read_jws(assertion, 8192).algorithm, chosen)
        self.login.metadata["token_endpoint_auth_signing_alg_values_supported"] = ["ES512"]
        self.source.doubt()
        self.signing.look_again()
        self.failureResultOf(self.begin(), SignInFailed)


class RenewalTests(SignInCase):
    def test_before_it_ends(self) -> None:
        self.ask()
        self.clock.advance(569)
        self.ask()
        self.assertEqual(self.login.given, 1)
        self.clock.advance(2)
        self.assertEqual(self.ask(), 200)
        self.assertEqual(self.login.given, 2)
        self.assertEqual(len(self.there.to(PLACE)), 4)
        self.assertEqual(len(self.there.to(METADATA)), 1)

    def test_nobody_to_renew_it(self) -> None:
        """It serves as long as it is good; then the reason is told."""
        self.ask()
        self.good = {"token-1"}
        self.there.answers[TOKEN] = None
        self.clock.advance(580)
        self.assertEqual(self.ask(), 200)
        self.clock.advance(25)
        self.failureResultOf(self.begin(), ServerUnreachable)

    def test_withdrawn(self) -> None:
        """A 401 says that it is good no more."""
        self.ask()
        self.clock.advance(60)
        self.good = {"token-2"}
        self.assertEqual(self.ask(), 200)
        self.assertEqual(self.login.given, 2)

    def test_never_good(self) -> None:
        """What it gave it does not take: there is no end to that, so it is not begun."""
        self.good = {"none"}
        self.assertEqual(self.ask(), 401)
        self.assertEqual(self.ask(), 401)
        self.assertEqual(self.login.given, 1)

    def test_refused(self) -> None:
        """It is told why, and not asked again at once."""
        self.login.refusal = Answer(401, {"error": "invalid_client"})
        failed = self.failureResultOf(self.begin(), SignInFailed)
        self.assertIn("invalid_client", failed.value.message)
        self.assertIn("authorize list", failed.value.message)
        self.failureResultOf(self.begin(), SignInFailed)
        self.assertEqual(len(self.there.to(TOKEN)), 1)
        self.login.refusal = None
        self.clock.advance(6)
        self.assertEqual(self.ask(), 200)

    def test_short_lives(self) -> None:
        """However long it says, or does not."""
        for lifetime in (None, -1, 0, "x", True, 1e18):
            self.setUp()
            self.login.lifetime = lifetime
            self.assertEqual(self.ask(), 200)


class StepUpTests(SignInCase):
    def serve(self, asked: Asked) -> Answer:
        answer = super().serve(asked)
        if answer.status == 200 and "admin" not in self.login.scopes:
            more = 'Bearer error="insufficient_scope", scope="admin"'
            return Answer(403, {}, {"www-authenticate": more})
        return answer

    def test_more(self) -> None:
        """What was wanted before is wanted still."""
        self.assertEqual(self.ask(), 200)
        scopes = [each.form["scope"] for each in self.there.to(TOKEN)]
        self.assertEqual(scopes, ["call read", "admin call read"])

    def test_no_more(self) -> None:
        """Its own refusal says what is missing; it is not asked for again and again."""
        given = self.there.answers[TOKEN]
        assert callable(given)
        self.there.answers[TOKEN] = lambda asked: (
            Answer(400, {"error": "invalid_scope"}) if "admin" in asked.body else given(asked)
        )
        self.assertEqual(self.ask(), 403)
        self.assertEqual(self.ask(), 403)
        self.assertEqual(len(self.there.to(TOKEN)), 2)
        response = self.successResultOf(self.begin())
        reading = Deferred.fromCoroutine(self.upstream.refusal(response, 1000))
        self.assertIn("needs the scope admin", self.successResultOf(reading).problem.message)


class PossessionTests(SignInCase):
    def setUp(self) -> None:
        super().setUp()
        self.login.metadata["dpop_signing_alg_values_supported"] = ["EdDSA", "ES256"]
        self.reader = ProofReader(lambda: NOW, ReplayCache(lambda: NOW, self.clock.seconds))

    def test_bound(self) -> None:
        """Each request has a proof of its own, all with one key."""
        for _ in range(2):
            self.assertEqual(self.ask(), 200)
        token = self.there.to(TOKEN)[0]
        jkt = self.reader.read(token.headers["dpop"], "POST", TOKEN).jkt
        for asked in self.there.to(PLACE)[1:]:
            self.assertEqual(asked.headers["authorization"], "DPoP token-1")
            self.reader.read(asked.headers["dpop"], "POST", PLACE, b"token-1", jkt)
        self.assertNotIn("dpop", self.there.to(PLACE)[0].headers)
        assertion = token.form["client_assertion"]
        self.assertNotIn(jkt, assertion)

    def test_not_offered(self) -> None:
        for offered in ([], ["RS256"], "ES256"):
            self.setUp()
            self.login.metadata["dpop_signing_alg_values_supported"] = offered
            self.assertEqual(self.ask(), 200)
            self.assertEqual(self.there.to(PLACE)[1].headers["authorization"], "Bearer token-1")

    def test_nonce_for_the_token(self) -> None:
        given = self.login.token

        def wants(asked: Asked) -> Answer:
            if asked.proof().claims.get("nonce") != "n1":
                return Answer(400, {"error": "use_dpop_nonce"}, {"dpop-nonce": "n1"})
            return given(asked)

        self.there.answers[TOKEN] = wants
        self.assertEqual(self.ask(), 200)
        self.assertEqual(len(self.there.to(TOKEN)), 2)

    def test_nonce_for_the_request(self) -> None:
        served = self.serve

        def wants(asked: Asked) -> Answer:
            answer = served(asked)
            if answer.status == 200 and asked.proof().claims.get("nonce") != "n2":
                challenge = {"www-authenticate": 'DPoP error="use_dpop_nonce"', "dpop-nonce": "n2"}
                return Answer(401, {}, challenge)
            return answer

        self.there.answers[PLACE] = wants
        self.assertEqual([self.ask(), self.ask()], [200, 200])
        self.assertEqual(self.login.given, 1)
        self.assertEqual(len(self.there.to(PLACE)), 4)

    def test_a_nonce_that_is_none(self) -> None:
        """The same again, or what fits into no header, has nothing made again."""
        for nonce in ("", "a b\x07", "x" * 600):
            self.setUp()
            answer = Answer(400, {"error": "use_dpop_nonce"}, {"dpop-nonce": nonce})
            self.there.answers[TOKEN] = answer
            self.failureResultOf(self.begin(), SignInFailed)
            self.assertLessEqual(len(self.there.to(TOKEN)), 2)

    def test_a_bound_token_that_was_not_asked_for(self) -> None:
        self.login.metadata["dpop_signing_alg_values_supported"] = []
        said = {"access_token": "x", "token_type": "DPoP"}
        self.there.answers[TOKEN] = Answer(200, said)
        self.failureResultOf(self.begin(), SignInFailed)


class SecrecyTests(SignInCase):
    def test_another_origin(self) -> None:
        """A token goes to the server it was given for, and nowhere else."""
        self.ask()
        for url in (
            "https://evil.example/mcp",
            "https://mcp.example.com/mcp",
            "http://mcp.example.com:8443/mcp",
            "https://mcp.example.com.evil.example:8443/mcp",
        ):
            self.assertEqual(self.successResultOf(self.source.headers("GET", url)), [])
        own = self.successResultOf(self.source.headers("GET", f"{SERVER}/other"))
        self.assertEqual(own, [(b"authorization", b"Bearer token-1")])

    def test_redirects(self) -> None:
        """No redirect is followed with it, neither by the server nor on the way to a token."""
        self.ask()
        self.there.answers[PLACE] = Answer(307, b"", {"location": "https://evil.example/"})
        self.failureResultOf(self.begin())
        self.assertEqual([each for each in self.there.asked if "evil" in each.url], [])
        for place in (METADATA, TOKEN, f"{ISSUER}/.well-known/oauth-authorization-server"):
            self.setUp()
            self.there.answers[place] = Answer(302, b"", {"location": "https://10.0.0.1/"})
            self.failureResultOf(self.begin(), SignInFailed)
            self.assertEqual([each for each in self.there.asked if "10.0" in each.url], [])

    def test_shown_to_nobody(self) -> None:
        """A server that repeats its token in a refusal is not repeated."""
        self.ask()
        refusal = Answer(500, {"error": "bad token-1"}, {"content-type": "application/json"})
        self.there.answers[PLACE] = refusal
        response = self.successResultOf(self.begin())
        reading = Deferred.fromCoroutine(self.upstream.refusal(response, 1000))
        self.assertNotIn("token-1", self.successResultOf(reading).problem.message)

    def test_where_others_could_read_it(self) -> None:
        """No token is asked for that would go over a network in the clear."""
        for url in ("http://mcp.example.com/mcp", "http://192.0.2.1/mcp"):
            asking = Deferred.fromCoroutine(self.make_signin(url).token())
            self.assertIn("https", self.failureResultOf(asking, SignInFailed).value.message)
        self.assertEqual(self.there.asked, [])

    def test_hostile_metadata(self) -> None:
        """Nobody is gone to whom the server has no business to name (F3)."""
        bad = ("javascript:alert(1)", "file:///etc/passwd", "-oProxyCommand=x", "http://10.0.0.1/")
        for place in bad:
            for name, document in (
                ("authorization_servers", self.login.protected),
                ("token_endpoint", self.login.metadata),
            ):
                self.setUp()
                document = self.login.protected if "auth" in name else self.login.metadata
                document[name] = [place] if "auth" in name else place
                self.failureResultOf(self.begin(), SignInFailed)
                self.assertEqual([each for each in self.there.asked if place in each.url], [])

    def test_no_tokens(self) -> None:
        for said in (
            {},
            {"access_token": 1, "token_type": "Bearer"},
            {"access_token": "a b", "token_type": "Bearer"},
            {"access_token": "a\r\nX: y", "token_type": "Bearer"},
            {"access_token": "a", "token_type": "MAC"},
            {"access_token": "a"},
        ):
            self.setUp()
            self.there.answers[TOKEN] = Answer(200, said)
            self.failureResultOf(self.begin(), SignInFailed)

    def test_nobody_says_who_gives_tokens(self) -> None:
        """A server that answers 401 and is no part of this is told of as it was."""
        self.there.answers = {PLACE: Answer(401, {"error": "no"})}
        self.assertEqual(self.ask(), 401)
        self.there.answers[PLACE] = Answer(401, {}, {"www-authenticate": "Bearer"})
        self.clock.advance(6)
        self.failureResultOf(self.begin(), SignInFailed)

    def test_silence(self) -> None:
        self.there.held = []
        asking = self.begin()
        self.there.held.pop()()
        self.clock.advance(16)
        self.assertIn("within 15 s", self.failureResultOf(asking, SignInFailed).value.message)


class ComingTests(SignInCase):
    """To a server that cannot say first that it wants a token: one behind a WebSocket."""

    URL = "wss://mcp.example.com:8443/mcp"

    def come(self) -> list[tuple[bytes, bytes]]:
        found: list[tuple[bytes, bytes]] = self.successResultOf(self.source.come("GET", self.URL))
        return found

    def test_wanted(self) -> None:
        self.assertEqual(self.come(), [(b"authorization", b"Bearer token-1")])
        self.assertEqual(self.come(), [(b"authorization", b"Bearer token-1")])
        self.source.doubt()
        self.assertEqual(self.come(), [(b"authorization", b"Bearer token-2")])

    def test_not_wanted(self) -> None:
        self.there.answers = {}
        self.assertEqual(self.come(), [])
        self.assertEqual(self.loads, 0)

    def test_bound(self) -> None:
        """The proof is of the request that opens it."""
        self.login.metadata["dpop_signing_alg_values_supported"] = ["ES256"]
        (_, token), (_, proof) = self.come()
        self.assertEqual(token, b"DPoP token-1")
        reader = ProofReader(lambda: NOW, ReplayCache(lambda: NOW, self.clock.seconds))
        reader.read(proof.decode(), "GET", PLACE, b"token-1")
