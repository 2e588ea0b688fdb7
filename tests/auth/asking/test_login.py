"""Logging in at servers elsewhere: a person is asked once, and what they agreed to lasts."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

from twisted.internet.defer import Deferred

from mcptwist.auth.asking.clientcredentials import KeyHolder
from mcptwist.auth.asking.inquiry import Ways
from mcptwist.auth.asking.login import PATIENCE
from mcptwist.auth.asking.registration import Client, Told
from mcptwist.auth.asking.signin import Want
from mcptwist.errors import SignInFailed
from tests.auth.asking.loggingin import ABOUT, METADATA, REGISTER, REVOKE, TOKEN, LoginCase
from tests.auth.elsewhere import ISSUER, PLACE, SERVER, Answer
from tests.auth.people import key


class FlowTests(LoginCase):
    def test_from_challenge_to_answer(self) -> None:
        self.assertEqual(self.ask(), 200)
        urls = [each.url for each in self.there.asked]
        self.assertEqual(urls, [PLACE, METADATA, ABOUT, REGISTER, TOKEN, PLACE])
        asked = dict(parse_qsl(urlsplit(self.shown[0]).query))
        self.assertEqual(asked["redirect_uri"], "http://127.0.0.1:4711/callback")
        self.assertEqual((asked["resource"], asked["scope"]), (PLACE, "call read"))
        self.assertEqual(asked["client_id"], "us-4711")
        (form,) = self.forms()
        self.assertEqual((form["grant_type"], form["resource"]), ("authorization_code", PLACE))
        self.assertEqual(self.there.asked[-1].headers["authorization"], "Bearer token-1")

    def test_kept_for_the_next_program(self) -> None:
        """Nobody is asked again, and it is asked for nothing again."""
        self.ask()
        self.begin_anew(alone=True)
        self.assertEqual(self.ask(), 200)
        self.assertEqual((len(self.shown), len(self.forms())), (1, 1))

    def test_nobody_to_be_asked(self) -> None:
        """What to run is said."""
        self.begin_anew(alone=True)
        self.assertIn(f"mcptwist login {PLACE}", self.fail_to_ask())
        self.begin_anew()
        self.reactor.advance(6)
        self.assertEqual(self.ask(), 200)

    def test_no(self) -> None:
        """Who said no is left in peace for a while, and the reason is told."""
        self.browse = lambda url: self.bring({
            "error": "access_denied", "iss": ISSUER,
            "state": dict(parse_qsl(urlsplit(url).query))["state"],
        })  # fmt: skip
        self.assertIn("access_denied", self.fail_to_ask())
        self.browse = self.agree
        for seconds in (6, 60, 500):
            self.reactor.advance(seconds)
            self.assertIn("access_denied", self.fail_to_ask())
        self.reactor.advance(60)
        self.assertEqual(self.ask(), 200)
        self.assertEqual(len(self.shown), 2)

    def test_nobody_comes(self) -> None:
        """The port is closed again."""
        self.browse = lambda url: None
        asking = self.begin()
        self.reactor.advance(PATIENCE - 1)
        self.assertNoResult(asking)
        self.reactor.advance(2)
        problem = self.failureResultOf(asking, SignInFailed).value
        self.assertIn("nobody logged in", problem.message)
        self.assertEqual(self.bring(self.people.agree(self.shown[0])), "")

    def test_a_person_is_slow(self) -> None:
        """Whoever waits for an answer can see that it is a person who is waited for."""
        self.assertFalse(self.upstream.asks_person)
        self.browse = lambda url: self.assertTrue(self.upstream.asks_person)
        asking = self.begin()
        self.reactor.advance(100)
        self.assertTrue(self.upstream.asks_person)
        self.agree(self.shown[0])
        self.reactor.advance(0)
        self.assertEqual(self.successResultOf(asking).code, 200)
        self.assertFalse(self.upstream.asks_person)

    def test_anew(self) -> None:
        """Who says login is asked, whatever there is."""
        self.ask()
        want = Want(by_person=True)
        for _ in range(2):
            asking = Deferred.fromCoroutine(self.signing.token(None, want))
            self.reactor.advance(0)
            self.successResultOf(asking)
        self.assertEqual(len(self.shown), 3)

    def test_offline(self) -> None:
        """What renews is asked for where that has a name."""
        self.people.metadata["scopes_supported"] = ["read", "offline_access"]
        self.ask()
        asked = dict(parse_qsl(urlsplit(self.shown[0]).query))
        self.assertEqual(asked["scope"], "call offline_access read")

    def test_older_servers(self) -> None:
        """2025-03-26: the server's own origin gives tokens, and no metadata say so."""
        self.there.answers[METADATA] = Answer(404, {})
        where = f"{SERVER}/.well-known/oauth-authorization-server"
        self.there.answers[where] = lambda _: Answer(200, self.people.metadata)
        self.people.metadata["issuer"] = ISSUER
        self.assertIn("another authorization server", self.fail_to_ask())
        self.people.metadata["issuer"] = SERVER
        self.people.metadata["authorization_response_iss_parameter_supported"] = False
        self.browse = lambda url: self.bring({**self.people.agree(url), "iss": SERVER})
        self.reactor.advance(6)
        self.assertEqual(self.ask(), 200)


