"""Clients that register themselves: what they may say, and what their ids say of them."""

from __future__ import annotations

import string
from typing import Any
from urllib.parse import urlsplit

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.oauth.registrations import (
    CODE,
    DEVICE,
    INVALID_METADATA,
    INVALID_REDIRECT,
    LONGEST_ID,
    REFRESH,
    Redirects,
    Registration,
    RegistrationRefused,
    client_of,
    register,
)

GRANTS = (CODE, REFRESH)
LOCAL = "http://127.0.0.1:33418/callback"
NAMED = Redirects(["https://claude.ai", "cursor://anysphere.cursor-retrieval"])
SAFE = set(string.ascii_letters + string.digits + "-_.")


def registered(redirects: Redirects = NAMED, **different: Any) -> Registration:
    document = {"redirect_uris": [LOCAL], "client_name": "MCP Inspector", **different}
    return register(document, redirects, GRANTS)


class RedirectTests(SynchronousTestCase):
    def test_programs_on_the_same_machine(self) -> None:
        """The port does not count, all else does."""
        for host in ("127.0.0.1", "[::1]", "localhost"):
            first = NAMED.plain(f"http://{host}:33418/cb?x=1")
            self.assertEqual(first, NAMED.plain(f"http://{host}:1/cb?x=1"))
            self.assertEqual(first, NAMED.plain(f"http://{host}/cb?x=1"))
            self.assertNotEqual(first, NAMED.plain(f"http://{host}:33418/cb?x=2"))
            self.assertNotEqual(first, NAMED.plain(f"http://{host}:33418/cb/?x=1"))

    def test_named(self) -> None:
        for uri in ("https://claude.ai/api/callback", "cursor://anysphere.cursor-retrieval/a/b"):
            self.assertEqual(NAMED.plain(uri), uri)

    def test_nowhere(self) -> None:
        """Nothing that could be understood as something else, either."""
        for uri in (
            "https://evil.example/cb",
            "https://claude.ai.evil.example/cb",
            "https://claude.ai@evil.example/cb",
            "https://claude.ai:444/cb",
            "http://claude.ai/cb",
            "http://127.0.0.1.evil.example/cb",
            "http://127.0.0.1@evil.example/cb",
            "http://evil.example#@127.0.0.1/cb",
            "http://127.0.0.1:1@evil.example/",
            "http://127.0.0.1\\@evil.example/",
            "http://127.0.0.2/cb",
            "http://LOCALHOST/cb",
            "http://localhost./cb",
            "https://localhost/cb",
            "http://localhost:99999999/cb",
            "http://localhost/cb#fragment",
            "http://localhost/cb\r\nSet-Cookie: a=b",
            "http://localhost/c b",
            "http://localhost/'",
            'http://localhost/"',
            "http://localhost/<b>",
            "http://localhost/\u00e9",
            "//localhost/cb",
            "/cb",
            "",
            "javascript:alert(1)",
            "javascript://localhost/%0aalert(1)",
            "data:text/html,hello",
            "cursor://elsewhere/a",
            "http://localhost/" + 600 * "a",
        ):
            self.assertIsNone(NAMED.plain(uri), uri)


