"""What clients send browsers to us with: whom it is believed to be of, and what of it."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.addresses import Address, Addresses
from mcptwist.auth.oauth.authorizationrequest import (
    AuthorizationRequest,
    NotSentBack,
    SentBack,
    read_request,
)
from mcptwist.auth.oauth.registrations import CODE, Redirects, register
from tests.auth.browsing import BACK, CHALLENGE
from tests.auth.people import ISSUER

REDIRECTS = Redirects(["https://claude.ai"])
WEBSITE = "https://claude.ai/cb?x=1"
CLIENT = register({"redirect_uris": [BACK, WEBSITE]}, REDIRECTS, [CODE]).client
GOOD = {
    "response_type": "code",
    "client_id": CLIENT.id,
    "redirect_uri": BACK,
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
    "resource": f"{ISSUER}/mcp",
}


def resource(url: str) -> Address | None:
    return Addresses().resource(ISSUER, url)


def read(query: str | bytes) -> AuthorizationRequest:
    raw = query.encode() if isinstance(query, str) else query
    return read_request(raw, ISSUER, REDIRECTS, resource, lambda place: frozenset({"mcp:read"}))


def query(**different: str | None) -> str:
    given = {name: value for name, value in {**GOOD, **different}.items() if value is not None}
    return urlencode(given)


class GoodTests(SynchronousTestCase):
    def test_read(self) -> None:
        asked = read(query(state="a b", scope="mcp:call openid mcp:read"))
        self.assertEqual((asked.issuer, asked.client, asked.redirect_uri), (ISSUER, CLIENT, BACK))
        self.assertEqual((asked.state, asked.challenge), ("a b", CHALLENGE))
        self.assertEqual(asked.resource.url, f"{ISSUER}/mcp")
        self.assertEqual(asked.scopes, {"mcp:call", "mcp:read"})

    def test_key_that_the_code_comes_with(self) -> None:
        self.assertEqual((read(query()).jkt, read(query(dpop_jkt=CHALLENGE)).jkt), ("", CHALLENGE))

    def test_usual_scopes(self) -> None:
        for scope in (None, ""):
            self.assertEqual(read(query(scope=scope)).scopes, {"mcp:read"})

    def test_another_port(self) -> None:
        """RFC 8252 section 7.3; the browser goes to the port that was asked for."""
        asked = read(query(redirect_uri="http://127.0.0.1:1/callback"))
        self.assertEqual(asked.answered(code="x"), f"http://127.0.0.1:1/callback?{told(code='x')}")

    def test_answer(self) -> None:
        """What was in the URI's query stays, and nothing that is answered can be taken apart."""
        asked = read(query(redirect_uri=WEBSITE, state="&code=mine#?"))
        url = asked.answered(code="theirs")
        self.assertTrue(url.startswith(f"{WEBSITE}&"))
        self.assertEqual(
            parse_qsl(urlsplit(url).query),
            [("x", "1"), ("code", "theirs"), ("state", "&code=mine#?"), ("iss", ISSUER)],
        )


def told(**parameters: str) -> str:
    return urlencode({**parameters, "iss": ISSUER})


class RefusedTests(SynchronousTestCase):
    def test_not_sent_back(self) -> None:
        """Where it is not known whose it is, nobody is sent anywhere."""
        for different in (
            {"client_id": None},
            {"client_id": ""},
            {"client_id": "inspector"},
            {"client_id": CLIENT.id + "x"},
            {"redirect_uri": None},
            {"redirect_uri": ""},
            {"redirect_uri": "https://evil.example/"},
            {"redirect_uri": "https://claude.ai/cb"},
            {"redirect_uri": "https://claude.ai/cb?x=1&y=2"},
            {"redirect_uri": "http://localhost:33418/callback"},
            {"redirect_uri": f"{BACK}/"},
            {"redirect_uri": f"{BACK}#x"},
        ):
            self.assertRaises(NotSentBack, read, query(**different))
        for text in (
            "",
            "x",
            f"{query()}&client_id={CLIENT.id}",
            f"{query()}&redirect_uri={BACK}",
            f"{query()}&state=%ff",
            f"{query()}&state={6000 * 'a'}",
            "&".join(f"p{number}=1" for number in range(40)) + "&" + query(),
        ):
            self.assertRaises(NotSentBack, read, text)

    def test_sent_back(self) -> None:
        """The client hears what is wrong, and its own state."""
        for error, different in (
            ("unsupported_response_type", {"response_type": "token"}),
            ("unsupported_response_type", {"response_type": None}),
            ("invalid_request", {"response_mode": "fragment"}),
            ("request_not_supported", {"request": "eyJ"}),
            ("request_not_supported", {"request_uri": "https://evil.example/"}),
            ("invalid_request", {"code_challenge_method": "plain"}),
            ("invalid_request", {"code_challenge_method": None}),
            ("invalid_request", {"code_challenge": None}),
            ("invalid_request", {"code_challenge": "short"}),
            ("invalid_request", {"dpop_jkt": "short"}),
            ("invalid_target", {"resource": None}),
            ("invalid_target", {"resource": ISSUER}),
            ("invalid_target", {"resource": "https://evil.example/mcp"}),
            ("invalid_target", {"resource": f"{ISSUER}/health"}),
            ("invalid_scope", {"scope": "openid"}),
        ):
            problem = self.assertRaises(SentBack, read, query(state="s", **different))
            self.assertEqual(problem.error, error, different)
            self.assertTrue(problem.url.startswith(f"{BACK}?"))
            heard = dict(parse_qsl(urlsplit(problem.url).query))
            self.assertEqual(heard["error"], error)
            self.assertEqual((heard["state"], heard["iss"]), ("s", ISSUER))

    def test_state(self) -> None:
        for state in ("a\nb", "\u00e9", 2049 * "a"):
            problem = self.assertRaises(SentBack, read, query(state=state))
            self.assertNotIn("state", dict(parse_qsl(urlsplit(problem.url).query)))

    @given(
        st.dictionaries(
            st.sampled_from([*GOOD, "state", "scope"]),
            st.none() | st.text(max_size=30) | st.sampled_from([*GOOD.values(), WEBSITE]),
        ),
        st.text(max_size=10),
    )
    @settings(max_examples=250, deadline=None)
    def test_guessed(self, different: dict[str, Any], more: str) -> None:
        """A browser goes nowhere but to what the client has registered."""
        text = query(**different) + more
        try:
            url = read(text.encode("utf-8", "replace")).answered(code="x")
        except NotSentBack:
            return
        except SentBack as problem:
            url = problem.url
        self.assertTrue(url.startswith((f"{BACK}?", f"{WEBSITE}&")), url)
        self.assertTrue(url.isascii() and url.isprintable())
        self.assertEqual(url.count("iss="), 1)
