"""What servers say of where tokens are to be had, and what of it is believed."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.asking.discovery import (
    Challenge,
    is_page,
    is_safe,
    issuer_documents,
    may_carry,
    read_challenge,
    read_issuer,
    read_resource,
    resource_documents,
)
from mcptwist.errors import SignInFailed

URL = "https://mcp.example.com/public/mcp"
META = "https://mcp.example.com/.well-known/oauth-protected-resource"


class ChallengeTests(SynchronousTestCase):
    def read(self, *values: str) -> Challenge:
        found = read_challenge([value.encode("latin-1") for value in values])
        assert found is not None
        return found

    def test_what_we_say(self) -> None:
        found = self.read(
            f'Bearer realm="mcptwist", resource_metadata="{META}", scope="mcp:read mcp:call", '
            'error="invalid_token", DPoP algs="ES256 EdDSA"'
        )
        wanted = Challenge("bearer", "invalid_token", META, frozenset({"mcp:read", "mcp:call"}))
        self.assertEqual(found, wanted)

    def test_forms(self) -> None:
        for value, metadata in (
            (f"Bearer resource_metadata={META}", META),
            (f'bearer resource_metadata = "{META}"', META),
            (f'Basic realm="x, y", Bearer resource_metadata="{META}"', META),
            (f'Negotiate abc==, DPoP algs="ES256", resource_metadata="{META}"', META),
            ("Bearer", ""),
            ('Bearer realm="\\"quoted\\""', ""),
        ):
            self.assertEqual(self.read(value).metadata, metadata, value)

    def test_several_lines(self) -> None:
        found = self.read('DPoP error="use_dpop_nonce"', f'Bearer resource_metadata="{META}"')
        self.assertEqual(found, Challenge("dpop", "use_dpop_nonce", META))

    def test_none_of_ours(self) -> None:
        for values in ([], [b""], [b"Basic realm=x"], [b'"', b"=,=", b'realm="Bearer x"']):
            self.assertIsNone(read_challenge(values))

    @given(st.lists(st.binary(max_size=200), max_size=3))
    @settings(max_examples=200, deadline=None)
    def test_whatever_comes(self, values: list[bytes]) -> None:
        found = read_challenge(values)
        self.assertTrue(found is None or found.scheme in ("bearer", "dpop"))


class ResourceTests(SynchronousTestCase):
    def test_where(self) -> None:
        self.assertEqual(resource_documents(URL, None), [f"{META}/public/mcp", META])
        self.assertEqual(resource_documents("https://mcp.example.com", None), [META])
        named = Challenge("bearer", metadata="https://mcp.example.com/elsewhere")
        self.assertEqual(resource_documents(URL, named), ["https://mcp.example.com/elsewhere"])

    def test_elsewhere(self) -> None:
        """Metadata are asked for at the server's own origin only."""
        for place in (
            "https://evil.example/x",
            "http://mcp.example.com/x",
            "https://mcp.example.com:444/x",
            "https://mcp.example.com.evil.example/",
            "https://mcp.example.com@evil.example/",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "https://mcp.example.com/a\r\nb",
        ):
            named = Challenge("bearer", metadata=place)
            self.assertRaises(SignInFailed, resource_documents, URL, named)

    def read(self, **members: Any) -> Any:
        found = {"resource": URL, "authorization_servers": ["https://login.example.com"]}
        return read_resource(json.dumps({**found, **members}).encode(), URL)

    def test_read(self) -> None:
        found = self.read(scopes_supported=["a", "b c", 3])
        self.assertEqual(
            (found.url, found.issuers, found.scopes),
            (URL, ("https://login.example.com",), frozenset({"a"})),
        )
        for wider in ("https://mcp.example.com", "https://mcp.example.com/public"):
            self.assertEqual(self.read(resource=wider).url, wider)

    def test_of_something_else(self) -> None:
        for members in (
            {"resource": "https://evil.example/mcp"},
            {"resource": "https://mcp.example.com/pub"},
            {"resource": "https://mcp.example.com/public/mcp/more"},
            {"resource": "https://mcp.example.com/public/mcp?x"},
            {"resource": None},
            {"authorization_servers": []},
            {"authorization_servers": "https://login.example.com"},
            {"authorization_servers": ["http://login.example.com", "file:///x", "https://a@b/", 1]},
        ):
            self.assertRaises(SignInFailed, self.read, **members)
        for document in (b"", b"[]", b'{"a":1,"a":1}', b"\xff", b"{" * 5000):
            self.assertRaises(SignInFailed, read_resource, document, URL)


