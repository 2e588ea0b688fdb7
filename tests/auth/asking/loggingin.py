"""A server that people log in at, and a person who does."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.asking.inquiry import Inquiry, Ways
from mcptwist.auth.asking.login import Login, Person
from mcptwist.auth.asking.logout import Logout
from mcptwist.auth.asking.possession import Possession
from mcptwist.auth.asking.redirect import Redirect
from mcptwist.auth.asking.registration import Told
from mcptwist.auth.asking.signin import Credentials, SignIn
from mcptwist.auth.asking.tokensource import TokenSource
from mcptwist.auth.asking.wallet import Wallet
from mcptwist.auth.keys import to_base64url
from mcptwist.errors import SignInFailed
from mcptwist.protocols.upstream import Upstream
from tests.auth.elsewhere import ISSUER, PLACE, SERVER, Answer, Asked, Elsewhere
from tests.auth.people import NOW

TOKEN, REGISTER, REVOKE = f"{ISSUER}/token", f"{ISSUER}/register", f"{ISSUER}/revoke"
PAGE = f"{ISSUER}/authorize"
METADATA = f"{SERVER}/.well-known/oauth-protected-resource/mcp"
ABOUT = f"{ISSUER}/.well-known/oauth-authorization-server"
CHALLENGE = {"www-authenticate": f'Bearer resource_metadata="{METADATA}", scope="read call"'}


class People:
    """An authorization server that people log in at, and the server it is for.

    :ivar given: tokens, the newest last.
    :ivar codes: what each code was given for, until it is used.
    """

    def __init__(self) -> None:
        self.there = Elsewhere()
        self.protected: dict[str, Any] = {"resource": PLACE, "authorization_servers": [ISSUER]}
        self.metadata: dict[str, Any] = {
            "issuer": ISSUER, "token_endpoint": TOKEN, "authorization_endpoint": PAGE,
            "registration_endpoint": REGISTER, "revocation_endpoint": REVOKE,
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_methods_supported": ["none"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
        }  # fmt: skip
        self.codes: dict[str, dict[str, str]] = {}
        self.given: list[str] = []
        self.refreshing: set[str] = set()
        self.renews = True
        self.granted: str | None = None
        self.there.answers[METADATA] = lambda _: Answer(200, self.protected)
        self.there.answers[ABOUT] = lambda _: Answer(200, self.metadata)
        self.there.answers[TOKEN] = self.token
        self.there.answers[REGISTER] = lambda _: Answer(201, {"client_id": "us-4711"})
        self.there.answers[REVOKE] = Answer(200, {})

    def agree(self, url: str) -> dict[str, str]:
        """What the browser brings back of a page on which a person said yes."""
        asked = dict(parse_qsl(urlsplit(url).query))
        code = f"code-{len(self.codes)}"
        self.codes[code] = asked
        return {"code": code, "state": asked["state"], "iss": ISSUER}

    def token(self, asked: Asked) -> Answer:
        form = asked.form
        if form["grant_type"] == "refresh_token":
            if form["refresh_token"] not in self.refreshing:
                return Answer(400, {"error": "invalid_grant"})
            self.refreshing.discard(form["refresh_token"])
            return self.answer(asked, None)
        agreed = self.codes.pop(form.get("code", ""), None)
        if agreed is None:
            return Answer(400, {"error": "invalid_grant"})
        hashed = to_base64url(hashlib.sha256(form["code_verifier"].encode()).digest())
        for name, value in (
            ("code_challenge", hashed),
            ("redirect_uri", form["redirect_uri"]),
            ("client_id", form["client_id"]),
            ("resource", form["resource"]),
        ):
            if agreed[name] != value:
                return Answer(400, {"error": "invalid_grant", "error_description": name})
        return self.answer(asked, agreed.get("scope", "") if self.granted is None else self.granted)

    def answer(self, asked: Asked, scope: str | None) -> Answer:
        self.given.append(f"token-{len(self.given) + 1}")
        is_bound = "dpop" in asked.headers and "mcptwist_token_type" not in asked.form
        kind = "DPoP" if is_bound else "Bearer"
        said = {"access_token": self.given[-1], "token_type": kind, "expires_in": 600}
        if scope is not None:
            said["scope"] = scope
        if self.renews:
            said["refresh_token"] = f"refresh-{len(self.given)}"
            self.refreshing.add(f"refresh-{len(self.given)}")
        return Answer(200, said)


class LoginCase(SynchronousTestCase):
    """A server that people log in at, and a program with somebody before it."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.people = People()
        self.there = self.people.there
        self.there.answers[PLACE] = self.serve
        self.path = self.mktemp() + "/grants.json"
        self.shown: list[str] = []
        self.said: list[str] = []
        self.busy: set[int] = set()
        self.count = 0
        self.browse: Any = self.agree
        self.good: set[str] | None = None
        self.begin_anew()

    def begin_anew(self, told: Told | None = None, alone: bool = False, **more: Any) -> None:
        """Another program of the same person."""
        ways = Ways(self.there, self.there, self.reactor, self.wall, self.make_bytes)
        inquiry = Inquiry(PLACE, ways)
        self.wallet = Wallet(self.path)
        self.logout = Logout(inquiry, self.wallet)
        self.possession = Possession(ways.wall, ways.make_bytes)
        person = None if alone else Person(self.listen, self.show, self.said.append)
        told = told or Told()
        login = Login(PLACE, inquiry, self.possession, self.wallet, told, ways, person)
        own = Credentials(told=told, login=login, **more)
        self.signing = SignIn(PLACE, inquiry, self.possession, own)
        self.source = TokenSource(self.signing, self.reactor)
        self.upstream = Upstream(self.there, PLACE, admission=self.source)

    def wall(self) -> float:
        return NOW + self.reactor.seconds()

    def make_bytes(self, size: int) -> bytes:
        self.count += 1
        return self.count.to_bytes(size, "big")

    def listen(self, port: int) -> Redirect:
        port = port or 4711
        while port in self.busy:
            if port != 4711:
                raise CannotListenError("127.0.0.1", port, OSError("in use"))
            port += 1
        self.redirect = Redirect(self.reactor)
        self.redirect.listen(self.reactor, port)
        return self.redirect

    def show(self, url: str, who: str) -> None:
        self.shown.append(url)
        self.browse(url)

    def agree(self, url: str) -> None:
        self.bring(self.people.agree(url))

    def bring(self, fields: dict[str, str]) -> str:
        """The browser comes back; what it is told, nothing if there is nobody."""
        visit = self.redirect.buildProtocol(None)
        if visit is None:
            return ""
        transport = StringTransport()
        visit.makeConnection(transport)
        host = urlsplit(self.redirect.uri).netloc
        head = f"GET /callback?{urlencode(fields)} HTTP/1.1\r\nHost: {host}\r\n\r\n"
        visit.dataReceived(head.encode())
        visit.connectionLost()
        return transport.value().decode()

    def serve(self, asked: Asked) -> Answer:
        token = asked.headers.get("authorization", "").partition(" ")[2]
        if token and token in (self.people.given[-1:] if self.good is None else self.good):
            return Answer(200, {"hello": "world"})
        return Answer(401, {"error": "invalid_token"}, CHALLENGE)

    def begin(self) -> Deferred[Any]:
        asking = Deferred.fromCoroutine(self.upstream.request(b"POST", [], b"hello"))
        self.reactor.advance(0)
        return asking

    def ask(self) -> int:
        return int(self.successResultOf(self.begin()).code)

    def fail_to_ask(self) -> str:
        problem = self.failureResultOf(self.begin(), SignInFailed).value
        return str(problem)

    def forms(self) -> list[dict[str, str]]:
        return [each.form for each in self.there.to(TOKEN)]
