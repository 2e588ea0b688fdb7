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
        of, standing, people = self._of, self._of.doorstep.on, self._of.people
        waiting = logins = Gauge(used=0, limit=0)
        if people is not None:
            waiting = Gauge(used=len(people.approvals), limit=people.approvals.bounds.limit)
            logins = Gauge(used=len(people.logins), limit=people.logins.limit)
        return {
            "auth_keys": Gauge(used=len(of.keyring)),
            "auth_keys_refused": Gauge(used=len(of.keyring.told.refused)),
            "auth_tokens": Gauge(used=len(of.tokens), limit=of.tokens.limit),
            "auth_tickets": Gauge(used=len(of.tickets), limit=of.tickets.limit),
            "auth_uses": Gauge(used=len(of.replays), limit=of.replays.limit),
            "auth_signatures": Gauge(used=len(of.signatures), limit=of.signatures.limit),
            "auth_tasks": Gauge(used=len(of.handles.tasks), limit=of.handles.tasks.limit),
            "auth_unproved": Gauge(used=len(of.doorstep), limit=standing.most),
            "auth_waiting": waiting,
            "auth_logins": logins,
            "auth_sources": Gauge(used=len(of.penalties), limit=of.penalties.limit),
            "auth_sources_waiting": Gauge(used=of.penalties.waiting),
        }

    def snapshot(self) -> dict[str, int]:
        """What has happened so far: each event, and how often each bound was reached."""
        of, people = self._of, self._of.people
        events = {f"events.{name}": count for name, count in of.audit.counts.items()}
        return {
            "admitted": of.guard.admitted,
            "tokens_displaced": of.tokens.displaced,
            "tokens_refused": of.tokens.refused,
            "tickets_displaced": of.tickets.displaced,
            "tickets_refused": of.tickets.refused,
            "uses_refused": of.replays.refused,
            "signatures_refused": of.signatures.refused,
            "tasks_forgotten": of.handles.tasks.forgotten,
            "waiting_refused": 0 if people is None else people.approvals.refused,
            "logins_refused": 0 if people is None else people.logins.refused,
            "logins_displaced": 0 if people is None else people.logins.displaced,
            "hasty": of.pace.hasty,
            "sources_forgotten": of.penalties.forgotten,
            "streams_aged": of.presence.aged,
            "audit_failures": of.audit_failures,
            **events,
        }