class IssuerTests(SynchronousTestCase):
    def test_where(self) -> None:
        """In the order that MCP has."""
        base = "https://auth.example.com"
        well_known = ("oauth-authorization-server", "openid-configuration")
        oauth, openid = (f"/.well-known/{name}" for name in well_known)
        self.assertEqual(issuer_documents(base), [base + oauth, base + openid])
        self.assertEqual(
            issuer_documents(f"{base}/tenant1"),
            [f"{base}{oauth}/tenant1", f"{base}{openid}/tenant1", f"{base}/tenant1{openid}"],
        )

    def read(self, url: str = URL, **members: Any) -> Any:
        found = {"issuer": "https://a.example", "token_endpoint": "https://a.example/token"}
        document = {name: value for name, value in {**found, **members}.items() if value != ""}
        return read_issuer(json.dumps(document).encode(), "https://a.example", url)

    def test_read(self) -> None:
        found = self.read(dpop_signing_alg_values_supported=["ES256"])
        self.assertEqual(found.token_endpoint, "https://a.example/token")
        self.assertEqual(found.dpop, ("ES256",))

    def test_refused(self) -> None:
        for members in (
            {"issuer": "https://honest.example"},
            {"issuer": "https://a.example/"},
            {"token_endpoint": ""},
            {"token_endpoint": "http://a.example/token"},
            {"token_endpoint": "http://127.0.0.1/token"},
            {"token_endpoint": "-oProxyCommand=x"},
            {"token_endpoint": "https://a.example/$(x)\n"},
        ):
            self.assertRaises(SignInFailed, self.read, **members)

    def test_ways(self) -> None:
        """By which ways tokens are to be had: what is not said is not ruled out."""
        methods, grants = "token_endpoint_auth_methods_supported", "grant_types_supported"
        page = {"authorization_endpoint": "https://a.example/authorize"}
        for members, keys, secrets, people in (
            ({}, True, True, False),
            (page, True, True, True),
            ({methods: ["private_key_jwt"]}, True, False, False),
            ({methods: ["client_secret_basic"]}, False, True, False),
            ({methods: ["none"], **page}, False, False, True),
            ({grants: ["authorization_code"], **page}, False, False, True),
            ({grants: ["authorization_code"]}, False, False, False),
            ({grants: ["client_credentials"], **page}, True, True, False),
        ):
            found = self.read(**members)
            ways = (found.takes_keys, found.takes_secrets, found.takes_people)
            self.assertEqual(ways, (keys, secrets, people), members)
            self.assertEqual(found.names_keys, keys and methods in members)

    def test_places_nobody_goes_to(self) -> None:
        """An endpoint that is none is not there (F3)."""
        for name in ("authorization_endpoint", "registration_endpoint", "revocation_endpoint"):
            for place in (
                "javascript:alert(1)",
                "file:///etc/passwd",
                "data:text/html,x",
                "-oProxyCommand=x",
                "--help",
                "http://a.example/authorize",
                "http://127.0.0.1/authorize",
                "https://a.example@evil.example/",
                "https://a.example/#x",
                "https://a.example/ x",
                "https://a.example/$(x)\n",
                ["https://a.example/"],
                "",
            ):
                self.assertEqual(getattr(self.read(**{name: place}), name), "", place)
            good = "https://login.a.example/x?y=z"
            self.assertEqual(getattr(self.read(**{name: good}), name), good)

    def test_pages(self) -> None:
        """What a browser is sent to."""
        self.assertTrue(is_page("https://a.example/x?y=" + "z" * 4000))
        self.assertTrue(is_page("http://127.0.0.1:9/x?y=z"))
        for url in ("", "-x", "http://a.example/", "https://a.example/\n", "file:///x?http://"):
            self.assertFalse(is_page(url), url)

    def test_this_machine(self) -> None:
        """There, nobody is in between; but only for a server that is here too."""
        self.assertTrue(is_safe("http://localhost:9/x", "http://127.0.0.1:8808/mcp"))
        self.assertFalse(is_safe("http://localhost:9/x", "https://mcp.example.com/mcp"))
        self.assertTrue(may_carry("http://[::1]:8808/mcp"))
        self.assertTrue(may_carry("wss://mcp.example.com/ws"))
        self.assertFalse(may_carry("http://mcp.example.com/mcp"))
        self.assertFalse(may_carry("ws://192.0.2.1/ws"))
