"""A daemon that wants keys, in memory, and those who come to it with keys, or without."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
from twisted.internet.address import IPv4Address
from twisted.logger import eventAsText, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import IResource

from mcptwist.auth.gatehouse import LOOK, Gatehouse
from mcptwist.auth.keys import ED25519, PrivateKey
from mcptwist.auth.oauth.assertions import TYPE
from mcptwist.auth.oauth.dpop import token_hash
from mcptwist.caller import Caller
from mcptwist.configuration.gateconfig import Auth
from mcptwist.interfaces import IView
from mcptwist.protocols.http1factory import HTTP1Factory
from mcptwist.protocols.httpsse import HttpSse
from mcptwist.protocols.pages import Answering, Tree, site_tree
from mcptwist.protocols.site import HostGuard, Site
from mcptwist.protocols.streamable import StreamableHttp
from mcptwist.protocols.vestibule import Vestibule
from mcptwist.protocols.wslimits import WebSocketCounters, WebSocketLimits
from mcptwist.protocols.wsplace import WebSocketPlace
from tests.auth.people import NOW, assertion, key, proof
from tests.auth.secrets import secrets_in
from tests.conversations.posting import House, Response
from tests.protocols.front import PORT, Wire
from tests.protocols.h2front import Client, Front2

BASE = f"http://localhost:{PORT}"
MCP = f"{BASE}/mcp"
FULL = "mcp:read mcp:call mcp:subscribe"
#: Where connections come from unless a test says otherwise; what fails there costs nothing.
HERE = "192.168.1.1"
FORM = "application/x-www-form-urlencoded"
#: How the names of those events end that are refusals.
_REFUSALS = frozenset({401, 403, 421, 429})
_DENIALS = (
    ".denied", ".refused", ".challenged", ".delayed", ".foreign", ".stepup", ".replay",
)  # fmt: skip


class Closed(House):
    """The daemon.

    :ivar lines: of its audit log.
    :ivar answers: all that was answered to requests on connections of their own.
    """

    def __init__(
        self,
        place: Path,
        *authorized: str,
        auth: Any = None,
        origins: tuple[str, ...] = (),
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        place.mkdir(mode=0o700)
        self.place = place
        self.source = HERE
        self.wall_moved = 0.0
        self.lines: list[bytes] = []
        self.answers: list[Response] = []
        self.write(*authorized)
        made = {"authorized_keys": str(place / "authorized_keys"), **(auth or {})}
        numbers = iter(range(1, 1_000_000))
        self.gatehouse = Gatehouse(
            Auth(**made),
            self.clock,
            lambda size: next(numbers).to_bytes(size, "big"),
            self.wall,
            NOW,
        )
        self.gatehouse.audit._write = self.lines.append
        self.gatehouse.watch(self.concourse.sessions)
        self.gatehouse.startService()
        bounds = WebSocketLimits()
        self.gatehouse.vestibule = Vestibule(self.clock, bounds, WebSocketCounters())
        guard = HostGuard(allowed_origins=origins)
        self.site = Site(self._tree(), guard, clock=self.clock)
        self.site.told = self.gatehouse.objected
        self.factory = HTTP1Factory(self.site, self.clock)

    def _tree(self) -> IResource:
        gatehouse, keys = self.gatehouse, iter(range(1000))

        def caller(view: IView, proves_once: bool = True) -> Any:
            def make(request: Any) -> Caller:
                seen = gatehouse.connection(view, request) if proves_once else view
                made = Caller(seen, self.concourse.sessions.begin, gatehouse.principal(request))
                gatehouse.presence.connected(made, request.principal)
                return made

            return make

        def places(view: IView) -> dict[bytes, Any]:
            view = gatehouse.view(view)
            events = HttpSse(
                caller(view, proves_once=False),
                lambda: f"stream-{next(keys)}",
                self.concourse.pulse,
                principal=gatehouse.principal,
                foreign=self.concourse.sessions.foreign,
                admit=gatehouse.admit,
            )
            return {
                b"mcp": StreamableHttp(self.concourse, view, gatehouse.principal, gatehouse.admit),
                b"ws": WebSocketPlace(caller(view), self.clock),
                b"sse": events.listening,
                b"messages": events.speaking,
            }

        whole = gatehouse.view(self.gateway.whole)
        admin = StreamableHttp(
            self.concourse, whole, gatehouse.principal, gatehouse.admit_admin
        )  # what is behind it does not matter here
        more = {b"admin": Tree({b"mcp": admin}, "")}
        tree = site_tree(self.gateway, places, self.daemon.health, self.daemon.ready, more)
        gate: IResource = gatehouse.gate(tree, {b"health": Answering(self.daemon.health)})
        return gate

    def request(
        self, method: str, path: str, headers: dict[str, Any], body: bytes = b""
    ) -> Response:
        """As any daemon; what is answered is kept."""
        answer = super().request(method, path, headers, body)
        self.answers.append(answer)
        return answer

    @property
    def given(self) -> set[str]:
        """The secrets that were given out, each to whoever asked for it."""
        return {each for answer in self.answers for each in _secrets_of(answer)}

    def wall(self) -> float:
        return NOW + self.clock.seconds() + self.wall_moved

    def write(self, *authorized: str, revoked: str = "") -> None:
        """Put new key files in the place of the old ones."""
        for name, text in (("authorized_keys", "\n".join(authorized)), ("revoked_keys", revoked)):
            new = self.place / "new"
            new.write_text(text + "\n")
            new.chmod(0o600)
            os.replace(new, self.place / name)

    def look(self) -> None:
        """Let the files be looked at."""
        self.turn(2 * LOOK, LOOK)

    def events(self, name: str = "") -> list[dict[str, Any]]:
        """What the audit log says."""
        found = [json.loads(line) for line in self.lines]
        return [each for each in found if each["event"].startswith(name)]

    @property
    def denials(self) -> int:
        """How many refusals the audit log has told or counted."""
        counts = self.gatehouse.audit.counts
        return sum(n for name, n in counts.items() if name.endswith(_DENIALS))

    def http2(self) -> Client:
        """Somebody with one connection for many requests."""
        front = Front2()
        front.clock, front.factory = self.clock, self.factory
        return front.client()

    # --- those who come -------------------------------------------------------------------

    def ask_token(self, signer: PrivateKey, client: str = "alice", **different: Any) -> Response:
        """Ask for a token; what is ``None`` is left out, ``dpop`` is a header."""
        headers = {"Content-Type": FORM, "Dpop": different.pop("dpop", None)}
        headers |= different.pop("headers", {})
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": TYPE,
            "resource": MCP,
            **different,
        }
        if "assertion" in form:
            form["client_assertion"] = form.pop("assertion")
        else:
            form["client_assertion"] = assertion(signer, client, self.wall(), aud=BASE)
        body = urlencode({name: value for name, value in form.items() if value is not None})
        return self.request("POST", "/oauth/token", headers, body.encode())

    def token(self, signer: PrivateKey, client: str = "alice", **different: Any) -> str:
        """A token."""
        response = self.ask_token(signer, client, **different)
        assert response.status == 200, response.wire.value()
        text: str = response.json["access_token"]
        return text

    def bound(self, signer: PrivateKey, holder: PrivateKey, client: str = "alice") -> str:
        """A token that is bound to the key of *holder*."""
        made = proof(holder, url=f"{BASE}/oauth/token", now=self.wall())
        return self.token(signer, client, dpop=made)

    def proof(self, holder: PrivateKey, token: str, **different: Any) -> str:
        """A proof for a POST to ``/mcp``."""
        said = {"url": MCP, "now": self.wall(), "ath": token_hash(token.encode()), **different}
        return proof(holder, **said)


class ClosedCase(SynchronousTestCase):
    """A test at a closed door.

    Whatever it does, no secret is left in any log, and each refusal has been told or counted.

    :ivar house: the daemon; ``alice`` may read, call and subscribe.
    """

    auth: dict[str, Any] = {"exempt": (f"{HERE}/32",)}
    options = f'scope="{FULL}"'
    kind = ED25519
    origins: tuple[str, ...] = ()

    def setUp(self) -> None:
        self.alice, self.bob = key("alice", self.kind), key("bob", self.kind)
        self.mallory = key("mallory", self.kind)
        self.house = Closed(
            Path(self.mktemp()), *self.authorized(), auth=self.auth, origins=self.origins
        )
        self.denials = 0
        self.logged: list[str] = []
        globalLogPublisher.addObserver(self._log)
        self.addCleanup(globalLogPublisher.removeObserver, self._log)
        self.addCleanup(self.assert_nothing_secret)
        self.addCleanup(self.assert_all_audited)
        self.addCleanup(self.house.gatehouse.stopService)

    def authorized(self) -> list[str]:
        return [self.line("alice", self.options), self.line("bob", f'scope="{FULL}"')]

    def line(self, name: str, options: str = "") -> str:
        return f"{options} {key(name, self.kind).public.words()} {name}@there".lstrip()

    def _log(self, event: Any) -> None:
        self.logged.append(eventAsText(event))

    def assert_nothing_secret(self) -> None:
        said = "\n".join(self.logged) + b"".join(self.house.lines).decode()
        self.assertEqual(secrets_in(said), [])
        for secret in (self.alice.jwk()["d"], "stream-", "key-", *self.house.given):
            self.assertNotIn(secret, said)

    def assert_all_audited(self) -> None:
        """There are as many denials in the audit log as there were refusals."""
        answers = (answer.wire.value() for answer in self.house.answers)
        heads = (answer.split(b" ")[1] for answer in answers if answer.startswith(b"HTTP/1.1 "))
        refused = [int(status) for status in heads if int(status) in _REFUSALS]
        self.assertGreaterEqual(self.house.denials, len(refused), refused)

    def come(self, token: str | None, message: Any = None, **headers: Any) -> Response:
        """Greet the daemon with a token."""
        if message is None:
            params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {}}
            message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
        if token is not None:
            headers.setdefault("authorization", f"Bearer {token}")
        return self.house.post(message, **headers)

    def assert_let_in(self, token: str, **headers: Any) -> None:
        before = self.house.gatehouse.guard.admitted
        response = self.come(token, **headers)
        self.assertIn(response.status, (0, 200), response.wire.value())
        self.assertEqual(self.house.gatehouse.guard.admitted, before + 1)

    def assert_turned_away(
        self, response: Response, status: int = 401, error: str | None = None
    ) -> None:
        """Exactly that status, with a challenge; it is audited, and no server saw anything."""
        self.assertEqual(response.status, status, response.wire.value())
        self.assert_audited()
        if status == 401:
            challenge = response.headers["www-authenticate"]
            metadata = f'resource_metadata="{BASE}/.well-known/oauth-protected-resource'
            self.assertIn(metadata, challenge)
            self.assertEqual(response.error["code"], -32001)
            self.assertIsNone(response.json["id"])
            if error is None:
                self.assertNotIn("error=", challenge)
            else:
                self.assertIn(f'error="{error}"', challenge)
        self.assert_unseen()

    def assert_audited(self, event: str = "") -> None:
        """There is one more denial in the audit log than were looked at before.

        :param event: what the last line in it is about.
        """
        self.denials += 1
        self.assertGreaterEqual(self.house.denials, self.denials)
        if event:
            self.assertEqual(self.house.events()[-1]["event"], event)

    def assert_unseen(self) -> None:
        """No server was started, let alone asked."""
        self.assertEqual(self.house.connector.wires, [])

    def assert_refused(self, response: Response, status: int, error: str) -> None:
        """The token endpoint says no, as RFC 6749 wants it said, and why is in the audit log."""
        self.assertEqual((response.status, response.json["error"]), (status, error))
        self.assertEqual(response.headers["cache-control"], "no-store")
        self.assertEqual(self.house.events("auth.token.issued"), [])
        self.assertEqual(self.house.events("auth.token.refused")[-1]["error"], error)
        self.assert_audited()
        self.assert_unseen()


def _secrets_of(answer: Response) -> Iterator[str]:
    """What is secret in an answer of the authorization server."""
    _, _, body = answer.wire.value().partition(b"\r\n\r\n")
    if b"HTTP/1.1 200 " not in answer.wire.value() or not body.startswith(b"{"):
        return
    try:
        found = json.loads(body)
    except ValueError:
        return
    yield from (
        found[name] for name in ("access_token", "refresh_token", "ticket") if name in found
    )


def decoded(response: Response) -> Any:
    return msgspec.json.decode(response.body)


def address(host: str) -> IPv4Address:
    return IPv4Address("TCP", host, 12345)


def from_elsewhere(house: Closed, host: str) -> None:
    """Let the connections that are made from now on come from *host*."""
    make = house.factory.buildProtocol

    def build(_: Any) -> Any:
        protocol = make(None)
        assert protocol is not None
        connect = protocol.makeConnection

        def connected(transport: Any) -> None:
            assert isinstance(transport, Wire)
            transport.peerAddr = address(house.source)
            connect(transport)

        protocol.makeConnection = connected  # type: ignore[method-assign]
        return protocol

    house.source = host
    if house.factory.buildProtocol.__name__ != "build":
        house.factory.buildProtocol = build  # type: ignore[method-assign]
