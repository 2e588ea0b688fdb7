"""The short tour of ``clients/tour.py``, which covers what differs between the eras.

Progress, being asked for elicitation, sampling and roots, logging, subscription, cancellation: what
a client reports of these must be the same whatever it speaks, over whatever wire, whatever the era
of the server behind and whatever has to be translated in between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twisted.internet.defer import (
    Deferred,
    DeferredList,
    DeferredLock,
    DeferredSemaphore,
    ensureDeferred,
)

from tests.interop.rig import InteropCase, Json

SEEN: Json = {
    "progress": [0, 50, 100],
    "elicitation": 'User response: action=accept, content={"username": "alice", '
    '"email": "alice@example.com"}',
    "sampling": "LLM response: forty-two",
    "roots": "Roots: file:///work",
    "logs": ["Tool execution started", "Tool processing data", "Tool execution completed"],
    "changes": ["test://watched-resource", "tools"],
    "cancelled": True,
}


class TourCase(InteropCase):
    """Tests in which clients take the short tour."""

    async def tour(self, number: int, command: Sequence[str]) -> Json:
        """What one client has to report that it should not."""
        argv = [*command, f"{self.mark}-{number}", "short"]
        report = await self.report_of(argv)
        report["roots"] = str(report["roots"]).rstrip("/")
        return {
            key: {"expected": SEEN.get(key), "reported": report.get(key)}
            for key in SEEN | report
            if SEEN.get(key) != report.get(key)
        }

    def begin_tour(self, *tour: Any) -> Deferred[Json]:
        return ensureDeferred(self.tour(*tour))

    async def assert_tours(self, clients: Mapping[str, Sequence[str]]) -> None:
        """Let all these clients go at the same time.

        :param clients: the command of each, up to its mode, by its name, which begins with its era.
        """
        turns = {"modern": DeferredLock(), "legacy": DeferredSemaphore(len(clients))}
        visits = [
            # Modern clients share a process, and two who want its log messages get none of them,
            # as nobody can tell whose they are: so they go one after the other.
            turns[name.partition(",")[0]].run(self.begin_tour, number, command)
            for number, (name, command) in enumerate(clients.items())
        ]
        done: Any = await DeferredList(visits, consumeErrors=True)
        wrong = {
            name: found if succeeded else found.getErrorMessage()
            for name, (succeeded, found) in zip(clients, done, strict=True)
            if found
        }
        if wrong:
            lines = "\n".join(f"- {name}: {found}" for name, found in wrong.items())
            self.fail(f"{len(wrong)} of {len(clients)} clients report what is wrong:\n{lines}")
