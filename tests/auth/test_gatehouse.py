"""What stands between a stranger and the daemon, put together: what it forgets, and how it ends."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from unittest import mock

from twisted.internet.task import Clock

from mcptwist.auth.denials import InsufficientScope, NotAllowed
from mcptwist.auth.gatehouse import Gatehouse
from mcptwist.auth.realm import TOKEN, Proved, principal_of
from mcptwist.configuration.gateconfig import Auth
from mcptwist.configuration.peopleconfig import People
from tests.auth.closed import FULL, HERE, MCP, ClosedCase
from tests.auth.people import NOW
from tests.auth.proving import UPGRADE
from tests.conversations.posting import Response

SWEEP = 15.0
"""Seconds between two sweeps."""


class SweepTests(ClosedCase):
    """What is over goes by itself, within seconds, and not only when somebody asks for it."""

    def pass_by(self, seconds: float) -> None:
        self.house.turn(seconds, SWEEP)

    def ticket(self) -> str:
        headers = {"Authorization": f"Bearer {self.house.token(self.alice)}"}
        answer = self.house.request("POST", "/oauth/ws-ticket", headers)
        text: str = answer.json["ticket"]
        return text

    def test_tokens(self) -> None:
        self.house.token(self.alice, expires_in="60")
        books = self.house.gatehouse.books
        self.assertEqual(len(books.tokens), 1)
        self.pass_by(60 + SWEEP)
        self.assertEqual(len(books.tokens), 0)

    def test_tickets(self) -> None:
        self.ticket()
        books = self.house.gatehouse.books
        self.assertEqual(len(books.tickets), 1)
        self.pass_by(30 + SWEEP)
        self.assertEqual(len(books.tickets), 0)

    def test_withdrawn(self) -> None:
        """Nothing that was given to a key outlives it, though the key should come back."""
        books = self.house.gatehouse.books
        text = self.ticket()
        self.house.write(self.line("bob"))
        self.house.look()
        self.assertEqual((len(books.tokens), len(books.tickets)), (0, 0))
        self.house.write(*self.authorized())
        self.house.look()
        offered = {**UPGRADE, "Sec-WebSocket-Protocol": f"mcp, mcp.ticket.{text}"}
        answer: Response = self.house.request("GET", "/ws", offered)
        self.assertEqual(answer.status, 401)
        self.assert_unseen()


class GatehouseCase(ClosedCase):
    """A gatehouse of its own beside that of the house."""

    def setUp(self) -> None:
        super().setUp()
        self.own = Path(self.mktemp())
        self.own.mkdir(mode=0o700)
        self.clock = Clock()

    def gatehouse(self, **settings: Any) -> Gatehouse:
        numbers = iter(range(1, 1000))
        authorized = str(self.house.place / "authorized_keys")
        made = Gatehouse(
            Auth(authorized_keys=authorized, **settings),
            self.clock,
            lambda size: next(numbers).to_bytes(size, "big"),
            lambda: NOW + self.clock.seconds(),
            NOW,
        )
        made.startService()
        self.addCleanup(made.stopService)
        return made

    def open_files(self) -> list[str]:
        """Those of ours."""
        found = [f"/proc/self/fd/{each}" for each in os.listdir("/proc/self/fd")]
        paths = [os.readlink(each) for each in found if os.path.lexists(each)]
        within = os.path.realpath(self.own)
        return sorted(os.path.basename(path) for path in paths if path.startswith(within))


class EndTests(GatehouseCase):
    """The daemon stops."""

    def test_nothing_is_left(self) -> None:
        """No timer, and no file."""
        self.clock.advance(1)
        gatehouse = self.gatehouse(
            audit_log=str(self.own / "audit.log"),
            replay_store=str(self.own / "replay.sqlite3"),
            people=People(store=str(self.own / "logins.sqlite3")),
        )
        gatehouse.books.replays.first_use("a", "b", NOW + 60)
        assert gatehouse.people is not None
        gatehouse.people.logins.store.end(["nobody's"])
        self.assertIn("audit.log", self.open_files())
        self.assertIn("replay.sqlite3", self.open_files())
        self.assertIn("logins.sqlite3", self.open_files())
        self.assertEqual(len(self.clock.getDelayedCalls()), 2)
        gatehouse.stopService()
        self.assertEqual(self.open_files(), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_after_the_end(self) -> None:
        """Who goes only then is told of as well, and leaves no file open behind them."""
        path = self.own / "audit.log"
        gatehouse = self.gatehouse(audit_log=str(path))
        gatehouse.stopService()
        for event in ("mcp.late", "mcp.later"):
            gatehouse.audit.tell(event)
            self.assertIn(f'"{event}"', path.read_text())
            self.assertEqual(self.open_files(), [])


class AuditTests(GatehouseCase):
    """The audit log."""

    def test_moved_away(self) -> None:
        """It is made anew within a sweep, though nothing happens meanwhile."""
        path = self.own / "audit.log"
        gatehouse = self.gatehouse(audit_log=str(path))
        path.rename(self.own / "audit.log.1")
        self.clock.advance(SWEEP)
        self.assertTrue(path.exists())
        gatehouse.audit.tell("mcp.x")
        self.assertIn('"mcp.x"', path.read_text())
        self.assertNotIn("mcp.x", (self.own / "audit.log.1").read_text())
        self.assertEqual(gatehouse.audit_failures, 0)

    def test_failures(self) -> None:
        """They are counted, and there are none where there is no file."""
        self.assertEqual(self.gatehouse().audit_failures, 0)
        gatehouse = self.gatehouse(audit_log=str(self.own / "audit.log"))
        with mock.patch.object(os, "write", side_effect=OSError(28, "No space left")):
            gatehouse.audit.tell("mcp.x")
            gatehouse.audit.tell("mcp.x")
        self.assertEqual(gatehouse.audit_failures, 2)


class LookTests(GatehouseCase):
    """What is looked at by itself: what people did not answer, and what may have changed."""

    def test_often(self) -> None:
        """Whoever is withdrawn is out within a second, and so is what is open for too long."""
        gatehouse = self.gatehouse()
        with (
            mock.patch.object(gatehouse.files, "look") as files,
            mock.patch.object(gatehouse.presence, "look") as presence,
        ):
            self.clock.pump([0.1] * 10)
            self.assertGreaterEqual(files.call_count, 3)
            self.assertGreaterEqual(presence.call_count, 3)

    def test_expires(self) -> None:
        gatehouse = self.gatehouse(people=People())
        people = gatehouse.people
        assert people is not None
        with (
            mock.patch.object(people.approvals, "expire") as approvals,
            mock.patch.object(people.devices.devices, "expire") as devices,
            mock.patch.object(people.browsers, "look") as browsers,
            mock.patch.object(people.logins, "expire") as logins,
        ):
            self.clock.advance(SWEEP)
            for called in (approvals, devices, browsers, logins):
                self.assertEqual(called.call_count, 1)


class WatcherTests(GatehouseCase):
    """Who may see how all servers do."""

    def admitted(self, scopes: str, options: str = "") -> Any:
        self.house.write(self.line("alice", f'scope="{scopes}"{options}'))
        self.house.look()
        gatehouse = self.house.gatehouse
        grant = gatehouse.books.keyring.grant(self.alice.public.fingerprint)
        assert grant is not None
        request = mock.Mock(path=b"/metrics", method=b"GET", is_secure=False)
        request.header.return_value = MCP.partition("://")[2].partition("/")[0].encode()
        request.stream.port = int(MCP.rpartition(":")[2].partition("/")[0])
        request.stream.peer.host = HERE
        request.principal = principal_of(Proved(grant, TOKEN))
        return request

    def test_each(self) -> None:
        """Who may read, and may read everything."""
        admit = self.house.gatehouse.admit_watcher
        admit(self.admitted("mcp:read"))
        self.assertRaises(InsufficientScope, admit, self.admitted("mcp:call"))
        self.assertEqual(self.house.events()[-1]["event"], "auth.stepup")
        for options in (',tools="a"', ',resources="a"', ',prompts="a"'):
            restricted = self.admitted(FULL, options)
            self.assertRaises(NotAllowed, admit, restricted)
            told = self.house.events("auth.request.denied")[-1]
            self.assertEqual((told["reason"], told["path"]), ("restricted reach", "/metrics"))