class WhoWeAreTests(LoginCase):
    def test_registered_once(self) -> None:
        """And known by that the next time, at the same port."""
        self.ask()
        self.people.refreshing.clear()
        self.reactor.advance(700)
        self.assertEqual(self.ask(), 200)
        self.assertEqual((len(self.there.to(REGISTER)), len(self.shown)), (1, 2))

    def test_the_port_is_taken(self) -> None:
        """Then we register again: what was said before is true no more."""
        self.ask()
        self.people.refreshing.clear()
        self.busy = {4711}
        self.reactor.advance(700)
        self.assertEqual(self.ask(), 200)
        self.assertEqual(len(self.there.to(REGISTER)), 2)
        self.assertIn("4712", self.shown[1])

    def test_registered_by_a_person(self) -> None:
        """With a secret, which goes to the token endpoint and to no page."""
        methods = ["client_secret_post"]
        self.people.metadata["token_endpoint_auth_methods_supported"] = methods
        self.begin_anew(Told("us", "s3cret", ISSUER))
        self.assertEqual(self.ask(), 200)
        self.assertEqual(self.forms()[0]["client_secret"], "s3cret")
        self.assertNotIn("s3cret", self.shown[0])
        self.assertEqual(self.there.to(REGISTER), [])

    def test_registered_with_somebody_else(self) -> None:
        """Then nobody is shown who we are."""
        self.begin_anew(Told("us", "s3cret", "https://other.example"))
        self.assertIn("https://other.example", self.fail_to_ask())
        self.assertEqual((self.shown, self.forms()), ([], []))

    def test_not_known_any_more(self) -> None:
        """A registration that was forgotten there is forgotten here."""
        self.wallet.introduce(
            ISSUER, Client("gone", redirect="http://127.0.0.1:4711/callback", is_own=True)
        )
        token = self.people.token
        self.there.answers[TOKEN] = lambda asked: (
            Answer(401, {"error": "invalid_client"})
            if asked.form["client_id"] == "gone"
            else token(asked)
        )
        self.assertIn("invalid_client", self.fail_to_ask())
        self.assertIsNone(self.wallet.client(ISSUER))
        self.begin_anew()
        self.assertEqual(self.ask(), 200)

    def test_nobody_may_register(self) -> None:
        for answer in (Answer(403, {"error": "access_denied"}), Answer(200, {}), Answer(302, b"")):
            self.setUp()
            self.there.answers[REGISTER] = answer
            self.fail_to_ask()
            self.assertEqual(self.shown, [])

    def test_a_program_with_a_secret(self) -> None:
        """Where no people are asked, the secret alone will do."""
        self.people.metadata["grant_types_supported"] = ["client_credentials"]
        methods = ["client_secret_basic"]
        self.people.metadata["token_endpoint_auth_methods_supported"] = methods
        self.there.answers[TOKEN] = lambda asked: self.people.answer(asked, None)
        self.begin_anew(Told("us", "s3cret"))
        self.assertEqual(self.ask(), 200)
        self.assertEqual(self.forms()[0]["grant_type"], "client_credentials")
        self.assertTrue(self.there.to(TOKEN)[0].headers["authorization"].startswith("Basic "))
        self.assertEqual(self.shown, [])


