"""The gate: the root of the tree of HTTP resources.

What is public is listed in it; all the rest is behind the :class:`~mcptwist.auth.guard.Guard`, also
what is not there at all. Past it a request has a ``principal`` and no credentials any more: no
resource, no log and no server behind can see them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from mcptwist.auth.denials import Denied, NothingBrought, deny
from mcptwist.auth.doorstep import Doorkeeper, Doorstep
from mcptwist.auth.guard import Guard, is_lasting
from mcptwist.auth.httpsignatures import INPUT, SIGNATURE
from mcptwist.auth.realm import Principal
from mcptwist.caller import Caller
from mcptwist.protocols.lazyrequest import Omission
from mcptwist.protocols.request import IAsksEarly, Request
from mcptwist.protocols.site import PLACE as SITE_PLACE
from mcptwist.protocols.site import descend
from mcptwist.protocols.vestibule import TurnedAway, Vestibule
from mcptwist.protocols.wsplace import WebSocketPlace

NOT_FOUND = 4404
"""What a WebSocket is closed with that was opened where there is none."""

_CREDENTIALS = frozenset(
    {b"authorization", b"dpop", b"cookie", b"proxy-authorization", SIGNATURE, INPUT}
)


@implementer(IAsksEarly)
class Gate:
    """The root of the tree.

    :param inside: the root of what is behind the guard.
    :param public: what is not, by the first part of its path.
    :param opened: told of each request that was let in, but for those that have the head of one
        before on their connection; says whether somebody came with it.
    :param arrived: told of the request that somebody came with.
    :param doorstep: where those stand who prove who they are on a WebSocket.
    :param vestibule: where these are opened.
    """

    isLeaf = True

    def __init__(
        self,
        guard: Guard,
        inside: Any,
        public: Mapping[bytes, Any],
        opened: Callable[[Request], bool] = lambda request: False,
        arrived: Callable[[Request], object] = lambda request: None,
        doorstep: Doorstep | None = None,
        vestibule: Vestibule | None = None,
    ) -> None:
        self._guard = guard
        self._inside = inside
        self._public = dict(public)
        self._opened = opened
        self._arrived = arrived
        self._doorstep = doorstep
        self._vestibule = vestibule

    def getChildWithDefault(self, name: bytes, request: Request) -> Any:
        """There is nothing below the gate; it walks on by itself."""
        raise AssertionError("isLeaf")

    def putChild(self, name: bytes, child: Any) -> None:
        """There is nothing below the gate."""
        raise AssertionError("isLeaf")

    def render(self, request: Request) -> int:
        """Let *request* in, or not."""
        facts = request.facts
        # What the site concluded from the head, if it did, is that we are asked; we look further.
        is_known = facts is not None and facts.pop(SITE_PLACE, None) is not None
        if self._is_public(request):
            return NOT_DONE_YET
        try:
            principal = request.principal = self._guard.admit(request)
        except NothingBrought as nothing:
            self._hear_or_deny(request, nothing)
            return NOT_DONE_YET
        except Denied as denied:
            deny(request, denied)
            return NOT_DONE_YET
        self._guard.admitted += 1
        request.forget(_CREDENTIALS)
        if self._opened(request):
            self._arrived(request)
        place = descend(self._inside, request)
        if is_known and is_lasting(principal) and IAsksEarly.providedBy(place):
            assert facts is not None
            facts[SITE_PLACE] = _KnownHead(self._guard, principal, place, request.site)
        _ask(place, request)
        return NOT_DONE_YET

    def _hear_or_deny(self, request: Request, nothing: NothingBrought) -> None:
        """Let who offers to prove a key on a WebSocket do so, and nobody else."""
        doorstep, vestibule = self._doorstep, self._vestibule
        if doorstep is None or vestibule is None or not doorstep.is_wanted(request):
            deny(request, nothing)
            return
        keepers: list[Doorkeeper] = []

        def make_keeper() -> Doorkeeper:
            keepers.append(doorstep.keeper(request))
            return keepers[0]

        vestibule.open(request, make_keeper, lambda _: self._proved_there(request, keepers[0]))

    def _proved_there(self, request: Request, keeper: Doorkeeper) -> Caller:
        """The client that came with *request*, and has proved who it is since.

        :raises TurnedAway: there is nothing there; nobody hears that who has not.
        """
        request.principal = keeper.principal
        self._guard.admitted += 1
        place = descend(self._inside, request)
        if not isinstance(place, WebSocketPlace):
            raise TurnedAway(NOT_FOUND, "there is no WebSocket there")
        return place.adopt(request)

    def _is_public(self, request: Request) -> bool:
        """Answer what anybody may ask."""
        segments = request.postpath
        public = self._public.get(segments[0]) if segments else None
        if public is None or not segments:
            return False
        assert request.prepath is not None
        request.prepath.append(segments.pop(0))
        _ask(descend(public, request), request)
        return True


class _KnownHead:
    """Takes the place of the gate for heads like one that was let in, on the same connection.

    The same head comes from the same principal and leads to the same place; whether that one may
    still go there is asked each time.
    """

    __slots__ = ("_guard", "_lasting", "_monotonic", "_omission", "_place", "_principal", "_site")

    def __init__(self, guard: Guard, principal: Principal, place: Any, site: Any) -> None:
        self._guard = guard
        self._principal = principal
        self._lasting = guard.lasting(principal)
        self._monotonic = guard.monotonic
        self._omission = Omission(_CREDENTIALS)
        self._place = place
        self._site = site

    def render(self, request: Request) -> int:
        """Let *request* in; if what it comes with is not good any more, look at all of it anew."""
        lasting, now = self._lasting, self._monotonic()
        if lasting.deadline <= now:
            assert request.facts is not None
            del request.facts[SITE_PLACE]
            self._site.received(request)
            return NOT_DONE_YET
        lasting.used = now
        self._guard.admitted += 1
        request.principal = self._principal
        omission = self._omission
        if request.fields is omission.whole:  # as it mostly is: asked here, for a call costs more
            request.fields = omission.rest
        else:
            omission.apply(request)
        self._place.render(request)
        return NOT_DONE_YET


def _ask(resource: Any, request: Request) -> None:
    site: Any = request.site
    site.ask(resource, request)
