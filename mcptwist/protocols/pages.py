"""The URLs of the daemon: which resource stands where.

``/mcp`` and ``/ws`` for all servers as one, the same below ``/servers/NAME`` for each and below
``/groups/NAME`` for some,
``/health``, ``/ready`` and ``/metrics`` for those who watch over the daemon.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
from twisted.web.resource import Resource
from zope.interface import implementer

from mcptwist.errors import McpTwistError, UnknownServer
from mcptwist.protocols.request import IAsksEarly, Request

if TYPE_CHECKING:
    from mcptwist.gateway import Gateway
    from mcptwist.interfaces import IView

Places: TypeAlias = "Callable[[IView], Mapping[bytes, Any]]"
_JSON = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]


class Answering(Resource):
    """A page that answers GET with a status and some JSON.

    :param report: makes both, each time.
    """

    isLeaf = True

    def __init__(self, report: Callable[[], tuple[int, Any]]) -> None:
        super().__init__()
        self._report = report

    def render_GET(self, request: Request) -> bytes:
        """The report."""
        status, value = self._report()
        request.setResponseCode(status)
        for name, text in _JSON:
            request.setHeader(name, text)
        return msgspec.json.encode(value) + b"\n"


class Metrics(Resource):
    """The page that Prometheus scrapes.

    :param exposition: makes its text, each time.
    :param media_type: of that text.
    :ivar admit: raises :class:`~mcptwist.errors.McpTwistError` where a request may not see it.
    """

    isLeaf = True

    def __init__(self, exposition: Callable[[], bytes], media_type: str) -> None:
        super().__init__()
        self._exposition = exposition
        self._media_type = media_type.encode()
        self.admit: Callable[[Request], None] = lambda request: None

    def render_GET(self, request: Request) -> bytes:
        """The metrics."""
        try:
            self.admit(request)
        except McpTwistError as problem:
            return absent(problem).render_GET(request)
        request.setHeader(b"content-type", self._media_type)
        request.setHeader(b"cache-control", b"no-store")
        return self._exposition()


class Absent(Answering):
    """The page where there is none, whatever one wants of it."""

    def render(self, request: Request) -> bytes:
        """Say so."""
        return self.render_GET(request)


def absent(problem: McpTwistError) -> Absent:
    """The page where there is none, with the reason."""
    error = {"code": problem.code, "message": problem.message}
    return Absent(lambda: (problem.status, {"error": error}))


class Tree(Resource):
    """A place with other places below it and nothing of its own.

    :param hint: what to tell who asks for what is not there.
    """

    def __init__(self, children: Mapping[bytes, Any], hint: str) -> None:
        super().__init__()
        for name, child in children.items():
            self.putChild(name, child)
        self._hint = hint

    def getChild(self, path: bytes, request: Request) -> Resource:
        """Nothing is there."""
        if path == b"" and not request.postpath:
            return self
        return absent(NothingHere(self._hint))

    def render(self, request: Request) -> bytes:
        """Nothing is here either."""
        return absent(NothingHere(self._hint)).render(request)


@implementer(IAsksEarly)
class Endpoint:
    """A place that takes requests before their bodies, with nothing below it.

    A slash at the end of its URL makes no difference: people type it.
    """

    isLeaf = False

    def getChildWithDefault(self, name: bytes, request: Request) -> Any:
        """Called with what stands behind its URL."""
        if name == b"" and not request.postpath:
            return self
        return absent(NothingHere("there is nothing below this URL"))

    def putChild(self, name: bytes, child: Any) -> None:
        """Nothing can be put below it."""
        raise TypeError("an endpoint has nothing below it")


class NothingHere(McpTwistError):
    """No such URL."""

    code = "not-found"
    status = 404


class Views(Resource):
    """``/servers`` and ``/groups``: one place for each view, by name.

    :param find: finds the view of a name, or raises why there is none.
    :param above: where this stands, for hints.
    :param places: makes what stands below a name.
    """

    def __init__(self, find: Callable[[str], IView], above: str, places: Places) -> None:
        super().__init__()
        self._find = find
        self._above = above
        self._make_places = places
        self._made: dict[str, tuple[IView, Resource]] = {}

    def getChild(self, path: bytes, request: Request) -> Resource:
        """The place of that name, or the reason why there is none."""
        name = path.decode("utf-8", "replace")
        try:
            view = self._find(name)
        except UnknownServer as problem:
            self._made.pop(name, None)
            return absent(problem)
        made = self._made.get(name)
        if made is None or made[0] is not view:
            places = self._make_places(view)
            made = self._made[name] = view, Tree(places, _hint(f"{self._above}/{name}/", places))
        return made[1]


def site_tree(
    gateway: Gateway,
    places: Places,
    health: Callable[[], tuple[int, Any]],
    ready: Callable[[], tuple[int, Any]],
    more: Mapping[bytes, Any] | None = None,
) -> Resource:
    """All URLs of the daemon.

    :param places: makes what clients of a view come to, by the last part of its URL.
    :param more: other pages, by the first part of their URL.
    """
    whole = places(gateway.whole)
    pages = {
        **whole,
        b"servers": Views(gateway.view, "/servers", places),
        b"groups": Views(gateway.group, "/groups", places),
        b"health": Answering(health),
        b"ready": Answering(ready),
        **(more or {}),
    }
    return Tree(pages, _hint("/", whole) + ", the same below /servers/NAME, /health and /ready")


def _hint(path: str, places: Mapping[bytes, Any]) -> str:
    """Which URLs there are, for who asked for another."""
    return "there is " + ", ".join(f"{path}{name.decode()}" for name in places)
