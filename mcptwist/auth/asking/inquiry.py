"""Asking a server, and whom it names, for documents: whole, bounded, and no redirect followed.

What is asked of the server itself goes over its own connections, which believe in its key; anybody
else must have a certificate that the world trusts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from urllib.parse import urlencode

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IResponse

import mcptwist
from mcptwist.auth.asking import discovery
from mcptwist.errors import McpTwistError, SignInFailed
from mcptwist.protocols.bodies import WholeBody, header
from mcptwist.protocols.setbacks import unreachable
from mcptwist.protocols.upstream import AtHand, origin
from mcptwist.protocols.waits import bounded

_STEP = 15.0
"""Seconds that each document may take."""

Fields = Iterable[tuple[str, str]]


class Ways(msgspec.Struct, frozen=True):
    """What signing in stands on.

    :ivar agent: asks the server itself, and nobody else.
    :ivar elsewhere: asks authorization servers that are not at the server's own origin.
    :ivar wall: seconds since 1970.
    :ivar make_bytes: so many unguessable bytes each time.
    """

    agent: IAgent
    elsewhere: IAgent
    clock: IReactorTime
    wall: Callable[[], float]
    make_bytes: Callable[[int], bytes]


class Document(msgspec.Struct, frozen=True):
    """An answer as a whole.

    :ivar nonce: what is to be in the next proof of possession; empty if nothing is.
    :ivar challenges: the values of ``WWW-Authenticate``.
    """

    status: int
    body: bytes
    nonce: str
    challenges: tuple[bytes, ...] = ()


class Inquiry:
    """Asks for the sake of one server.

    :param url: of its MCP endpoint.
    """

    def __init__(self, url: str, ways: Ways) -> None:
        self.url = url
        self._ways = ways

    async def first(self, places: Iterable[str]) -> bytes | None:
        """The first of these documents that is there."""
        for place in places:
            found = await self.ask("GET", place)
            if found.status == 200:
                return found.body
        return None

    async def send_form(self, url: str, form: dict[str, str], headers: Fields = ()) -> Document:
        """What is answered to a form; its empty fields are left out."""
        body = urlencode({name: value for name, value in form.items() if value})
        kind = ("content-type", "application/x-www-form-urlencoded")
        return await self.ask("POST", url, [kind, *headers], body.encode())

    async def ask(
        self, method: str, url: str, headers: Fields = (), body: bytes | None = None
    ) -> Document:
        """What is answered.

        :raises SignInFailed: nothing in time.
        :raises ServerUnreachable: nobody is there.
        """
        late = SignInFailed(f"{place(url)} did not answer within {_STEP:.0f} s")
        asking = Deferred.fromCoroutine(self._asked(method, url, headers, body))
        found: Document = await bounded(asking, _STEP, self._ways.clock, late)
        return found

    async def _asked(self, method: str, url: str, headers: Fields, body: bytes | None) -> Document:
        is_own = origin(url) == origin(self.url)
        agent = self._ways.agent if is_own else self._ways.elsewhere
        sent = Headers({"accept": ["application/json"]})
        sent.addRawHeader("user-agent", f"mcptwist/{mcptwist.__version__}")
        for name, value in headers:
            sent.addRawHeader(name, value)
        producer = None if body is None else AtHand(body)
        try:
            response = await agent.request(method.encode(), url.encode(), sent, producer)
        except (CancelledError, McpTwistError):
            raise
        except Exception:
            raise unreachable(place(url), Failure()) from None
        whole = WholeBody(discovery.LARGEST)
        response.deliverBody(whole)
        challenges = tuple(response.headers.getRawHeaders(b"www-authenticate", []))
        return Document(response.code, await whole.done, nonce_in(response), challenges)


def nonce_in(response: IResponse) -> str:
    """What a server wants to see in the next proof; empty if nothing."""
    return header(response, b"dpop-nonce").decode("latin-1")


def place(url: str) -> str:
    """A URL's origin, for a person."""
    scheme, host, port = origin(url)
    return f"{scheme}://{host}:{port}"
