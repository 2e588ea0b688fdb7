"""What a token endpoint is asked, and what is made of its answers, which may say anything."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.asking.discovery import Issuer
from mcptwist.auth.asking.inquiry import Document
from mcptwist.auth.asking.possession import Possession
from mcptwist.auth.asking.tokenendpoint import Granted, Refused, TokenEndpoint, reason
from mcptwist.auth.jws import read_jws
from mcptwist.errors import McpTwistError, SignInFailed
from tests.auth.people import NOW

WHO = Issuer("https://login.example.com", "https://login.example.com/token")


class Answering:
    """An inquiry that is answered as was written down before.

    :ivar sent: where what was sent, with which headers.
    """

    def __init__(self, *answers: Document) -> None:
        self.answers = list(answers)
        self.sent: list[tuple[str, dict[str, str], dict[str, str]]] = []

    async def send_form(self, url: str, form: dict[str, str], headers: Any = ()) -> Document:
        self.sent.append((url, form, dict(headers)))
        return self.answers.pop(0)


def document(said: Any, status: int = 200, nonce: str = "") -> Document:
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    return Document(status, body, nonce)


class EndpointCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.forms = 0
        self.possession = Possession(lambda: NOW, lambda size: self.forms.to_bytes(size, "big"))

    async def form(self) -> Any:
        self.forms += 1
        return {"n": str(self.forms)}, [("x-form", str(self.forms))]

    def ask(self, *answers: Document, algorithm: str = "") -> Granted:
        self.inquiry = Answering(*answers)
        inquiry: Any = self.inquiry
        endpoint = TokenEndpoint(inquiry, self.possession)
        asked = endpoint.ask(WHO, self.form, algorithm)
        granted: Granted = self.successResultOf(Deferred.fromCoroutine(asked))
        self.assertEqual(self.inquiry.answers, [])
        return granted

    def failed(self, *answers: Document, algorithm: str = "") -> SignInFailed:
        inquiry: Any = Answering(*answers)
        asked = TokenEndpoint(inquiry, self.possession).ask(WHO, self.form, algorithm)
        problem = self.failureResultOf(Deferred.fromCoroutine(asked), SignInFailed).value
        assert isinstance(problem, SignInFailed)
        return problem

    def granted(self, algorithm: str = "", **different: Any) -> Granted:
        said = {"access_token": "t0ken", "token_type": "Bearer", "expires_in": 60, **different}
        said = {name: value for name, value in said.items() if value is not None}
        return self.ask(document(said), algorithm=algorithm)

    def useless(self, algorithm: str = "", **different: Any) -> str:
        said = {"access_token": "t0ken", "token_type": "Bearer", **different}
        problem = self.failed(document(said), algorithm=algorithm)
        self.assertNotIsInstance(problem, Refused)
        return str(problem)


class GrantedTests(EndpointCase):
    """Tokens."""

    def test_bearer(self) -> None:
        granted = self.granted()
        self.assertEqual((granted.token, granted.proof, granted.lifetime), ("t0ken", "", 60))
        self.assertNotIn("dpop", self.inquiry.sent[0][2])

    def test_bound(self) -> None:
        """A server that does not bind is believed when it says so."""
        self.assertEqual(self.granted("ES256", token_type="dpop").proof, "ES256")
        self.assertIn("dpop", self.inquiry.sent[0][2])
        self.assertEqual(self.granted("ES256").proof, "")

    def test_lifetimes(self) -> None:
        """Whatever is said of it: a second at least, and not for ever."""
        for said, seconds in (
            (None, 300), ("60", 300), (True, 300), ([], 300), (1.9, 1), (0, 1), (-5, 1), (2, 2),
            (10**30, 86400 * 30), (1e300, 86400 * 30),
        ):  # fmt: skip
            self.assertEqual(self.granted(expires_in=said).lifetime, seconds, said)

    def test_scopes(self) -> None:
        """Nothing said of them: they are those that were asked for (RFC 6749 section 5.1)."""
        self.assertIsNone(self.granted().scopes)
        self.assertIsNone(self.granted(scope=["a"]).scopes)
        self.assertEqual(self.granted(scope="a b").scopes, {"a", "b"})

    def test_words(self) -> None:
        """What stands beside the token is taken where it could be sent again."""
        for said, word in (("r", "r"), (None, ""), (5, ""), ("a b", ""), ("a\n", ""), ("", "")):
            self.assertEqual(self.granted(refresh_token=said).word("refresh_token"), word)

    def test_not_shown(self) -> None:
        self.assertNotIn("t0ken", f"{self.granted()!r}")

    def test_no_tokens(self) -> None:
        """What would break a header, or be another."""
        for token in (5, None, "", "a b", "a\r\nx: y", "t\u00f6ken", "t" * 16385):
            self.assertIn("no token", self.useless(access_token=token))
        self.assertEqual(self.granted(access_token="t" * 16384).token, "t" * 16384)
        self.assertIn("no token", self.useless(token_type=None))
        for kind in ("mac", "", "dpop"):
            self.assertIn("a kind", self.useless(token_type=kind))
        self.assertIn("a kind", self.useless("ES256", token_type="mac"))
        for body in (b"", b"[]", b"{", b'{"access_token": "a", "access_token": "b"}'):
            self.assertIn("no token", str(self.failed(document(body))))

    def test_only_200(self) -> None:
        said = {"access_token": "t0ken", "token_type": "Bearer"}
        self.assertIn("(201,", str(self.failed(document(said, 201))))


class RefusedTests(EndpointCase):
    """Refusals, and the one after which we ask again."""

    def test_refused(self) -> None:
        problem = self.failed(document({"error": "invalid_grant", "error_description": "x"}, 400))
        assert isinstance(problem, Refused)
        self.assertEqual(problem.error, "invalid_grant")
        self.assertIn("(400, invalid_grant: x)", str(problem))
        advised = problem.advised("do this")
        self.assertEqual(advised.error, "invalid_grant")
        self.assertTrue(str(advised).endswith("; do this"))

    def test_reasons(self) -> None:
        """Words of somebody else's: short, and harmless on a terminal."""
        for said, told in (
            ({}, "no reason"),
            (b"<html>", "no reason"),
            ({"error": 5, "error_description": ["x"]}, "no reason"),
            ({"error": "a\x1b[2J"}, "no reason"),
            ({"error": "a", "error_description": "b\nc"}, "a"),
            ({"error_description": "b"}, "b"),
            ({"error": "a" * 500}, "a" * 300),
        ):
            self.assertEqual(reason(document(said, 400)), told)

    def test_nonce(self) -> None:
        """With the nonce it asks for, and a form of its own: assertions are good once."""
        wants = document({"error": "use_dpop_nonce"}, 400, "n0nce")
        good = document({"access_token": "t", "token_type": "DPoP"}, nonce="next")
        self.assertEqual(self.ask(wants, good, algorithm="ES256").proof, "ES256")
        (_, first, _), (url, second, headers) = self.inquiry.sent
        self.assertEqual((url, first, second), (WHO.token_endpoint, {"n": "1"}, {"n": "2"}))
        self.assertEqual(headers["x-form"], "2")
        claims = read_jws(headers["dpop"], 4096, frozenset({"jwk"})).claims
        self.assertEqual((claims["nonce"], claims["htu"]), ("n0nce", WHO.token_endpoint))
        self.assertFalse(self.possession.notice(WHO.token_endpoint, "next"))

    def test_nonce_once(self) -> None:
        """One that is never content is not asked for ever."""
        wants = document({"error": "use_dpop_nonce"}, 401, "n0nce")
        problem = self.failed(wants, wants, algorithm="ES256")
        assert isinstance(problem, Refused)
        self.assertEqual(problem.error, "use_dpop_nonce")

    def test_nonce_for_nothing(self) -> None:
        """Nor is who asks for one where we prove nothing, or says something else by it."""
        wants = document({"error": "use_dpop_nonce"}, 400, "n0nce")
        self.assertIsInstance(self.failed(wants), Refused)
        late = document({"error": "use_dpop_nonce"}, 503, "n0nce")
        self.assertIsInstance(self.failed(late, algorithm="ES256"), Refused)
        other = document({"error": "invalid_client"}, 401, "n0nce")
        self.assertIsInstance(self.failed(other, algorithm="ES256"), Refused)


class AnythingTests(EndpointCase):
    """Whatever it says, a token comes of it that can be sent, or an error of ours."""

    @given(st.integers(200, 599), st.binary(max_size=60))
    @example(200, b'{"access_token":"\\ud800","token_type":"bearer"}')
    @example(400, b'{"error":"\\ud800"}')
    @example(200, b'{"access_token":"t","token_type":"bearer","expires_in":1e999}')
    @settings(max_examples=60, deadline=None)
    def test_anything(self, status: int, body: bytes) -> None:
        inquiry: Any = Answering(document(body, status), document(body, status))
        asked = TokenEndpoint(inquiry, self.possession).ask(WHO, self.form, "ES256")
        found: list[Any] = []
        Deferred.fromCoroutine(asked).addBoth(found.append)
        if isinstance(found[0], Granted):
            found[0].token.encode("ascii")
        else:
            str(found[0].trap(McpTwistError) and found[0].value).encode()
