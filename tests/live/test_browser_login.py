"""A real browser at the page where people log clients in."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import Site

from mcptwist.auth.gatehouse import Gatehouse
from mcptwist.auth.oauth.people import People
from mcptwist.auth.oauth.registrations import CODE, Redirects, register
from mcptwist.protocols.http2 import HTTP2Connection
from tests.auth.browsing import CHALLENGE
from tests.auth.people import key
from tests.live import browser
from tests.live.test_browser import BrowserTestCase
from tests.live.test_children import in_reactor


class Client(Resource):
    """Where the browser comes back to, and a page that has another in it.

    :param heard: called with the query that the browser comes back with.
    """

    isLeaf = True
    framed = ""

    def __init__(self, heard: Callable[[dict[str, str]], None]) -> None:
        super().__init__()
        self._heard = heard

    def render_GET(self, request: Any) -> bytes:
        if request.path == b"/callback":
            self._heard(dict(parse_qsl(urlsplit(request.uri.decode()).query)))
            return b"This page may be closed."
        if request.path == b"/framing":
            return f'<iframe src="{self.framed}"></iframe>'.encode()
        return b""


class LoginTests(BrowserTestCase):
    def settings(self) -> dict[str, Any]:
        self.place = Path(self.mktemp()).resolve()
        self.place.mkdir(mode=0o700)
        authorized = self.place / "authorized_keys"
        authorized.touch(0o600)
        authorized.write_text(f'scope="mcp:read mcp:call" {key().public.words()} alice@here\n')
        self.audit = self.place / "audit.jsonl"
        auth = {
            "authorized_keys": os.fspath(authorized),
            "audit_log": os.fspath(self.audit),
            "people": True,
        }
        self.back: Deferred[dict[str, str]] = Deferred()
        self.client = Client(self.back.callback)
        site: Any = Site(self.client)
        site.log = lambda request: None  # it is sent codes in its URL
        listening: Any = reactor.listenTCP(0, site, interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(listening.stopListening)
        self.origin = f"http://127.0.0.1:{listening.getHost().port}"
        return {**super().settings(), "auth": auth}

    @property
    def gatehouse(self) -> Gatehouse:
        (found,) = [each for each in self.daemon if isinstance(each, Gatehouse)]
        return found

    @property
    def people(self) -> People:
        found = self.gatehouse.people
        assert found is not None
        return found

    def authorize_url(self) -> str:
        """What the client has the browser open."""
        back = f"{self.origin}/callback"
        client = register({"redirect_uris": [back]}, Redirects(), [CODE]).client
        asked = {
            "response_type": "code",
            "client_id": client.id,
            "redirect_uri": back,
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            "resource": f"{self.url}/mcp",
            "state": "state",
        }
        return f"{self.url}/oauth/authorize?{urlencode(asked)}"

    def opened(self, url: str) -> None:
        chromium = browser.Browser(url, self.flags)
        self.addCleanup(chromium.close)

    def when(self, method: str) -> Deferred[None]:
        """As soon as the desk of browsers has done that."""
        done: Deferred[None] = Deferred()
        desk = self.people.browsers
        do = getattr(desk, method)

        def noted(*arguments: Any) -> None:
            do(*arguments)
            if not done.called:
                done.callback(None)

        self.patch(desk, method, noted)
        return done

    @in_reactor
    async def test_logs_in(self) -> None:
        """The page is shown, asks by itself with its cookie, and goes on."""
        asks = self.when("_hold")
        self.opened(self.authorize_url())
        await asks
        (pending,) = self.people.approvals.waiting()
        (grant,) = self.gatehouse.books.keyring
        self.people.approvals.approve(pending, grant, frozenset({"mcp:read"}))
        heard = await self.back
        self.assertTrue(heard["code"].startswith("mcp_ac_"))
        self.assertEqual((heard["state"], heard["iss"]), ("state", self.url))

    @in_reactor
    async def test_client_in_a_page(self) -> None:
        """As the inspector is: it may read what it has to, and do all of it by itself."""
        asks, report = self.when("_hold"), self.friend.next_report()
        self.opened(f"{self.friend.origin()}/login.html?daemon={self.url}")
        await asks
        (pending,) = self.people.approvals.waiting()
        self.assertEqual(pending.wanted.host, f"127.0.0.1:{self.friend.port}")
        (grant,) = self.gatehouse.books.keyring
        self.people.approvals.approve(pending, grant, pending.wanted.scopes)
        found = {"status": 200, "scope": "mcp:read mcp:call", "renewed": True, "issuer": True}
        self.assertEqual(await report, found)

    @in_reactor
    async def test_framed(self) -> None:
        """B12: a page that shows it within itself gets nothing that could be clicked on."""
        refused = self.when("_refuse")
        self.client.framed = self.authorize_url().replace("&", "&amp;")
        self.opened(f"{self.origin}/framing")
        await refused
        self.assertEqual(len(self.people.approvals), 0)
        self.assertIn('"event":"auth.login.refused"', self.audit.read_text())


class EncryptedLoginTests(LoginTests):
    """The same encrypted, where cookies have the prefix that keeps others from setting them."""

    endpoint = "https:0:interface=127.0.0.1"
    flags = ("--ignore-certificate-errors",)
    connection = HTTP2Connection