class RegistrationTests(SynchronousTestCase):
    def refused(self, **different: Any) -> str:
        return self.assertRaises(RegistrationRefused, registered, **different).error

    def test_told(self) -> None:
        """RFC 7591 section 3.2.1."""
        told = registered().told(1_800_000_000.7)
        client_id = told.pop("client_id")
        self.assertRegex(client_id, r"\AMCP-Inspector\.[A-Za-z0-9_-]{16}\Z")
        self.assertEqual(
            told,
            {
                "client_id_issued_at": 1_800_000_000,
                "client_name": "MCP-Inspector",
                "redirect_uris": [LOCAL],
                "grant_types": [CODE, REFRESH],
                "response_types": ["code"],
                "token_endpoint_auth_method": "none",
            },
        )

    def test_the_id_is_the_registration(self) -> None:
        """It says the same after a restart, and of no URI but those that were registered."""
        made = registered(redirect_uris=[LOCAL, "https://claude.ai/cb"]).client
        found = client_of(made.id)
        assert found is not None
        self.assertEqual(found, made)
        for uri, leads in (
            ("http://127.0.0.1:5/callback", True),
            ("https://claude.ai/cb", True),
            ("http://127.0.0.1:5/callback2", False),
            ("https://claude.ai/cb/", False),
        ):
            self.assertEqual(found.leads_to(NAMED.plain(uri) or ""), leads, uri)

    def test_none_that_was_given_out(self) -> None:
        for client_id in ("", ".", "a b", "a.short", "a." + 17 * "x", "a" * 41, "a\n", "<b>"):
            self.assertIsNone(client_of(client_id), client_id)

    def test_foreign_redirects_are_left_out(self) -> None:
        """Some clients register all they might use; those that may be used will do."""
        made = registered(redirect_uris=["https://vscode.dev/redirect", LOCAL])
        self.assertEqual(made.redirect_uris, (LOCAL,))
        self.assertEqual(self.refused(redirect_uris=["https://evil.example/"]), INVALID_REDIRECT)
        self.assertEqual(self.refused(redirect_uris=[]), INVALID_REDIRECT)
        self.assertEqual(self.refused(redirect_uris=None), INVALID_REDIRECT)
        self.assertEqual(self.refused(redirect_uris="http://localhost/"), INVALID_REDIRECT)
        self.assertEqual(self.refused(redirect_uris=[{}]), INVALID_REDIRECT)

    def test_many_redirects(self) -> None:
        uris = [f"http://localhost/{number}" for number in range(50)]
        made = registered(redirect_uris=uris)
        self.assertEqual(made.redirect_uris, tuple(uris[:8]))
        self.assertEqual(client_of(made.client.id), made.client)

    def test_grants(self) -> None:
        self.assertEqual(self.refused(grant_types=["implicit"]), INVALID_METADATA)
        self.assertEqual(self.refused(grant_types=[]), INVALID_METADATA)
        self.assertEqual(self.refused(grant_types=[1]), INVALID_METADATA)
        self.assertEqual(self.refused(grant_types="authorization_code"), INVALID_METADATA)
        self.assertEqual(self.refused(response_types=["token"]), INVALID_METADATA)
        made = registered(grant_types=[CODE, "password"], token_endpoint_auth_method="x")
        self.assertEqual(made.grant_types, GRANTS)

    def test_devices(self) -> None:
        """They have no browser to send back."""
        made = register({"grant_types": [DEVICE], "client_name": "tv"}, NAMED, (*GRANTS, DEVICE))
        self.assertEqual((made.client.id, made.redirect_uris), ("tv", ()))
        self.assertEqual(made.told(0)["response_types"], [])

    def test_names(self) -> None:
        """Whatever a client calls itself, it can be shown."""
        for name, shown in (
            ("<script>alert(1)</script>", "script-alert-1-script"),
            ("\u202egnp.exe", "gnp-exe"),
            ("\u0441laude", "laude"),
            ("  ", "client"),
            (None, "client"),
            (7, "client"),
            (100 * "a", 40 * "a"),
        ):
            self.assertEqual(registered(client_name=name).client.name, shown)

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=20),
            lambda inner: (
                st.lists(inner, max_size=4)
                | st.dictionaries(
                    st.sampled_from(
                        ["redirect_uris", "client_name", "grant_types", "response_types"]
                    )
                    | st.text(max_size=5),
                    inner | st.just([LOCAL]) | st.just([CODE]),
                    max_size=5,
                )
            ),
            max_leaves=12,
        )
    )
    @settings(max_examples=150, deadline=None)
    def test_guessed(self, document: Any) -> None:
        """Nothing breaks, and what is registered can be shown and leads nowhere foreign."""
        if not isinstance(document, dict):
            return
        try:
            made = register(document, Redirects(), GRANTS)
        except RegistrationRefused:
            return
        self.assertLessEqual(set(made.client.id), SAFE)
        self.assertLessEqual(len(made.client.id), LONGEST_ID)
        self.assertEqual(client_of(made.client.id), made.client)
        for uri in made.redirect_uris:
            self.assertRegex(uri, r"\Ahttp://(127\.0\.0\.1|\[::1\]|localhost)(?:[:/?]|\Z)")

    @given(st.text(max_size=40))
    @settings(max_examples=200, deadline=None)
    def test_guessed_redirects(self, rest: str) -> None:
        """Whatever comes after a loopback host, the host it is."""
        plain = Redirects().plain(f"http://localhost{rest}")
        if plain is not None:
            self.assertEqual(urlsplit(f"http://localhost{rest}").hostname, "localhost")
            self.assertEqual(urlsplit(plain).netloc, "localhost")
