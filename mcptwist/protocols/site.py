"""The root of the resource tree, and the guard at its gate.

Everything HTTP goes through :meth:`Site.received`: first the guard looks at Host and Origin,
then browsers are told what pages may do, then the tree is walked, then the resource answers.
The guard is what stands between a web page and a daemon on the same machine: DNS rebinding
arrives with a foreign Host, a request forged by a page with a foreign Origin (MCP 2026-07-28,
*Streamable HTTP*, Security Warning).
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any
from urllib.parse import unquote_to_bytes

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import IResource
from twisted.web.server import Session

from mcptwist.protocols import refusals
from mcptwist.protocols.cors import CrossOrigin
from mcptwist.protocols.limits import Counters, Limits
from mcptwist.protocols.refusals import Refusal
from mcptwist.protocols.request import IAsksEarly, Request

__all__ = ["HostGuard", "Site", "descend"]

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")

_NAME = r"(\[[0-9a-f:.]+\]|[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?)"
_PORT = r"(?::([1-9][0-9]{0,4}))?"
_HOST = re.compile(rf"{_NAME}\.?{_PORT}")
_ORIGIN = re.compile(rf"(https?)://{_NAME}{_PORT}")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def _scheme(secure: bool) -> str:
    return "https" if secure else "http"


class HostGuard:
    """Which names this server answers to, and which pages may talk to it. Pure.

    Loopback names with the port the request came in by are always good, as hosts and as
    origins; everything else must be named.

    :param allowed_hosts: ``name`` (any port) or ``name:port``.
    :param allowed_origins: ``scheme://host[:port]``, exactly as browsers send it;
        ``scheme://host:*`` allows any port.
    :raises ValueError: one of them is malformed; the message says which.
    """

    def __init__(
        self, allowed_hosts: Iterable[str] = (), allowed_origins: Iterable[str] = ()
    ) -> None:
        self._hosts = frozenset(self._host_entry(entry) for entry in allowed_hosts)
        self._origins = frozenset(self._origin_entry(entry) for entry in allowed_origins)

    @staticmethod
    def _host_entry(entry: str) -> tuple[str, int | None]:
        parts = _HOST.fullmatch(entry.lower())
        if parts is None:
            raise ValueError(f"{entry!r} is not a host name with an optional port")
        return parts[1], int(parts[2]) if parts[2] else None

    @staticmethod
    def _origin_entry(entry: str) -> str:
        parts = _ORIGIN.fullmatch(entry.removesuffix(":*"))
        if parts is None:
            raise ValueError(f"{entry!r} is not scheme://host[:port] in lower case")
        # Browsers leave the default port out.
        return entry.removesuffix(f":{_DEFAULT_PORTS[parts[1]]}")

    def objection(self, request: Request) -> Refusal | None:
        """What is wrong with where a request says it comes from and goes to, or None."""
        stream = request.stream
        host = request.header(b"host")
        if host != stream.trusted_host and host is not None:
            refusal = self._host_objection(host, stream.port, stream.is_secure)
            if refusal is not None:
                return refusal
            stream.trusted_host = host
        if request.header(b"origin") is not None:
            return self._origin_objection(request, host, stream.port, stream.is_secure)
        if request.header(b"sec-fetch-site") in (b"cross-site", b"same-site"):
            return self._fetch_objection(request)
        return None

    def _host_objection(self, host: bytes, port: int | None, secure: bool) -> Refusal | None:
        parts = _HOST.fullmatch(host.decode("ascii", "replace").lower())
        if parts is None:
            return refusals.BAD_HOST
        name = parts[1]
        named = int(parts[2]) if parts[2] else _DEFAULT_PORTS[_scheme(secure)]
        if (name, named) in self._hosts or (name, None) in self._hosts:
            return None
        if name in LOOPBACK and (port is None or named == port):
            return None
        return refusals.FOREIGN_HOST

    def _origin_objection(
        self, request: Request, host: bytes | None, port: int | None, secure: bool
    ) -> Refusal | None:
        origins = request.header_values(b"origin")
        parts = _ORIGIN.fullmatch(origins[0].decode("ascii", "replace"))
        if len(origins) > 1 or parts is None:
            return refusals.FOREIGN_ORIGIN
        scheme, name, told = parts.groups()
        named = int(told) if told else _DEFAULT_PORTS[scheme]
        if name in LOOPBACK and port is not None and named == port:
            return None
        if host is not None and self._is_own(host, scheme, name, named, secure):
            return None
        if parts[0] in self._origins or f"{scheme}://{name}:*" in self._origins:
            return None
        return refusals.FOREIGN_ORIGIN

    @staticmethod
    def _is_own(host: bytes, scheme: str, name: str, port: int, secure: bool) -> bool:
        """Whether the origin is where the request itself goes; its Host was found good."""
        own = _HOST.fullmatch(host.decode("ascii").lower())
        if own is None or scheme != _scheme(secure):
            return False
        return own[1] == name and (int(own[2]) if own[2] else _DEFAULT_PORTS[scheme]) == port

    @staticmethod
    def _fetch_objection(request: Request) -> Refusal | None:
        """A page of another site asks without saying who it is; following a link is fine."""
        if request.method == b"GET" and request.header(b"sec-fetch-mode") == b"navigate":
            return None
        return refusals.FOREIGN_ORIGIN


class Site:
    """What answers requests: a guard, and a tree of resources behind it.

    :param root: the root of the tree; what is below is asked with ``getChildWithDefault``.
    :param guard: looks at each request first.
    :param limits: of bodies that resources do not ask for themselves.
    :param counters: shared with the listeners.
    :param clock: of the web sessions that stock resources may ask for.
    :param cors: what pages that the guard lets in may send and read.
    :ivar told: told of each request that the guard objects to, and why.
    """

    _log = Logger()
    displayTracebacks = False
    sessionFactory = Session
    #: Web sessions at one time; beyond it, the oldest is ended.
    most_sessions = 1000

    def __init__(
        self,
        root: IResource,
        guard: HostGuard,
        limits: Limits | None = None,
        counters: Counters | None = None,
        clock: IReactorTime | None = None,
        cors: CrossOrigin | None = None,
    ) -> None:
        self.resource = root
        self.guard = guard
        self.limits = limits or Limits()
        self.counters = counters or Counters()
        self.cors = cors or CrossOrigin()
        self.sessions: dict[bytes, Session] = {}
        self._clock = clock
        self.told: Callable[[Request, Refusal], object] = lambda request, objection: None

    def received(self, request: Request) -> None:
        """A request's headers are complete: see to it that it is answered."""
        try:
            facts = request.facts
            if facts is not None and PLACE in facts:
                facts[PLACE].render(request)
                return
            objection = self.guard.objection(request)
            if objection is not None:
                self.told(request, objection)
                request.refuse(objection, close=True)
                return
            origin = request.header(b"origin")
            if origin is not None and self._answered_preflight(request, origin):
                return
            if request.path == b"*":
                request.respond(204, [(b"Allow", _ALLOW)], b"")
                return
            resource = self._find(request)
            if facts is not None and origin is None and IAsksEarly.providedBy(resource):
                # The same head leads to the same place, past the same guard.
                facts[PLACE] = resource
            self.ask(resource, request)
        except Exception:
            request.processingFailed(Failure())

    def _answered_preflight(self, request: Request, origin: bytes) -> bool:
        """Answer a preflight; to anything else, whatever will be answered can be read.

        Before anyone asks who is calling: browsers send preflights without credentials.
        """
        wanted = request.header(b"access-control-request-method")
        if request.method != b"OPTIONS" or wanted is None:
            request.answer_headers = self.cors.readable(origin)
            return False
        headers = request.header_values(b"access-control-request-headers")
        request.respond(204, self.cors.preflight(origin, headers), b"")
        return True

    def _find(self, request: Request) -> Any:
        """Walk the tree, as ``twisted.web.resource.getChildForRequest`` does."""
        path = request.path
        segments = path[1:].split(b"/")
        if b"%" in path:
            segments = [unquote_to_bytes(segment) for segment in segments]
        request.site = self  # type: ignore[assignment]
        request.prepath = []
        request.postpath = segments
        return descend(self.resource, request)

    def ask(self, resource: Any, request: Request) -> None:
        """Let *resource* answer *request*: at once if it asks early, else with the body."""
        if IAsksEarly.providedBy(resource) or not request.content_length:
            if not request.content_length:
                request.content = BytesIO()
            request.render(resource)
        else:
            request.receive_body(
                self.limits.body, lambda body: self._ask_with_body(resource, request, body)
            )

    def _ask_with_body(self, resource: Any, request: Request, body: bytes) -> None:
        request.content = BytesIO(body)
        request.render(resource)

    def makeSession(self) -> Session:
        """Called by ``request.getSession()``: a new web session."""
        uid = secrets.token_hex(32).encode("ascii")
        while len(self.sessions) >= self.most_sessions:
            next(iter(self.sessions.values())).expire()
        session = self.sessions[uid] = self.sessionFactory(self, uid, reactor=self._clock)
        session.startCheckingExpiration()
        return session

    def getSession(self, uid: bytes) -> Session:
        """Called by ``request.getSession()``: the session of that id, or KeyError."""
        return self.sessions[uid]


def descend(resource: Any, request: Request) -> Any:
    """The resource that the rest of a request's path leads to, from *resource* on."""
    segments, passed = request.postpath, request.prepath
    assert segments is not None
    assert passed is not None
    while segments and not resource.isLeaf:
        segment = segments.pop(0)
        passed.append(segment)
        resource = resource.getChildWithDefault(segment, request)
    return resource


# What is concluded from a head and holds for the next one like it (see Request.facts).
PLACE = "site.place"
_ALLOW = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
