"""The sessions that are known by a key, and their expiry.

MCP 2025-11-25, *Transports, Session Management*.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeAlias

from twisted.logger import Logger

from mcptwist.errors import (
    ClientGone,
    McpTwistError,
    Overloaded,
)

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from mcptwist.interfaces import IView
from mcptwist.session import ANYONE, Session

Foreign: TypeAlias = Callable[[str, str], object]
"""Told of a principal, and of another that came with what belongs to the first."""


class SessionTable:
    """The sessions of the daemon that are known by a key.

    :param clock: turns their idle time.
    :param make_key: returns a new unguessable key (visible ASCII) each time.
    :param limit: how many there may be.
    :param idle: seconds without a word after which a session is forgotten.
    :param in_flight: how many requests of one session may be open, in each direction.
    :param age: seconds after which a session ends, used or not; ``None`` for never.
    :ivar begun: how many there have been so far.
    :ivar expired: how many were forgotten so far.
    :ivar refused: how many clients were turned away for the limit.
    :ivar foreign: told of its owner and who asks, when a session is asked for by another.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        make_key: Callable[[], str],
        limit: int = 10_000,
        idle: float = 1800.0,
        in_flight: int = 256,
        age: float | None = None,
    ) -> None:
        self._clock = clock
        self._make_key = make_key
        self.limit = limit
        self._idle = idle
        self._age = age
        self._in_flight = in_flight
        self._sessions: dict[str, Session] = {}
        self.begun = 0
        self.expired = 0
        self.refused = 0
        self.foreign: Foreign = lambda owner, asker: None

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._sessions.values()))

    def begin(self, view: IView, principal: str = ANYONE) -> Session:
        """Make a session for a client that is about to shake hands.

        :raises Overloaded: there are too many.
        """
        if len(self._sessions) >= self.limit:
            self.refused += 1
            raise Overloaded(
                f"{self.limit} sessions are open; end some, or raise limits.sessions",
                limit="sessions",
            )
        session = Session(self._make_key(), view, self._clock, principal, self._in_flight)
        self._sessions[session.key] = session
        self.begun += 1
        session.number = self.begun
        session.when_ended(self._forget)
        return session

    def find(self, key: str, view: IView, principal: str = ANYONE) -> Session | None:
        """The session of that key, if it is of that view and principal."""
        session = self._sessions.get(key)
        if session is None or session.view is not view:
            return None
        if session.principal != principal:
            self.foreign(session.principal, principal)
            return None
        session.last_used = self._clock.seconds()
        return session

    def expire(self) -> None:
        """Forget those that are idle for too long or too old; to be called now and then."""
        now = self._clock.seconds()
        for session in list(self._sessions.values()):
            if self._age is not None and now - session.began > self._age:
                self._end_expired(session, "the session is too old; send initialize again")
            elif len(session.opened) or _listens(session):
                session.last_used = now
            elif now - session.last_used > self._idle:
                self._end_expired(session, "the session was idle for too long")

    def _end_expired(self, session: Session, why: str) -> None:
        self.expired += 1
        session.end(ClientGone(why))

    def end_all(self, reason: McpTwistError) -> None:
        """The daemon stops."""
        for session in list(self._sessions.values()):
            session.end(reason)

    def _forget(self, session: Session) -> None:
        self._sessions.pop(session.key, None)


def _listens(session: Session) -> bool:
    """Whether the client holds a stream open, which is a sign of life."""
    return bool(getattr(session.back, "open", False))
