"""What comes of an approval, and how all of it ends."""

from __future__ import annotations

import hashlib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.addresses import Address
from mcptwist.auth.authorizedkeys import read_line
from mcptwist.auth.keys import to_base64url
from mcptwist.auth.oauth.logins import (
    CODE_LIFETIME,
    Allowed,
    Login,
    LoginRefused,
    Logins,
    LoginsFull,
    is_challenge,
    is_verified,
)
from mcptwist.auth.oauth.tokens import Token, TokenTable
from tests.auth.people import ISSUER, key

PLACE = Address(ISSUER, "/mcp", "/", "mcp")
VERIFIER = 43 * "v"
CHALLENGE = to_base64url(hashlib.sha256(VERIFIER.encode()).digest())
BACK = "http://127.0.0.1:5/cb"
CLIENT = "inspector.0123456789abcdef"
HOUR = 3600.0


def allowed(name: str = "alice", **different: Any) -> Allowed:
    grant = read_line(f"{key(name).public.words()} {name}@there")
    fields: dict[str, Any] = {
        "client": CLIENT,
        "resource": PLACE,
        "scopes": frozenset({"mcp:read"}),
        "grant": grant,
        "redirect_uri": BACK,
        "challenge": CHALLENGE,
    }
    return Allowed(**fields | different)


class LoginCase(SynchronousTestCase):
    bounds: dict[str, Any] = {"lifetime": 12 * HOUR, "limit": 5, "per_key": 2}

    def setUp(self) -> None:
        self.clock = Clock()
        numbers = iter(range(1, 10_000))

        def make_bytes(size: int) -> bytes:
            return next(numbers).to_bytes(size, "big")

        self.tokens = TokenTable(self.clock.seconds, make_bytes)
        self.logins = Logins(self.clock.seconds, make_bytes, self.tokens, **self.bounds)

    def redeem(self, code: str, **different: Any) -> Login:
        said = {"client": CLIENT, "redirect_uri": BACK, "verifier": VERIFIER, **different}
        return self.logins.redeem(code, **said)

    def refused(self, code: str, **different: Any) -> LoginRefused:
        return self.assertRaises(LoginRefused, self.redeem, code, **different)

    def token(self, login: Login) -> Token:
        _, token = self.tokens.issue("alice", login.key, PLACE.resource, frozenset(), 600)
        self.logins.given(login, token)
        return token

    def logged_in(self) -> tuple[Login, str]:
        """A login and its refresh token."""
        login = self.redeem(self.logins.begin(allowed())[1])
        refresh = self.logins.next_refresh(login)
        assert refresh is not None
        return login, refresh


class CodeTests(LoginCase):
    def test_good(self) -> None:
        login, code = self.logins.begin(allowed())
        self.assertTrue(code.startswith("mcp_ac_"))
        self.assertIs(self.redeem(code), login)
        self.assertEqual(login.allowed, allowed())

    def test_redirect_may_be_left_out(self) -> None:
        login, code = self.logins.begin(allowed())
        self.assertIs(self.redeem(code, redirect_uri=None), login)

    def test_again(self) -> None:
        """Everything that came of it ends."""
        login, code = self.logins.begin(allowed())
        self.redeem(code)
        token = self.token(login)
        refused = self.refused(code)
        self.assertEqual(
            (refused.reason, refused.ended, refused.tokens),
            ("the code came a second time", login, 1),
        )
        self.assertFalse(token.is_live)
        self.assertEqual(len(self.logins), 0)

    def test_late(self) -> None:
        code = self.logins.begin(allowed())[1]
        self.clock.advance(CODE_LIFETIME)
        self.assertTrue(self.refused(code).is_stale)
        self.assertEqual(len(self.logins), 0)

    def test_not_what_it_was_given_for(self) -> None:
        """Whoever brings it otherwise has burnt it."""
        for different in (
            {"client": "another"},
            {"redirect_uri": "http://127.0.0.1:6/cb"},
            {"redirect_uri": ""},
            {"verifier": 43 * "w"},
            {"verifier": ""},
            {"verifier": CHALLENGE},
        ):
            login, code = self.logins.begin(allowed())
            self.assertIs(self.refused(code, **different).ended, login, different)
            self.assertIsNone(self.refused(code).ended)

    def test_bound_to_a_key(self) -> None:
        """RFC 9449 section 10: whoever asked said which key it will come with."""
        login, code = self.logins.begin(allowed(jkt="thumbprint"))
        self.assertIs(self.redeem(code, jkt="thumbprint"), login)
        for jkt in (None, "", "other"):
            login, code = self.logins.begin(allowed(jkt="thumbprint"))
            self.assertIs(self.refused(code, jkt=jkt).ended, login)

    def test_none_of_ours(self) -> None:
        code = self.logins.begin(allowed())[1]
        other = "mcp_rt_" + code.removeprefix("mcp_ac_")
        for text in ("", "x", code[:-1], code + "x", other, "mcp_ac_\u00e9", 300 * "a"):
            refused = self.refused(text)
            self.assertEqual((refused.ended, refused.is_stale), (None, False), text)
        self.redeem(code)


class GuessedTests(LoginCase):
    @given(st.text(max_size=120) | st.binary(max_size=90).map(lambda raw: to_base64url(raw)))
    @settings(max_examples=100, deadline=None)
    def test_guessed(self, text: str) -> None:
        login, code = self.logins.begin(allowed())
        for guess in (text, f"mcp_ac_{text}", code[:31] + text):
            if guess != code:
                self.assertRaises(LoginRefused, self.redeem, guess)
        self.logins.end(login)


