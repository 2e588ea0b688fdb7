"""What people agreed to, renewed, widened, and bound to a key."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from twisted.internet.defer import Deferred

from mcptwist.auth.asking.signin import Granted, Want
from mcptwist.auth.keys import to_base64url
from mcptwist.auth.oauth.dpop import ProofReader
from mcptwist.auth.oauth.replay import ReplayCache
from mcptwist.errors import ServerUnreachable, SignInFailed
from tests.auth.asking.loggingin import TOKEN, LoginCase
from tests.auth.elsewhere import ISSUER, PLACE, Answer, Asked
from tests.auth.people import NOW


class RenewalTests(LoginCase):
    def test_before_it_ends(self) -> None:
        """Without anybody being asked; what renews is another each time."""
        self.ask()
        for count in (2, 3):
            self.reactor.advance(571)
            self.assertEqual(self.ask(), 200)
            self.assertEqual(len(self.people.given), count)
        self.assertEqual(len(self.shown), 1)
        forms = self.forms()[1:]
        self.assertEqual([each["refresh_token"] for each in forms], ["refresh-1", "refresh-2"])
        self.assertEqual({each["resource"] for each in forms}, {PLACE})
        self.assertEqual({each["client_id"] for each in forms}, {"us-4711"})

    def test_by_another_program(self) -> None:
        """What it got is used: what renews is good once."""
        self.ask()
        first = self.upstream
        self.begin_anew()
        self.reactor.advance(571)
        self.assertEqual(self.ask(), 200)
        self.upstream = first
        self.assertEqual(self.ask(), 200)
        self.assertEqual(len(self.people.given), 2)

    def test_not_said_again(self) -> None:
        """A server that gives nothing new for renewing means the old one."""
        self.ask()
        self.people.renews = False
        self.reactor.advance(571)
        self.assertEqual(self.ask(), 200)
        self.people.refreshing.add("refresh-1")
        self.reactor.advance(571)
        self.assertEqual(self.ask(), 200)
        self.assertEqual(len(self.shown), 1)

    def test_refused(self) -> None:
        """Then the person is asked, if there is one."""
        self.ask()
        self.people.refreshing.clear()
        self.reactor.advance(571)
        self.assertEqual(self.ask(), 200)
        self.assertEqual(len(self.shown), 2)
        self.begin_anew(alone=True)
        self.people.refreshing.clear()
        self.reactor.advance(601)
        self.assertIn("mcptwist login", self.fail_to_ask())
        self.assertEqual(self.wallet.of(PLACE), [])

    def test_a_fault(self) -> None:
        """What is broken today may be good tomorrow: nothing is forgotten."""
        self.ask()
        for answer in (Answer(503, {}), Answer(200, b"no"), Answer(302, b""), None):
            self.there.answers[TOKEN] = answer
            self.begin_anew()
            self.reactor.advance(601)
            self.failureResultOf(self.begin(), ServerUnreachable)
            self.assertEqual(len(self.wallet.of(PLACE)), 1)
        self.assertEqual(len(self.shown), 1)

    def test_withdrawn(self) -> None:
        """A kept token that is good no more is renewed at once."""
        self.ask()
        self.begin_anew(alone=True)
        self.good = {"token-2"}
        self.assertEqual(self.ask(), 200)
        self.assertEqual(len(self.shown), 1)

    def test_nothing_renews_it(self) -> None:
        self.people.renews = False
        self.ask()
        self.begin_anew()
        self.reactor.advance(601)
        self.assertEqual(self.ask(), 200)
        self.assertEqual((len(self.shown), len(self.forms())), (2, 2))


class StepUpTests(LoginCase):
    wanted = "admin"

    def serve(self, asked: Asked) -> Answer:
        answer = super().serve(asked)
        agreed = self.wallet.of(PLACE)
        if answer.status == 200 and self.wanted not in agreed[0].scopes:
            more = f'Bearer error="insufficient_scope", scope="{self.wanted}"'
            return Answer(403, {}, {"www-authenticate": more})
        return answer

    def scopes(self) -> list[str]:
        return [dict(parse_qsl(urlsplit(each).query))["scope"] for each in self.shown]

    def test_more(self) -> None:
        """What was agreed to before is asked for with it; it is kept."""
        self.assertEqual(self.ask(), 200)
        self.assertEqual(self.scopes(), ["call read", "admin call read"])
        self.begin_anew(alone=True)
        self.assertEqual(self.ask(), 200)

    def test_never_enough(self) -> None:
        """A server that grants less than it wants is not asked on and on."""
        self.people.granted = "call read"
        self.assertEqual([self.ask(), self.ask()], [403, 403])
        self.assertEqual(len(self.shown), 2)

    def test_always_something_else(self) -> None:
        """Nor one that wants another thing each time."""
        self.people.granted = "call"
        for count in range(8):
            self.wanted = f"scope-{count}"
            self.assertEqual(self.ask(), 403)
        self.assertEqual(len(self.shown), 4)

    def test_nobody_to_be_asked(self) -> None:
        self.wanted = "read"
        self.ask()
        self.wanted = "admin"
        self.begin_anew(alone=True)
        self.assertEqual(self.ask(), 403)

    def test_no(self) -> None:
        """What there is stays good, and its key with it."""
        self.wanted = "read"
        self.people.metadata["dpop_signing_alg_values_supported"] = ["ES256"]
        self.ask()
        before = self.possession.key("ES256")
        self.wanted = "admin"
        self.there.answers[TOKEN] = Answer(400, {"error": "invalid_scope"})
        self.assertEqual(self.ask(), 403)
        self.assertIs(self.possession.key("ES256"), before)


class PossessionTests(LoginCase):
    def setUp(self) -> None:
        super().setUp()
        self.people.metadata["dpop_signing_alg_values_supported"] = ["ES256"]
        replay = ReplayCache(lambda: NOW, self.reactor.seconds)
        self.reader = ProofReader(self.wall, replay)

    def test_bound_from_code_to_request(self) -> None:
        """One key, for the code, the token, its renewal and every request; it is kept."""
        self.ask()
        self.reactor.advance(571)
        self.ask()
        self.begin_anew(alone=True)
        self.ask()
        asked = dict(parse_qsl(urlsplit(self.shown[0]).query))
        thumbprints = {asked["dpop_jkt"]}
        for each in self.there.asked:
            if "dpop" in each.headers:
                jwk = each.proof().header["jwk"]
                thumbprints.add(self.thumbprint(jwk))
        self.assertEqual(len(thumbprints), 1)
        shown = [each for each in self.there.to(PLACE) if "authorization" in each.headers]
        self.assertEqual(
            [each.headers["authorization"] for each in shown],
            ["DPoP token-1", "DPoP token-2", "DPoP token-2"],
        )
        proof = shown[-1].headers["dpop"]
        self.reader.read(proof, "POST", PLACE, b"token-2", asked["dpop_jkt"])

    def thumbprint(self, jwk: Any) -> str:
        text = f'{{"crv":"{jwk["crv"]}","kty":"EC","x":"{jwk["x"]}","y":"{jwk["y"]}"}}'
        return to_base64url(hashlib.sha256(text.encode()).digest())

    def test_another_login_another_key(self) -> None:
        self.ask()
        self.people.refreshing.clear()
        self.reactor.advance(601)
        self.ask()
        keys = {dict(parse_qsl(urlsplit(each).query))["dpop_jkt"] for each in self.shown}
        self.assertEqual(len(keys), 2)

    def test_a_nonce(self) -> None:
        """A code is good once, and the first try has not used it."""
        token = self.people.token

        def wants(asked: Asked) -> Answer:
            if asked.proof().claims.get("nonce") != "n1":
                return Answer(400, {"error": "use_dpop_nonce"}, {"dpop-nonce": "n1"})
            return token(asked)

        self.there.answers[TOKEN] = wants
        self.assertEqual(self.ask(), 200)
        self.assertEqual(len(self.shown), 1)


class LentTests(LoginCase):
    """A token that somebody else is to use, in a header, which carries no proofs."""

    def setUp(self) -> None:
        super().setUp()
        self.people.metadata["dpop_signing_alg_values_supported"] = ["ES256"]
        self.people.metadata["mcptwist_bearer_refresh_supported"] = True

    def lend(self, want: Want | None = None) -> Deferred[Granted]:
        want = want or Want(bound=False)
        asking = Deferred.fromCoroutine(self.signing.token(None, want))
        self.reactor.advance(0)
        return asking

    def test_of_a_login(self) -> None:
        """Nobody is asked; the login goes on as it was, with what renews it next."""
        self.ask()
        granted = self.successResultOf(self.lend())
        self.assertEqual((granted.token, granted.proof, granted.login), ("token-2", "", ISSUER))
        self.assertEqual(len(self.shown), 1)
        [kept] = self.wallet.of(PLACE)
        self.assertEqual((kept.token, kept.refresh, kept.bound), ("token-1", "refresh-2", True))
        self.reactor.advance(571)
        self.people.given.append("token-1")
        self.assertEqual(self.ask(), 200)
        self.assertEqual(self.forms()[-1]["refresh_token"], "refresh-2")
        self.assertNotIn("mcptwist_token_type", self.forms()[-1])

    def test_what_is_asked_for(self) -> None:
        """No more, and for no longer, than is wanted."""
        self.ask()
        self.successResultOf(self.lend(Want(frozenset({"read"}), True, False, 60)))
        form = self.forms()[-1]
        self.assertEqual((form["scope"], form["expires_in"]), ("read", "60"))
        self.assertIn("dpop", self.there.to(TOKEN)[-1].headers)

    def test_anew(self) -> None:
        """Who wants to log in is asked."""
        self.ask()
        self.successResultOf(self.lend(Want(bound=False, by_person=True)))
        self.assertEqual(len(self.shown), 2)

    def test_at_its_end(self) -> None:
        """A login that is over is forgotten, and the person is asked, if there is one."""
        self.ask()
        self.people.refreshing.clear()
        self.assertEqual(self.successResultOf(self.lend()).login, "")
        self.assertEqual([each.bound for each in self.wallet.of(PLACE)], [False])
        self.assertEqual(len(self.shown), 2)

    def test_more_than_was_agreed_to(self) -> None:
        self.ask()
        self.successResultOf(self.lend(Want(frozenset({"admin"}), True, False)))
        self.assertEqual(len(self.shown), 2)

    def test_not_offered(self) -> None:
        """Another's server lends nothing: the person hears why they are asked once more."""
        del self.people.metadata["mcptwist_bearer_refresh_supported"]
        self.ask()
        before = len(self.forms())
        self.assertEqual(self.successResultOf(self.lend()).proof, "")
        self.assertEqual(len(self.forms()), before + 1)
        self.assertIn("bound to a key", self.said[-1])
        self.assertEqual(len(self.wallet.of(PLACE)), 2)
        self.assertEqual(self.successResultOf(self.lend()).login, ISSUER)
        self.assertEqual(len(self.shown), 2)

    def test_offered_and_not_kept(self) -> None:
        """A server that binds all the same gives nothing that would do."""
        self.ask()
        bound = {"access_token": "x", "token_type": "DPoP", "expires_in": 60}
        self.there.answers[TOKEN] = Answer(200, bound)
        problem = self.failureResultOf(self.lend(), SignInFailed).value
        self.assertIn("no header can carry", str(problem))
