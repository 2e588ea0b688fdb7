"""Approving what waits at a server: being told what it is, and signing the statement about it.

What is signed is put together here, of what the person was shown; nothing is signed because a
server wants it signed. ``docs/auth/protocol.rst``, *Approval*.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent

import mcptwist
from mcptwist.auth.addresses import APPROVE as PATH
from mcptwist.auth.addresses import Address, place_of
from mcptwist.auth.asking.discovery import may_carry
from mcptwist.auth.authorizedkeys import SCOPES
from mcptwist.auth.jws import Malformed, read_object
from mcptwist.auth.keys import ISigner, KeyProblem
from mcptwist.auth.oauth.approvals import PURPOSE, Wanted, statement
from mcptwist.auth.sshsig import sign_text
from mcptwist.errors import McpTwistError, SignInFailed
from mcptwist.protocols.bodies import WholeBody
from mcptwist.protocols.setbacks import unreachable
from mcptwist.protocols.upstream import AtHand
from mcptwist.protocols.waits import bounded

LARGEST = 16 * 1024
_PATIENCE = 15.0
"""Seconds that an answer may take."""
_LONGEST = 2048
_SURROGATE = re.compile("[\ud800-\udfff]")
_FORM = "application/x-www-form-urlencoded"

LoadSigner = Callable[[], Awaitable[ISigner]]


class Asked(msgspec.Struct, frozen=True):
    """What waits under a code, as the server tells it.

    :ivar wanted: its source is where the question came from, as the server saw it.
    :ivar expires_in: seconds that it will wait yet.
    """

    code: str
    wanted: Wanted
    expires_in: int


class Answer(msgspec.Struct, frozen=True):
    """What a server answered, of which nothing is believed yet."""

    status: int
    said: dict[str, Any]


class Approver:
    """Approves at one server.

    :param base: its issuer: a scheme and a host, and a port if it is not the usual one.
    :param load: the key to sign with.
    :param agent: asks the server, and believes nobody else to be it.
    """

    def __init__(self, base: str, load: LoadSigner, agent: IAgent, clock: IReactorTime) -> None:
        if not may_carry(base):
            raise SignInFailed(f"{base} cannot be believed over plain HTTP; use https")
        self.base = base
        self._load = load
        self._agent = agent
        self._clock = clock

    async def look(self, code: str) -> Asked:
        """What waits under *code*.

        :raises SignInFailed: nothing does, or what does is told in a way that makes no sense.
        :raises ServerUnreachable: the server does not answer.
        """
        answer = await self._ask("GET", f"?code={quote(code)}")
        if answer.status != 200:
            raise SignInFailed(self._refusal(answer, code))
        return read_asked(answer.said, self.base, code)

    async def decide(self, asked: Asked, verb: str, scopes: frozenset[str]) -> dict[str, Any]:
        """Say yes or no to what was shown.

        :param verb: ``APPROVE`` or ``DENY``.
        :param scopes: those that are agreed to.
        :return: what the server says came of it.
        :raises SignInFailed: it does not take that from us.
        :raises ServerUnreachable: it does not answer.
        """
        signer = await self._load()
        text = statement(verb, asked.code, asked.wanted, scopes).encode("ascii")
        try:
            signature = await sign_text(signer, text, PURPOSE)
        except KeyProblem as problem:
            raise SignInFailed(str(problem)) from None
        agreed = " ".join(scope for scope in SCOPES if scope in scopes)
        form = {"code": asked.code, "action": verb, "scope": agreed, "signature": signature}
        answer = await self._ask("POST", "", urlencode(form).encode())
        if answer.status != 200:
            what = f"the key {signer.public.fingerprint}"
            raise SignInFailed(self._refusal(answer, what))
        return answer.said

    async def _ask(self, method: str, query: str, body: bytes | None = None) -> Answer:
        late = SignInFailed(f"{self.base} did not answer within {_PATIENCE:.0f} s")
        asking = Deferred.fromCoroutine(self._asked(method, query, body))
        found: Answer = await bounded(asking, _PATIENCE, self._clock, late)
        return found

    async def _asked(self, method: str, query: str, body: bytes | None) -> Answer:
        sent = Headers({"accept": ["application/json"]})
        sent.addRawHeader("user-agent", f"mcptwist/{mcptwist.__version__}")
        if body is not None:
            sent.addRawHeader("content-type", _FORM)
        producer = None if body is None else AtHand(body)
        url = f"{self.base}{PATH}{query}"
        try:
            response = await self._agent.request(method.encode(), url.encode(), sent, producer)
        except (CancelledError, McpTwistError):
            raise
        except Exception:
            raise unreachable(self.base, Failure()) from None
        whole = WholeBody(LARGEST)
        response.deliverBody(whole)
        try:
            return Answer(response.code, read_object(await whole.done))
        except Malformed:
            return Answer(response.code, {})

    def _refusal(self, answer: Answer, what: str) -> str:
        described = answer.said.get("error_description") or answer.said.get("error")
        if answer.status == 404 or not isinstance(described, str):
            return f"{self.base} knows nothing of approvals ({answer.status}); see [auth.people]"
        if answer.status == 403:
            advice = (
                "; see whether the code is right and recent, the URL the one that it was shown "
                "with, and the key let in there"
            )
        else:
            advice = ""
        return f"{self.base} refuses {what}: {described[:300]}{advice}"


def read_asked(said: dict[str, Any], base: str, code: str) -> Asked:
    """What a server tells of what waits.

    :raises SignInFailed: it is not about that server, that code, or not as it must be.
    """
    text = {name: _text(said, name) for name in _TEXTS}
    if text["issuer"] != base:
        raise SignInFailed(f"{base} goes by another name, {text['issuer']}; use that")
    if text["code"] != code:
        raise SignInFailed(f"{base} tells of another code than {code}")
    path = text["resource"].removeprefix(base)
    place = place_of(path)
    scopes = text["scope"].split(" ")
    if place is None or path == text["resource"] or not set(scopes) <= set(SCOPES):
        raise SignInFailed(f"{base} wants approval for something that is not known here")
    left = said.get("expires_in")
    wanted = Wanted(
        base,
        text["client_id"],
        text["client_name"],
        text["redirect_uri"],
        Address(base, path, place),
        frozenset(scopes),
        text["asked_from"],
    )
    return Asked(code, wanted, left if isinstance(left, int) and 0 <= left < 1 << 31 else 0)


_TEXTS = (
    "code", "issuer", "client_id", "client_name", "redirect_uri", "resource", "scope",
    "asked_from",
)  # fmt: skip


def _text(said: dict[str, Any], name: str) -> str:
    value = said.get(name)
    if not isinstance(value, str) or len(value) > _LONGEST or _SURROGATE.search(value):
        raise SignInFailed(f"the server does not say what is asked for: no {name}")
    return value