class RefreshTests(LoginCase):
    def test_rotates(self) -> None:
        login, first = self.logged_in()
        self.assertIs(self.logins.renew(first, CLIENT, None), login)
        second = self.logins.next_refresh(login)
        self.assertNotEqual(first, second)
        self.assertIs(self.logins.renew(second or "", CLIENT, None), login)

    def test_again(self) -> None:
        """The thief or the owner comes second; both have to log in again."""
        login, first = self.logged_in()
        self.logins.renew(first, CLIENT, None)
        second = self.logins.next_refresh(login) or ""
        token = self.token(login)
        refused = self.assertRaises(LoginRefused, self.logins.renew, first, CLIENT, None)
        self.assertEqual((refused.ended, refused.tokens), (login, 1))
        self.assertFalse(token.is_live)
        refused = self.assertRaises(LoginRefused, self.logins.renew, second, CLIENT, None)
        self.assertTrue(refused.is_stale)

    def test_another_client(self) -> None:
        login, refresh = self.logged_in()
        refused = self.assertRaises(LoginRefused, self.logins.renew, refresh, "another", None)
        self.assertIs(refused.ended, login)

    def test_bound(self) -> None:
        """Whoever has it without the key can do nothing with it, and end nothing."""
        login, refresh = self.logged_in()
        login.jkt = "thumbprint"
        for jkt in (None, "other"):
            refused = self.assertRaises(LoginRefused, self.logins.renew, refresh, CLIENT, jkt)
            self.assertIsNone(refused.ended)
        self.assertIs(self.logins.renew(refresh, CLIENT, "thumbprint"), login)

    def test_absolute_life(self) -> None:
        """However often it is renewed."""
        login, refresh = self.logged_in()
        for _ in range(11):
            self.clock.advance(HOUR)
            self.logins.renew(refresh, CLIENT, None)
            refresh = self.logins.next_refresh(login) or ""
        self.assertEqual(self.logins.seconds_left(login), HOUR)
        self.clock.advance(HOUR)
        refused = self.assertRaises(LoginRefused, self.logins.renew, refresh, CLIENT, None)
        self.assertTrue(refused.is_stale)
        self.assertEqual(len(self.logins), 0)


class EndTests(LoginCase):
    def test_with_its_key(self) -> None:
        login, refresh = self.logged_in()
        other = self.logins.begin(allowed("bob"))[0]
        token = self.token(login)
        self.assertEqual(self.logins.withdraw(login.key), 1)
        self.assertFalse(token.is_live)
        self.assertRaises(LoginRefused, self.logins.renew, refresh, CLIENT, None)
        self.assertEqual(self.logins.withdraw(other.key), 1)
        self.assertEqual(self.logins.withdraw(other.key), 0)

    def test_too_many_of_one_key(self) -> None:
        first = self.logins.begin(allowed())[1]
        rest = [self.logins.begin(allowed())[1] for _ in range(2)]
        self.assertTrue(self.refused(first).is_stale)
        for code in rest:
            self.redeem(code)
        self.assertEqual((self.logins.displaced, self.logins.refused), (1, 0))

    def test_too_many_of_all(self) -> None:
        for number in range(5):
            self.logins.begin(allowed(f"key{number}"))
        self.assertRaises(LoginsFull, self.logins.begin, allowed("carol"))
        self.assertEqual((self.logins.displaced, self.logins.refused), (0, 1))
        self.clock.advance(12 * HOUR)
        self.logins.begin(allowed("carol"))
        self.assertEqual(len(self.logins), 1)

    def test_tokens_that_have_ended(self) -> None:
        """They are not kept for as long as the login is."""
        login, _ = self.logged_in()
        for _ in range(5):
            self.tokens.end(self.token(login))
        self.token(login)
        self.assertEqual(len(login.tokens), 1)


class OneTokenTests(LoginCase):
    """``login_ttl = "none"``."""

    bounds = {"lifetime": None}

    def test_no_refresh(self) -> None:
        login, code = self.logins.begin(allowed())
        self.redeem(code)
        token = self.token(login)
        self.assertIsNone(self.logins.next_refresh(login))
        self.clock.advance(CODE_LIFETIME)
        self.assertIs(self.refused(code).ended, login)
        self.assertFalse(token.is_live)

    def test_ends_with_its_token(self) -> None:
        login, code = self.logins.begin(allowed())
        self.redeem(code)
        self.token(login)
        self.clock.advance(600)
        self.logins.expire()
        self.assertEqual(len(self.logins), 0)


class ChallengeTests(SynchronousTestCase):
    def test_rfc(self) -> None:
        """RFC 7636, appendix B."""
        verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
        challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        self.assertTrue(is_challenge(challenge))
        self.assertTrue(is_verified(verifier, challenge))
        self.assertFalse(is_verified(challenge, verifier))
        self.assertFalse(is_verified(verifier, verifier))

    def test_forms(self) -> None:
        for text in ("", CHALLENGE[:-1], CHALLENGE + "=", CHALLENGE[:-1] + "+", 43 * "\u0661"):
            self.assertFalse(is_challenge(text))
        for verifier in (42 * "v", 129 * "v", 42 * "v" + "=", 43 * "\u00e9"):
            made = to_base64url(hashlib.sha256(verifier.encode()).digest())
            self.assertFalse(is_verified(verifier, made))