class WaysTests(LoginCase):
    """Where both a key and a person will do."""

    def setUp(self) -> None:
        super().setUp()
        self.people.metadata["grant_types_supported"] = [
            "authorization_code", "refresh_token", "client_credentials",
        ]  # fmt: skip
        methods = ["none", "private_key_jwt"]
        self.people.metadata["token_endpoint_auth_methods_supported"] = methods
        self.signer = key()
        token = self.people.token
        self.there.answers[TOKEN] = lambda asked: (
            self.people.answer(asked, None) if "client_assertion" in asked.form else token(asked)
        )

    def with_key(self, is_chosen: bool = False, **more: Any) -> None:
        async def load() -> Any:
            if self.signer is None:
                raise SignInFailed("there is no key")
            return self.signer

        ways = Ways(self.there, self.there, self.reactor, self.wall, self.make_bytes)
        self.begin_anew(**more, keys=KeyHolder(load, "", ways), is_chosen=is_chosen)

    def test_a_key(self) -> None:
        self.with_key()
        self.assertEqual(self.ask(), 200)
        self.assertEqual(self.shown, [])

    def test_no_key(self) -> None:
        """Then a person is asked, and told why."""
        self.signer = None  # type: ignore[assignment]
        self.with_key()
        self.assertEqual(self.ask(), 200)
        self.assertEqual(len(self.shown), 1)
        self.assertIn("there is no key", self.said[0])

    def test_who_was_registered(self) -> None:
        """Who says as which client we come wants a person to be asked."""
        self.with_key(told=Told("us"))
        self.assertEqual(self.ask(), 200)
        self.assertEqual(len(self.shown), 1)

    def test_neither_key_nor_person(self) -> None:
        """Both things to do are said."""
        self.signer = None  # type: ignore[assignment]
        self.with_key(alone=True)
        said = self.fail_to_ask()
        self.assertIn("there is no key", said)
        self.assertIn(f"mcptwist login {PLACE}", said)

    def test_a_chosen_key(self) -> None:
        """Then nothing else will do."""
        self.signer = None  # type: ignore[assignment]
        self.with_key(is_chosen=True)
        self.assertIn("there is no key", self.fail_to_ask())
        self.assertEqual(self.shown, [])

    def test_a_chosen_key_that_nobody_asks_for(self) -> None:
        """A server that does not say how clients prove who they are may take it."""
        del self.people.metadata["token_endpoint_auth_methods_supported"]
        self.with_key(is_chosen=True)
        self.assertEqual(self.ask(), 200)
        self.assertEqual(self.shown, [])
        self.with_key()
        self.good = {"token-2"}
        self.assertEqual(self.ask(), 200)
        self.assertEqual(len(self.shown), 1)

    def test_who_has_logged_in(self) -> None:
        """What a person agreed to comes before a key that nobody chose."""
        self.ask()
        self.with_key()
        self.assertEqual(self.ask(), 200)
        self.assertNotIn("client_assertion", self.forms()[-1])
        self.with_key(is_chosen=True)
        self.good = {"token-2"}
        self.assertEqual(self.ask(), 200)
        self.assertIn("client_assertion", self.forms()[-1])


class LogoutTests(LoginCase):
    def leave(self) -> list[str]:
        return [
            self.successResultOf(Deferred.fromCoroutine(self.logout.end(each)))
            for each in self.wallet.of(PLACE)
        ]

    def test_given_back(self) -> None:
        """What renews comes first; then nothing is known of it here."""
        self.ask()
        self.assertEqual(self.leave(), [""])
        forms = [each.form for each in self.there.to(REVOKE)]
        self.assertEqual([each["token"] for each in forms], ["refresh-1", "token-1"])
        self.assertEqual({each["client_id"] for each in forms}, {"us-4711"})
        self.assertEqual((self.wallet.of(PLACE), self.wallet.client(ISSUER)), ([], None))

    def test_not_taken_back(self) -> None:
        """It is forgotten all the same, and that is said."""
        for answer, member in ((Answer(503, {}), ""), (None, ""), (None, "revocation_endpoint")):
            self.setUp()
            self.ask()
            self.there.answers[REVOKE] = answer
            self.people.metadata.pop(member, None)
            self.assertTrue(all(self.leave()))
            self.assertEqual(self.wallet.of(PLACE), [])
