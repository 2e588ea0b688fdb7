"""What a person is asked, and what of the answers is believed."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.asking.authorization import NotOurs, Request, ask_for, read_answer
from mcptwist.auth.asking.discovery import Issuer
from mcptwist.auth.keys import to_base64url
from mcptwist.errors import SignInFailed

WHO = "https://login.example.com"
PAGE = f"{WHO}/authorize"
BACK = "http://127.0.0.1:4711/callback"
ISSUER = Issuer(
    WHO, f"{WHO}/token", authorization_endpoint=PAGE, challenges=("S256",), names_itself=True
)


def make_bytes(size: int) -> bytes:
    make_bytes.count += 1  # type: ignore[attr-defined]
    return bytes([make_bytes.count % 256]) * size  # type: ignore[attr-defined]


make_bytes.count = 0  # type: ignore[attr-defined]


def asked(issuer: Issuer = ISSUER, scopes: tuple[str, ...] = ("b", "a"), jkt: str = "") -> Request:
    return ask_for(issuer, "us", BACK, "https://mcp.example.com/mcp", scopes, jkt, make_bytes)


def changed(**members: Any) -> Issuer:
    known = {name: getattr(ISSUER, name) for name in ISSUER.__struct_fields__}
    return Issuer(**{**known, **members})


class AskingTests(SynchronousTestCase):
    def test_everything_that_binds_it(self) -> None:
        request = asked(jkt="thumb")
        self.assertTrue(request.url.startswith(f"{PAGE}?"))
        fields = dict(parse_qsl(urlsplit(request.url).query))
        hashed = hashlib.sha256(request.verifier.encode()).digest()
        self.assertEqual(
            fields,
            {
                "response_type": "code",
                "client_id": "us",
                "redirect_uri": BACK,
                "scope": "a b",
                "resource": "https://mcp.example.com/mcp",
                "state": request.state,
                "code_challenge": to_base64url(hashed),
                "code_challenge_method": "S256",
                "dpop_jkt": "thumb",
            },
        )
        self.assertNotIn(request.verifier, request.url)
        self.assertGreaterEqual(len(request.verifier), 43)

    def test_never_the_same(self) -> None:
        one, two = asked(), asked()
        self.assertEqual(len({one.state, two.state, one.verifier, two.verifier}), 4)

    def test_a_page_with_a_query(self) -> None:
        """What it has already stays."""
        request = asked(changed(authorization_endpoint=f"{PAGE}?tenant=1"), scopes=())
        fields = dict(parse_qsl(urlsplit(request.url).query))
        self.assertEqual((fields["tenant"], fields["client_id"]), ("1", "us"))
        self.assertNotIn("scope", fields)
        self.assertNotIn("dpop_jkt", fields)

    def test_codes_that_thieves_could_use(self) -> None:
        """A server that does not say that it knows S256 is not asked."""
        for challenges in ((), ("plain",), ("s256",)):
            problem = self.assertRaises(SignInFailed, asked, changed(challenges=challenges))
            self.assertIn("PKCE", problem.message)
        self.assertRaises(SignInFailed, asked, changed(authorization_endpoint=""))


class AnswerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.request = asked()

    def query(self, **fields: str | None) -> str:
        known = {"code": "c0de", "state": self.request.state, "iss": WHO, **fields}
        return urlencode({name: value for name, value in known.items() if value is not None})

    def read(self, **fields: str | None) -> str:
        return read_answer(self.query(**fields), self.request)

    def test_a_code(self) -> None:
        self.assertEqual(self.read(), "c0de")
        self.assertEqual(self.read(code="a b+/="), "a b+/=")

    def test_another_state(self) -> None:
        """It is not for us; the right one may still come."""
        for state in (None, "", "x", self.request.state[:-1], self.request.state + "x"):
            self.assertRaises(NotOurs, self.read, state=state)

    def test_another_issuer(self) -> None:
        """Compared as it stands: no case, no slash, no port is made the same (RFC 9207)."""
        for named in (
            "https://evil.example",
            f"{WHO}/",
            f"{WHO}:443",
            "HTTPS://login.example.com",
            "https://LOGIN.example.com",
            "https://login.example.co%6d",
            "",
        ):
            problem = self.assertRaises(SignInFailed, self.read, iss=named)
            self.assertNotIn("evil", problem.message)

    def test_no_issuer(self) -> None:
        """It is missed only where it would be there."""
        self.assertRaises(SignInFailed, self.read, iss=None)
        self.request = asked(changed(names_itself=False))
        self.assertEqual(self.read(iss=None), "c0de")
        self.assertRaises(SignInFailed, self.read, iss="https://evil.example")

    def test_no(self) -> None:
        """The reason is shown when it comes from who was asked, and is fit to be."""
        problem = self.assertRaises(
            SignInFailed, self.read, code=None, error="access_denied", error_description="Not you"
        )
        self.assertIn("access_denied: Not you", problem.message)
        hostile = {"error": "\x1b[2J", "error_description": "a\nb"}
        problem = self.assertRaises(SignInFailed, self.read, **hostile)
        self.assertIn("(an error)", problem.message)
        problem = self.assertRaises(SignInFailed, self.read, error="x", iss="https://evil.example")
        self.assertNotIn("(x", problem.message)

    def test_no_code(self) -> None:
        for code in (None, "", "a\nb", "x" * 5000, "\x00"):
            self.assertRaises(SignInFailed, self.read, code=code)

    def test_twice(self) -> None:
        """What could be understood in two ways is not ours."""
        for more in ("&code=other", f"&state={self.request.state}", f"&iss={WHO}", "&x=1&x=2"):
            self.assertRaises(NotOurs, read_answer, self.query() + more, self.request)
        for query in ("x" * 9000, "&".join(f"f{n}=" for n in range(40)), "state=%ff"):
            self.assertRaises(NotOurs, read_answer, query, self.request)

    @given(st.text(max_size=200))
    @settings(max_examples=200, deadline=None)
    def test_whatever_comes(self, query: str) -> None:
        """Nobody guesses the state, whatever the query is."""
        self.assertRaises(NotOurs, read_answer, query, self.request)

    @given(st.dictionaries(st.sampled_from(["code", "iss", "error"]), st.text(max_size=50)))
    @settings(max_examples=200, deadline=None)
    def test_whatever_comes_with_the_state(self, fields: dict[str, str]) -> None:
        """A code is only ever had from who was asked."""
        query = urlencode({**fields, "state": self.request.state})
        try:
            code = read_answer(query, self.request)
        except (NotOurs, SignInFailed):
            return
        self.assertEqual((fields["iss"], fields["code"]), (WHO, code))
