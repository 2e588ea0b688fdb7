"""A person's browser, and the client that sent it to the daemon; for tests."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from mcptwist.auth.keys import to_base64url
from mcptwist.auth.oauth.approvals import Pending
from tests.auth.approving import PeopleCase
from tests.auth.closed import BASE, FORM, MCP
from tests.conversations.posting import Response, encode_json

BACK = "http://127.0.0.1:33418/callback"
VERIFIER = "the-verifier-of-a-test-" + 24 * "v"
CHALLENGE = to_base64url(hashlib.sha256(VERIFIER.encode()).digest())


class Browser:
    """Keeps cookies, and shows pages.

    :param base: of the daemon.
    """

    def __init__(self, house: Any, base: str = BASE) -> None:
        self.house = house
        self.base = base
        self.cookies: dict[str, str] = {}
        self._places: dict[str, str] = {}
        self.set: list[str] = []

    def get(self, url: str, **headers: str | None) -> Response:
        """One page; whatever it answers."""
        path = url.removeprefix(self.base)
        cookie = "; ".join(
            f"{name}={value}"
            for name, value in self.cookies.items()
            if path.startswith(self._places.get(name, "/"))
        )
        sent = {
            "Sec-Fetch-Mode": "navigate",
            "Sec-Fetch-Dest": "document",
            "Cookie": cookie or None,
            **{name.title().replace("_", "-"): value for name, value in headers.items()},
        }
        response: Response = self.house.request("GET", path, sent)
        self.heed(response)
        return response

    def heed(self, response: Response) -> None:
        """Keep the cookies that an answer sets."""
        for line in response.wire.value().split(b"\r\n\r\n")[0].decode().split("\r\n"):
            name, _, value = line.partition(": ")
            if name.lower() == "set-cookie":
                self.set.append(value)
                pair, _, attributes = value.partition("; ")
                key, _, held = pair.partition("=")
                self.cookies[key] = held
                self._places[key] = attributes.partition("Path=")[2].partition(";")[0]
                if "Max-Age=0" in attributes:
                    del self.cookies[key]


class BrowserCase(PeopleCase):
    """A test with a registered client, and a browser.

    :ivar client_id: of the client.
    """

    def setUp(self) -> None:
        super().setUp()
        self.browser = Browser(self.house)
        self.client_id: str = self.register().json["client_id"]

    def register(self, **different: Any) -> Response:
        document = {"redirect_uris": [BACK], "client_name": "Inspector", **different}
        body = encode_json({name: each for name, each in document.items() if each is not None})
        json = {"Content-Type": "application/json"}
        return self.house.request("POST", "/oauth/register", json, body)

    def query(self, **different: str | None) -> str:
        """The path that the client opens in the browser; what is ``None`` is left out."""
        asked = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": BACK,
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            "resource": MCP,
            "scope": "mcp:read mcp:call",
            "state": "the state of it",
            **different,
        }
        given = {name: value for name, value in asked.items() if value is not None}
        return f"/oauth/authorize?{urlencode(given)}"

    def begin(self, **different: str | None) -> tuple[Pending, str]:
        """What waits then, and the page where the browser does."""
        response = self.browser.get(self.query(**different))
        self.assertEqual(response.status, 303, response.wire.value())
        return self.approvals.waiting()[-1], response.headers["location"]

    def back(self, response: Response) -> dict[str, str]:
        """What the client hears when the browser is sent back to it."""
        self.assertEqual(response.status, 303, response.wire.value())
        location = response.headers["location"]
        self.assertTrue(location.startswith(f"{BACK}?"), location)
        pairs = parse_qsl(urlsplit(location).query, strict_parsing=True)
        self.assertEqual(len(pairs), len(dict(pairs)))
        return dict(pairs)

    def code(self, **different: str | None) -> str:
        """A code, approved by alice."""
        pending, page = self.begin(**different)
        self.assertEqual(self.approve(self.alice, pending).status, 200)
        return self.back(self.browser.get(page))["code"]

    def token(self, **form: str | None) -> Response:
        """Ask for tokens."""
        headers = {"Content-Type": FORM, "Dpop": form.pop("dpop", None)}
        asked = {"client_id": self.client_id, "resource": MCP, **form}
        given = {name: value for name, value in asked.items() if value is not None}
        body = urlencode(given).encode()
        return self.house.request("POST", "/oauth/token", headers, body)

    def redeem(self, code: str, **different: str | None) -> Response:
        """Bring a code."""
        asked: dict[str, str | None] = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": BACK,
            "code_verifier": VERIFIER,
        }
        return self.token(**asked | different)

    def renew(self, refresh: str, **different: str | None) -> Response:
        """Bring a refresh token."""
        return self.token(**{"grant_type": "refresh_token", "refresh_token": refresh, **different})

    def assert_no_grant(self, response: Response, error: str = "invalid_grant") -> None:
        """The token endpoint says no, and why is in the audit log and nowhere else."""
        self.assertEqual((response.status, response.json), (400, {"error": error}))
        self.assertEqual(self.house.events("auth.token.refused")[-1]["error"], error)
        self.assert_audited()
        self.assert_unseen()

    def assert_nothing_secret(self) -> None:
        super().assert_nothing_secret()
        said = "\n".join(self.logged) + b"".join(self.house.lines).decode()
        for secret in ("mcp_ac_", "mcp_rt_", VERIFIER, *self.browser.cookies.values()):
            self.assertNotIn(secret, said)
