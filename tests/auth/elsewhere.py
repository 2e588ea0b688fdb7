"""Servers elsewhere, as an agent finds them: what is asked of them, and what they answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import IConsumer
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IResponse
from zope.interface import implementer

from mcptwist.auth.jws import Jws, read_jws
from mcptwist.auth.keys import PublicKey

SERVER = "https://mcp.example.com:8443"
PLACE = f"{SERVER}/mcp"
ISSUER = "https://login.example.com"


class Asked(msgspec.Struct):
    """One request."""

    method: str
    url: str
    headers: dict[str, str]
    body: str

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body))

    def proof(self) -> Jws:
        return read_jws(self.headers["dpop"], 4096, frozenset({"jwk"}))


class Answer(msgspec.Struct):
    """What it is answered with."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = {}


@implementer(IResponse)
class Response:
    """An answer, as an agent gives it."""

    version = (b"HTTP", 1, 1)
    length = 0
    request = previousResponse = None

    def __init__(self, answer: Answer) -> None:
        self.code = answer.status
        self.phrase = b"Whatever"
        self.headers = Headers({name: [value] for name, value in answer.headers.items()})
        body = answer.body
        self._body = body if isinstance(body, bytes) else json.dumps(body).encode()

    def deliverBody(self, protocol: Any) -> None:
        protocol.dataReceived(self._body)
        protocol.connectionLost(Failure(ResponseDone()))

    def setPreviousResponse(self, response: Any) -> None: ...


@implementer(IAgent)
class Elsewhere:
    """All there is.

    :ivar asked: every request.
    :ivar held: when it is a list, answers wait here until they are let go.
    """

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.held: list[Callable[[], None]] | None = None
        self.answers: dict[str, Answer | Callable[[Asked], Answer] | None] = {}

    def request(
        self, method: bytes, uri: bytes, headers: Any = None, bodyProducer: Any = None
    ) -> Deferred[IResponse]:
        body = _Written()
        if bodyProducer is not None:
            bodyProducer.startProducing(body)
        sent = {
            name.decode().lower(): values[0].decode()
            for name, values in (headers or Headers()).getAllRawHeaders()
        }
        asked = Asked(method.decode(), uri.decode(), sent, body.data.decode())
        self.asked.append(asked)
        found = self.answers.get(asked.url)
        if callable(found):
            found = found(asked)
        if found is None and asked.url in self.answers:
            return fail(ConnectionRefusedError())
        response = Response(found or Answer(404, {"error": "not_found"}))
        if self.held is None:
            return succeed(response)
        waiting: Deferred[IResponse] = Deferred()
        self.held.append(lambda: waiting.callback(response))
        return waiting

    def let_go(self) -> None:
        held, self.held = self.held or [], None
        for each in held:
            each()

    def to(self, url: str) -> list[Asked]:
        """The requests that went there."""
        return [each for each in self.asked if each.url == url]


@implementer(IConsumer)
class _Written:
    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data

    def registerProducer(self, producer: Any, streaming: bool) -> None: ...
    def unregisterProducer(self) -> None: ...


class Login:
    """An authorization server and the server it is for.

    :ivar given: how many tokens.
    :ivar scopes: those of the last one.
    """

    def __init__(self, clock: Clock, key: PublicKey, issuer: str = ISSUER) -> None:
        self.clock = clock
        self.key = key
        self.issuer = issuer
        self.given = 0
        self.scopes: list[str] = []
        self.lifetime: Any = 600
        self.refusal: Answer | None = None
        self.there = Elsewhere()
        self.protected = {"resource": PLACE, "authorization_servers": [issuer]}
        self.metadata: dict[str, Any] = {"issuer": issuer, "token_endpoint": f"{issuer}/token"}
        where = "/.well-known/oauth-protected-resource"
        self.there.answers[f"{SERVER}{where}/mcp"] = lambda _: Answer(200, self.protected)
        well_known = f"{issuer}/.well-known/oauth-authorization-server"
        self.there.answers[well_known] = lambda _: Answer(200, self.metadata)
        self.there.answers[f"{issuer}/token"] = self.token
        self.jtis: set[str] = set()

    def token(self, asked: Asked) -> Answer:
        if self.refusal is not None:
            return self.refusal
        assertion = read_jws(asked.form["client_assertion"], 8192)
        claims = assertion.claims
        good = self.key.verify(assertion.algorithm, assertion.signature, assertion.signed)
        if not good or claims["aud"] != self.issuer or claims["jti"] in self.jtis:
            return Answer(401, {"error": "invalid_client"})
        self.jtis.add(claims["jti"])
        self.given += 1
        self.scopes = asked.form.get("scope", "").split()
        kind = "DPoP" if "dpop" in asked.headers else "Bearer"
        said = {"access_token": f"token-{self.given}", "token_type": kind}
        return Answer(200, {**said, "expires_in": self.lifetime, "scope": asked.form.get("scope")})
