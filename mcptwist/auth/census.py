"""What the gatehouse holds and has counted, for the metrics. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcptwist.watching.status import Gauge

if TYPE_CHECKING:
    from mcptwist.auth.gatehouse import Gatehouse


class Census:
    """Looks at a gatehouse when somebody asks; nothing is counted for it alone.

    :param of: the gatehouse.
    """

    def __init__(self, of: Gatehouse) -> None:
        self._of = of

    def gauges(self) -> dict[str, Gauge]:
        """What there is now of all that has a bound."""
        of, books, people = self._of, self._of.books, self._of.people
        waiting = logins = Gauge(used=0, limit=0)
        if people is not None:
            waiting = Gauge(used=len(people.approvals), limit=people.approvals.bounds.limit)
            logins = Gauge(used=len(people.logins), limit=people.logins.limit)
        return {
            "auth_keys": Gauge(used=len(books.keyring)),
            "auth_keys_refused": Gauge(used=len(books.keyring.told.refused)),
            "auth_tokens": Gauge(used=len(books.tokens), limit=books.tokens.limit),
            "auth_tickets": Gauge(used=len(books.tickets), limit=books.tickets.limit),
            "auth_uses": Gauge(used=len(books.replays), limit=books.replays.limit),
            "auth_signatures": Gauge(used=len(books.signatures), limit=books.signatures.limit),
            "auth_tasks": Gauge(used=len(books.handles.tasks), limit=books.handles.tasks.limit),
            "auth_unproved": Gauge(used=len(of.doorstep), limit=of.doorstep.on.most),
            "auth_waiting": waiting,
            "auth_logins": logins,
            "auth_sources": Gauge(used=len(books.penalties), limit=books.penalties.limit),
            "auth_sources_waiting": Gauge(used=books.penalties.waiting),
        }

    def snapshot(self) -> dict[str, int]:
        """What has happened so far: each event, and how often each bound was reached."""
        of, books, people = self._of, self._of.books, self._of.people
        events = {f"events.{name}": count for name, count in of.audit.counts.items()}
        return {
            "admitted": of.guard.admitted,
            "tokens_displaced": books.tokens.displaced,
            "tokens_refused": books.tokens.refused,
            "tickets_displaced": books.tickets.displaced,
            "tickets_refused": books.tickets.refused,
            "uses_refused": books.replays.refused,
            "signatures_refused": books.signatures.refused,
            "tasks_forgotten": books.handles.tasks.forgotten,
            "waiting_refused": 0 if people is None else people.approvals.refused,
            "logins_refused": 0 if people is None else people.logins.refused,
            "logins_unkept": 0 if people is None else people.logins.store.failures,
            "logins_displaced": 0 if people is None else people.logins.displaced,
            "hasty": books.pace.hasty,
            "sources_forgotten": books.penalties.forgotten,
            "streams_aged": of.presence.aged,
            "audit_failures": of.audit_failures,
            **events,
        }
