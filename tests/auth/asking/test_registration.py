"""Who we are to authorization servers."""

from __future__ import annotations

import base64
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.asking.discovery import Issuer
from mcptwist.auth.asking.registration import (
    Client,
    Told,
    is_document,
    known_client,
    read_registration,
    registration,
)
from mcptwist.errors import SignInFailed

WHO = "https://login.example.com"
BACK = "http://127.0.0.1:4711/callback"
DOCUMENT = "https://us.example.com/client.json"
KEPT = Client("kept", redirect=BACK, is_own=True)


def issuer(**members: Any) -> Issuer:
    known = {"registration_endpoint": f"{WHO}/register", **members}
    return Issuer(WHO, f"{WHO}/token", **known)


class OrderTests(SynchronousTestCase):
    def choose(
        self,
        told: Told | None = None,
        kept: Client | None = None,
        now: float = 100,
        **members: Any,
    ) -> Client | None:
        return known_client(issuer(**members), told or Told(), kept, now)

    def test_registered_by_a_person(self) -> None:
        """That comes before everything else."""
        found = self.choose(Told("us"), KEPT, reads_documents=True)
        self.assertEqual(found, Client("us"))

    def test_with_a_secret(self) -> None:
        for methods, method in (
            (None, "client_secret_basic"),
            (("client_secret_post",), "client_secret_post"),
            (("none", "client_secret_post", "client_secret_basic"), "client_secret_basic"),
            (("none",), "client_secret_basic"),
        ):
            found = self.choose(Told("us", "s3cret"), methods=methods)
            self.assertEqual(found, Client("us", "s3cret", method))

    def test_a_document(self) -> None:
        """Where it is read; else we register."""
        self.assertEqual(self.choose(Told(DOCUMENT), reads_documents=True), Client(DOCUMENT))
        self.assertEqual(self.choose(Told(DOCUMENT), KEPT), KEPT)
        self.assertIsNone(self.choose(Told(DOCUMENT)))

    def test_what_is_a_document(self) -> None:
        self.assertTrue(is_document(DOCUMENT))
        for name in ("us", "https://us.example.com", "https://us.example.com/", "http://us/x"):
            self.assertFalse(is_document(name), name)

    def test_ourselves(self) -> None:
        """As before, if that is good still."""
        self.assertEqual(self.choose(kept=KEPT), KEPT)
        self.assertIsNone(self.choose())
        dated = Client("kept", "s", "client_secret_post", BACK, 99, True)
        self.assertIsNone(self.choose(kept=dated))
        self.assertEqual(self.choose(kept=dated, now=98), dated)

    def test_nobody(self) -> None:
        """What to do is said."""
        problem = self.assertRaises(SignInFailed, self.choose, registration_endpoint="")
        self.assertIn("--client-id", problem.message)


class ProofTests(SynchronousTestCase):
    def test_none(self) -> None:
        self.assertEqual(Client("us").proof(), ({"client_id": "us"}, []))

    def test_post(self) -> None:
        form, headers = Client("us", "s", "client_secret_post").proof()
        self.assertEqual((form, headers), ({"client_id": "us", "client_secret": "s"}, []))

    def test_basic(self) -> None:
        """Written as a form is first (RFC 6749 section 2.3.1)."""
        form, headers = Client("a:b", "c d%", "client_secret_basic").proof()
        self.assertEqual(form, {})
        shown = headers[0][1].removeprefix("Basic ")
        self.assertEqual(base64.b64decode(shown), b"a%3Ab:c+d%25")

    def test_shown_nowhere(self) -> None:
        for each in (Client("us", "s3cret", "client_secret_post"), Told("us", "s3cret")):
            self.assertNotIn("s3cret", repr(each))


class RegisteringTests(SynchronousTestCase):
    def test_what_we_say(self) -> None:
        said = registration(issuer(), BACK)
        self.assertEqual(said["redirect_uris"], [BACK])
        self.assertEqual(said["application_type"], "native")
        self.assertEqual(said["grant_types"], ["authorization_code", "refresh_token"])
        self.assertEqual(said["token_endpoint_auth_method"], "none")

    def test_how_we_prove_it(self) -> None:
        """In the simplest way that the server knows."""
        for methods, method in (
            (("client_secret_basic", "none"), "none"),
            (("client_secret_post", "client_secret_basic"), "client_secret_basic"),
            (("client_secret_post",), "client_secret_post"),
            (("private_key_jwt",), "none"),
        ):
            said = registration(issuer(methods=methods), BACK)
            self.assertEqual(said["token_endpoint_auth_method"], method)

    def read(self, asked: dict[str, Any] | None = None, **said: Any) -> Client:
        body = json.dumps({"client_id": "new", **said}).encode()
        return read_registration(body, asked or registration(issuer(), BACK), WHO)

    def test_answers(self) -> None:
        self.assertEqual(self.read(), Client("new", redirect=BACK, is_own=True))
        self.assertEqual(self.read(client_secret="unasked").secret, "")
        post = {"client_secret": "s", "token_endpoint_auth_method": "client_secret_post"}
        found = self.read(**post, client_secret_expires_at=1700)
        self.assertEqual(
            (found.secret, found.method, found.ends), ("s", "client_secret_post", 1700)
        )

    def test_answers_that_are_none(self) -> None:
        for said in (
            {"client_id": None},
            {"client_id": ""},
            {"client_id": "a\nb"},
            {"client_id": "x" * 3000},
            {"token_endpoint_auth_method": "private_key_jwt"},
            {"token_endpoint_auth_method": "client_secret_basic"},
            {"token_endpoint_auth_method": "client_secret_basic", "client_secret": 7},
        ):
            self.assertRaises(SignInFailed, self.read, None, **said)
        for body in (b"", b"[]", b'{"client_id":"a","client_id":"b"}', b"{" * 9000):
            asked = registration(issuer(), BACK)
            self.assertRaises(SignInFailed, read_registration, body, asked, WHO)

    @given(st.binary(max_size=300))
    @settings(max_examples=100, deadline=None)
    def test_whatever_comes(self, body: bytes) -> None:
        try:
            found = read_registration(body, registration(issuer(), BACK), WHO)
        except SignInFailed:
            return
        self.assertTrue(found.is_own)
