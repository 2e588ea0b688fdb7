"""Who wants a code, a token or a browser to go astray on the way from a login."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from mcptwist.errors import SignInFailed
from tests.auth.asking.loggingin import ABOUT, METADATA, REGISTER, TOKEN, LoginCase
from tests.auth.elsewhere import PLACE, Answer


class AttackTests(LoginCase):
    """Who wants a code, a token, or a browser to go astray."""

    def assert_nothing_given(self) -> None:
        self.assertEqual((self.people.given, self.forms()), ([], []))
        self.assertEqual(self.wallet.of(PLACE), [])

    def test_another_issuer_answers(self) -> None:
        """A code of a mixed-up issuer goes to nobody."""
        self.browse = lambda url: self.bring(
            {**self.people.agree(url), "iss": "https://evil.example"}
        )
        self.assertNotIn("evil", self.fail_to_ask())
        self.assert_nothing_given()

    def test_another_state(self) -> None:
        """It is not heard, and the right one is still waited for."""

        def browse(url: str) -> None:
            fields = self.people.agree(url)
            for state in ("", "guess", fields["state"][::-1]):
                self.assertIn(" 400 ", self.bring({**fields, "state": state, "code": "theirs"}))
            self.bring(fields)

        self.browse = browse
        self.assertEqual(self.ask(), 200)
        self.assertEqual(self.forms()[0]["code"], "code-0")

    def test_the_code_again(self) -> None:
        self.ask()
        again = {**self.people.agree(self.shown[0]), "code": "code-0"}
        self.assertEqual(self.bring(again), "")
        self.assertEqual(len(self.forms()), 1)

    def test_a_page_that_is_none(self) -> None:
        """No browser is sent anywhere but to a page, and nothing is started with it (F3)."""
        for page in (
            "javascript:alert(1)",
            "file:///etc/passwd",
            "-oProxyCommand=x",
            "--version",
            "http://login.example.com/",
            "http://127.0.0.1:9/authorize",
            "https://a@evil.example/",
            "vscode://x",
            "https://x.example/`id`\n",
        ):
            self.setUp()
            self.people.metadata["authorization_endpoint"] = page
            self.fail_to_ask()
            self.assertEqual(self.shown, [])
            self.assert_nothing_given()

    def test_a_redirect_of_the_token_endpoint(self) -> None:
        """A code is not taken along."""
        self.there.answers[TOKEN] = Answer(307, b"", {"location": "https://evil.example/token"})
        self.fail_to_ask()
        self.assertEqual([each for each in self.there.asked if "evil" in each.url], [])

    def test_metadata_of_another(self) -> None:
        """Neither of the resource nor of the issuer."""
        for where, member, value in (
            ("protected", "resource", "https://evil.example/mcp"),
            ("metadata", "issuer", "https://evil.example"),
        ):
            self.setUp()
            getattr(self.people, where)[member] = value
            self.fail_to_ask()
            self.assertEqual(self.shown, [])

    def test_no_proof_of_who_brings_a_code(self) -> None:
        for methods in ([], ["plain"], "S256"):
            self.setUp()
            self.people.metadata["code_challenge_methods_supported"] = methods
            self.assertIn("PKCE", self.fail_to_ask())
            self.assertEqual(self.shown, [])

    def test_silence(self) -> None:
        """Nobody is waited for long."""
        for place in (METADATA, ABOUT, REGISTER, TOKEN):
            self.setUp()
            asking = self.hang_at(place)
            self.reactor.advance(16)
            problem = self.failureResultOf(asking, SignInFailed).value
            self.assertIn("within 15 s", problem.message)

    def hang_at(self, place: str) -> Deferred[Any]:
        request = self.there.request

        def asked(method: bytes, uri: bytes, *more: Any) -> Any:
            return Deferred() if uri.decode() == place else request(method, uri, *more)

        self.there.request = asked  # type: ignore[assignment,method-assign]
        return self.begin()

    def test_bodies_without_end(self) -> None:
        for place in (METADATA, ABOUT, REGISTER, TOKEN):
            self.setUp()
            self.there.answers[place] = Answer(201 if place == REGISTER else 200, b"x" * 100_000)
            failed = self.failureResultOf(self.begin())
            self.assertIn("longer than", str(failed.value))
            self.assertEqual(self.wallet.of(PLACE), [])

    def test_hostile_answers(self) -> None:
        """What is no token is none, and none of it is shown to a terminal as it is."""
        for said in (
            {"access_token": "a b", "token_type": "Bearer"},
            {"access_token": "x\x1b[2J", "token_type": "Bearer"},
            {"access_token": "x", "token_type": "mac"},
            {"access_token": "x", "token_type": "DPoP"},
            {"error": "\x1b[2J", "error_description": "\x1b[2J"},
            [],
        ):
            self.setUp()
            self.there.answers[TOKEN] = Answer(200, said)
            self.assertTrue(self.fail_to_ask().isprintable())
            self.assertEqual(self.wallet.of(PLACE), [])
