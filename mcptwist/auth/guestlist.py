"""Who is logged in, and showing one of them out: for whoever administers the daemon.

A login is what a person gave a client by an approval, or a token that a key asked for itself. Who
comes with a certificate, proves a key on a WebSocket or signs each request has no login: that ends
with the connection, or with the key.
"""

from __future__ import annotations

import heapq
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from twisted.logger import Logger

from mcptwist.auth.addresses import endpoint_of
from mcptwist.auth.audit import Audit
from mcptwist.auth.authorizedkeys import SCOPES
from mcptwist.auth.oauth.logins import Login, Logins
from mcptwist.auth.oauth.registrations import client_of
from mcptwist.auth.oauth.tokens import KEY, Token, TokenTable, mark_of
from mcptwist.auth.presence import Presence
from mcptwist.watching.reports import CannotEnd, LoginStatus
from mcptwist.watching.reports import Logins as Told

DIGITS, MOST_DIGITS = 8, 16
"""Of what a login is called: the fewest, and the most that are needed to tell it from others."""

_BUT = "; its key is good still and can get another token, until it is revoked"
_NAME = re.compile(rf"[0-9a-f]{{{DIGITS},{MOST_DIGITS}}}\Z", re.ASCII)


class Guest(Protocol):
    """What a person's login and the token of a key have in common.

    :ivar login: its id.
    :ivar key: the fingerprint of the key that it is in the name of.
    :ivar client: the ``client_id``; empty for who has the key.
    :ivar way: how it was given.
    :ivar resource: what it is for (:attr:`Address.resource`).
    :ivar begun: when it was given, by the clock that only goes forward.
    :ivar used: when it was used last, by that clock; ``None`` if it never was.
    :ivar source: the address it was used from last.
    :ivar jkt: the thumbprint of the key that it is bound to, if to one.
    """

    way: str
    begun: float
    deadline: float
    jkt: str | None

    @property
    def login(self) -> str: ...
    @property
    def principal(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def client(self) -> str: ...
    @property
    def resource(self) -> str: ...
    @property
    def scopes(self) -> frozenset[str]: ...
    @property
    def used(self) -> float | None: ...
    @property
    def source(self) -> str: ...


class GuestList:
    """See :class:`~mcptwist.watching.reports.Guests`.

    :param tokens: all that were given out.
    :param logins: of people; ``None`` where there are none.
    :param presence: who is here.
    :param wall: seconds since 1970.
    :param monotonic: seconds that only grow.
    """

    log = Logger()

    def __init__(
        self,
        tokens: TokenTable,
        logins: Logins | None,
        presence: Presence,
        audit: Audit,
        wall: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._tokens = tokens
        self._logins = logins
        self._presence = presence
        self._audit = audit
        self._wall = wall
        self._monotonic = monotonic

    def told(self, whose: str = "", limit: int = 500) -> Told:
        """Those who are logged in, who was heard last first.

        :param whose: a principal's name or a key's fingerprint; everybody's otherwise.
        :param limit: how many at most.
        """
        everyone = list(self._all())
        found = [each for each in everyone if whose in ("", each.principal, each.key)]
        last = heapq.nlargest(limit, found, key=_heard)
        names = Counter(mark_of(each.login) for each in everyone)
        here = self._presence.logins()
        told = [self._status(each, names, here) for each in last]
        return Told(len(found), self._wall(), told)

    def end(self, name: str) -> str:
        """End one at once, with everything that came of it.

        :param name: what it is called in :meth:`told`.
        :return: what has ended, in words.
        :raises CannotEnd: there is none of that name, or several; or it is not known beyond the
            daemon's end that it has ended.
        """
        one = self._find(name)
        tokens, is_kept = self._ended(one)
        ended = {"tokens": tokens, **self._presence.dismiss_login(one.login)}
        self._tell("auth.login.ended", one, reason="an administrator has ended it", **ended)
        self.log.warn("a login of {principal} is ended by request", principal=one.principal)
        if not is_kept:
            self._tell("auth.login.unkept", one)
            raise CannotEnd(
                f"{name} has ended, but that cannot be written to the store of logins; until it "
                "is, which is tried again and again, a restart would bring it back"
            )
        return f"{name} of {one.principal} has ended{_with(ended)}{_BUT if one.way == KEY else ''}"

    def _ended(self, one: Guest) -> tuple[int, bool]:
        """How many tokens ended with it, and whether that is known beyond the daemon's end."""
        if isinstance(one, Token):
            return int(self._tokens.end(one)), True
        assert isinstance(one, Login)
        assert self._logins is not None
        return self._logins.end(one), not self._logins.store.is_behind

    def _all(self) -> Iterator[Guest]:
        if self._logins is not None:
            yield from filter(self._logins.is_open, self._logins)
        now = self._monotonic()
        for token in self._tokens:
            if not token.client and token.deadline > now:
                yield token

    def _find(self, name: str) -> Guest:
        """The one of that name, which may have more digits than are needed."""
        is_name = _NAME.match(name)
        found = [one for one in self._all() if is_name and _whole_name(one).startswith(name)]
        if not found:
            raise CannotEnd(f"no login is called {name}; it may have ended by itself")
        if len(found) > 1:
            names = " or ".join(sorted(map(_whole_name, found)))
            raise CannotEnd(f"{name} may be {names}; say which")
        return found[0]

    def _status(self, one: Guest, names: Counter[str], here: Counter[str]) -> LoginStatus:
        name = mark_of(one.login)
        epoch = self._wall() - self._monotonic()
        client = client_of(one.client)
        return LoginStatus(
            id=name if names[name] == 1 else _whole_name(one),
            principal=one.principal,
            key=one.key,
            client="" if client is None else client.name,
            way=one.way,
            resource=endpoint_of(one.resource),
            scopes=tuple(scope for scope in SCOPES if scope in one.scopes),
            since=epoch + one.begun,
            ends=epoch + one.deadline,
            last_used=None if one.used is None else epoch + one.used,
            source=one.source,
            open=here[one.login],
            bound=one.jkt is not None,
        )

    def _tell(self, event: str, one: Guest, **more: object) -> None:
        self._audit.tell(
            event,
            principal=one.principal,
            key=one.key,
            client=one.client or None,
            login=mark_of(one.login),
            token=one.mark if isinstance(one, Token) else None,
            **more,
        )


def _with(ended: Mapping[str, int]) -> str:
    """What ended with a login, in words."""
    told = [f"{n} {what if n != 1 else what.removesuffix('s')}" for what, n in ended.items() if n]
    return f", with {', '.join(told)}" if told else ""


def _whole_name(one: Guest) -> str:
    return mark_of(one.login, MOST_DIGITS)


def _heard(one: Guest) -> float:
    return one.begun if one.used is None else one.used
