"""The token for one server: asked for when it is wanted, renewed before it ends, kept from others.

Nothing is asked for before the server has said, with a 401, that it wants a token; from then on
every request carries one. What is carried goes to the server's own origin and nowhere else. However
many requests find out at once, one token is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.iweb import IResponse
from zope.interface import implementer

from mcptwist.auth.asking.discovery import Challenge, read_challenge
from mcptwist.auth.asking.signin import Granted, NotOffered, SignIn, Want, nonce_in
from mcptwist.errors import McpTwistError, SignInFailed
from mcptwist.interfaces import IAdmission
from mcptwist.protocols.upstream import origin

_EARLY, _PART = 30.0, 0.1
"""Seconds before its end that a token is renewed, but no more than this part of its time."""
_PAUSE = 5.0
"""Seconds between two tries, as servers have patience with those who fail only so often."""
_MOST_STEPS, _LATELY = 3, 600.0
"""How often more scopes are asked for within so many seconds."""
_FORBIDDEN = 403

Pairs = list[tuple[bytes, bytes]]


class Held(msgspec.Struct, frozen=True):
    """A token that we have.

    :ivar since: when it was given, by the clock.
    """

    granted: Granted
    since: float

    @property
    def ends(self) -> float:
        """When it is good no more."""
        return self.since + self.granted.lifetime

    @property
    def grows_old(self) -> float:
        """When it is time for another."""
        return self.ends - min(_EARLY, _PART * self.granted.lifetime)


@implementer(IAdmission)
class TokenSource:
    """Lets requests in at one server.

    :param signing: asks for tokens.
    :param scopes: that are wanted beside those that the server names.
    """

    def __init__(self, signing: SignIn, clock: IReactorTime, scopes: Iterable[str] = ()) -> None:
        self._signing = signing
        self._clock = clock
        self._wanted = frozenset(scopes)
        self._denied: frozenset[str] = frozenset()
        self._challenge: Challenge | None = None
        self._held: Held | None = None
        self._waiting: list[Deferred[Held]] = []
        self._failed: tuple[float, McpTwistError] | None = None
        self._spent = self._doubted = ""
        self._is_more = False
        self._steps: list[float] = []

    @property
    def secrets(self) -> frozenset[str]:
        """What must not be shown of what is sent."""
        return frozenset() if self._held is None else frozenset({self._held.granted.token})

    @property
    def asks_person(self) -> bool:
        """Whether a person is being asked to log in."""
        return self._signing.asks_person

    def headers(
        self, method: str, url: str, sent: Sequence[tuple[bytes, bytes]] = (), body: bytes = b""
    ) -> Deferred[Pairs]:
        """See :meth:`mcptwist.interfaces.IAdmission.headers`."""
        return Deferred.fromCoroutine(self._headers(method, url))

    def turned_away(self, response: IResponse, sent: Pairs) -> Deferred[bool]:
        """See :meth:`mcptwist.interfaces.IAdmission.turned_away`."""
        return Deferred.fromCoroutine(self._turned_away(response, sent))

    def come(self, method: str, url: str) -> Deferred[Pairs]:
        """See :meth:`mcptwist.interfaces.IAdmission.come`."""
        return Deferred.fromCoroutine(self._come(method, url))

    def doubt(self) -> None:
        """See :meth:`mcptwist.interfaces.IAdmission.doubt`."""
        if self._held is not None:
            self._spent, self._held = self._held.granted.token, None

    def sign(self) -> bool:
        """See :meth:`mcptwist.interfaces.IAdmission.sign`."""
        return False

    async def _come(self, method: str, url: str) -> Pairs:
        if self._held is None:
            try:
                await self._another()
            except NotOffered:
                return []
        return await self._headers(method, url)

    async def _headers(self, method: str, url: str) -> Pairs:
        held = self._held
        if held is None or not self._is_own(url):
            return []
        if self._clock.seconds() >= held.grows_old:
            self._spent = held.granted.token
            held = await self._renewed(held)
        granted = held.granted
        if not granted.proof:
            return [(b"authorization", b"Bearer " + granted.token.encode())]
        proof = self._signing.possession.proof(granted.proof, method, _as_http(url), granted.token)
        bound = b"DPoP " + granted.token.encode()
        return [(b"authorization", bound), (b"dpop", proof.encode())]

    async def _renewed(self, held: Held) -> Held:
        try:
            return await self._another()
        except McpTwistError:
            if self._clock.seconds() < held.ends:
                return held  # it is good still, and there is time to try again
            self._held = None
            raise

    async def _turned_away(self, response: IResponse, sent: Pairs) -> bool:
        values = response.headers.getRawHeaders(b"www-authenticate", [])
        challenge = read_challenge(values)
        is_news = self._signing.possession.notice(self._signing.url, nonce_in(response))
        carried = dict(sent).get(b"authorization", b"").partition(b" ")[2].decode()
        if response.code == _FORBIDDEN:
            return await self._step_up(challenge)
        if carried and is_news and challenge is not None and challenge.error == "use_dpop_nonce":
            return True
        return await self._let_in(challenge, carried)

    async def _let_in(self, challenge: Challenge | None, carried: str) -> bool:
        """A request was answered 401; whether there is another token now."""
        held = self._held
        if held is not None and carried != held.granted.token:
            return True  # another request has found out meanwhile
        if held is not None:
            if not await self._is_past(held, challenge):
                return False  # it does not take what it was given
            self._spent = carried
        self._challenge = challenge or self._challenge
        try:
            await self._another()
        except NotOffered:
            if challenge is None:
                return False
            raise
        return True

    async def _is_past(self, held: Held, challenge: Challenge | None) -> bool:
        """Whether it makes sense to have another in the place of one that was refused."""
        if held.granted.is_kept or self._clock.seconds() - held.since >= _PAUSE:
            self._signing.look_again()
            return True
        if self._doubted == held.granted.token:
            return False
        self._doubted = held.granted.token
        try:
            return await self._signing.has_moved(challenge)
        except SignInFailed:
            return False

    async def _step_up(self, challenge: Challenge | None) -> bool:
        """A request was answered 403; whether a token with more scopes was to be had."""
        if challenge is None or challenge.error != "insufficient_scope":
            return False
        wanted, more = self._wanted, challenge.scopes - self._wanted - self._denied
        if not more or self._held is None or self._is_tired():
            return False
        before = self._challenge.scopes if self._challenge is not None else frozenset()
        self._wanted |= challenge.scopes | before
        self._is_more = True
        try:
            await self._another()
        except SignInFailed:
            # Its own refusal says better what is missing, and what we have is still good.
            self._wanted, self._failed = wanted, None
            self._denied |= more
            return False
        finally:
            self._is_more = False
        return True

    def _is_tired(self) -> bool:
        """Whether more was wanted too often of late: a server might never have enough."""
        now = self._clock.seconds()
        self._steps = [each for each in self._steps if now - each < _LATELY] + [now]
        return len(self._steps) > _MOST_STEPS

    async def _another(self) -> Held:
        """Another token; one is asked for at a time.

        :raises McpTwistError: there is none.
        """
        if self._failed is not None and self._clock.seconds() < self._failed[0]:
            raise self._failed[1]
        waiter: Deferred[Held] = Deferred(self._leave)
        is_first = not self._waiting
        self._waiting.append(waiter)
        if is_first:
            asking = Deferred.fromCoroutine(self._ask())
            asking.addBoth(self._asked)
        return await waiter

    def _leave(self, waiter: Deferred[Held]) -> None:
        """Who waits no more leaves its place to others: what is asked for is theirs too."""
        nobody: Deferred[Held] = Deferred()
        nobody.addErrback(lambda _: None)
        self._waiting[self._waiting.index(waiter)] = nobody

    async def _ask(self) -> Held:
        want = Want(self._wanted, spent=self._spent, is_more=self._is_more)
        granted = await self._signing.token(self._challenge, want)
        return Held(granted, self._clock.seconds())

    def _asked(self, outcome: Held | Failure) -> None:
        waiting, self._waiting = self._waiting, []
        if not isinstance(outcome, Failure):
            self._failed, self._held = None, outcome
            for waiter in waiting:
                waiter.callback(outcome)
            return
        problem = _known(outcome)
        self._failed = self._clock.seconds() + _PAUSE, problem
        for waiter in waiting:
            waiter.errback(Failure(problem))

    def _is_own(self, url: str) -> bool:
        return origin(_as_http(url)) == origin(_as_http(self._signing.url))


def _known(failure: Failure) -> McpTwistError:
    problem = failure.value
    if isinstance(problem, McpTwistError):
        return problem
    return SignInFailed(f"signing in broke: {failure.getErrorMessage()}")


def _as_http(url: str) -> str:
    """The URL of a WebSocket as that of the request that opens it."""
    return f"http{url[2:]}" if url.lower().startswith("ws") else url
