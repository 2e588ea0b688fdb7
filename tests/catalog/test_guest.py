"""What a session told all servers as one."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.catalog.directory import PROMPTS, TOOLS, Owned
from mcptwist.catalog.guest import Guest


class GuestTests(SynchronousTestCase):
    def test_part(self) -> None:
        """Of a server that is no more nothing is remembered, and of the others everything."""
        guest = Guest()
        reading: dict[str, Deferred[None]] = {name: Deferred() for name in "ab"}
        for name in "ab":
            guest.met.add(name)
            guest.missed.add((name, TOOLS))
            guest.missed.add((name, PROMPTS))
            guest.late[name, TOOLS] = reading[name]
            guest.remember(f"{name}:1", Owned(name, "1"))
        guest.part("a")
        self.failureResultOf(reading["a"], CancelledError)
        self.assertNoResult(reading["b"])
        self.assertEqual(guest.met, {"b"})
        self.assertEqual(guest.missed, {("b", TOOLS), ("b", PROMPTS)})
        self.assertEqual(list(guest.late), [("b", TOOLS)])
        self.assertEqual(guest.subscribed, {"b:1": Owned("b", "1")})
        self.assertIsNone(guest.known_as(Owned("a", "1")))
