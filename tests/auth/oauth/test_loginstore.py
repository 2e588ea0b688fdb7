"""Logins in a file: as those in memory, and beyond the daemon's end; once, or not at all."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from twisted.internet.task import Clock
from twisted.logger import Logger

from mcptwist.auth.authorizedkeys import Grant, read_line
from mcptwist.auth.denials import CannotStart
from mcptwist.auth.oauth.loginkeeping import NothingKept, NotKept, digest_of_line
from mcptwist.auth.oauth.logins import LoginRefused, Logins
from mcptwist.auth.oauth.loginstore import LoginFile
from mcptwist.auth.oauth.tokens import TokenTable
from mcptwist.configuration.peopleconfig import People
from tests.auth.browsing import BrowserCase
from tests.auth.closed import Closed
from tests.auth.oauth import test_logins
from tests.auth.oauth.test_logins import CLIENT, HOUR, LoginCase, allowed
from tests.auth.people import NOW, key


class FileCase(LoginCase):
    """Logins in a file.

    :ivar moved: how far the wall's clock was set.
    :ivar grants: of the keys that are good.
    """

    def setUp(self) -> None:
        super().setUp()
        self.clock.advance(5000)
        self.place = Path(self.mktemp())
        self.place.mkdir(mode=0o700)
        self.path = str(self.place / "logins.sqlite3")
        self.moved = self.started = 0.0
        self.grants = {key(name).public.fingerprint: allowed(name).grant for name in ("alice",)}
        self.logins = self.open()

    def wall(self) -> float:
        return NOW + self.started + self.clock.seconds() + self.moved

    def open(self, **different: Any) -> Logins:
        """A daemon that has started with the file."""
        store = LoginFile(self.path, self.wall, self.clock.seconds)
        self.addCleanup(store.close)
        tokens = TokenTable(self.clock.seconds, os.urandom)
        self.tokens = tokens
        bounds = {**self.bounds, **different}
        logins = Logins(self.clock.seconds, os.urandom, tokens, store=store, **bounds)
        self.ended = [(kept.id, why) for kept, why in logins.restore(self.grants.get)]
        return logins

    def restart(self, down: float = 0.0, is_crash: bool = False, **different: Any) -> None:
        """End, and start again so many seconds later, on a machine that has no memory of it."""
        store: Any = self.logins.store
        (store._file if is_crash else store).close()
        self.started += self.clock.seconds() + down
        self.clock = Clock()
        self.logins = self.open(**different)

    def renew(self, refresh: str, jkt: str | None = None) -> str:
        """What a client gets for a refresh token, in the order in which the desk does it."""
        login = self.logins.renew(refresh, CLIENT, jkt)
        following = self.logins.next_refresh(login)
        assert following is not None
        return following

    def refused_renewal(self, refresh: str) -> LoginRefused:
        return self.assertRaises(LoginRefused, self.renew, refresh)

    def rows(self) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(self.path)
        try:
            return connection.execute("SELECT * FROM login").fetchall()
        finally:
            connection.close()

    def break_file(self, is_broken: bool = True) -> None:
        """Have nothing be written any more, or again."""
        file: Any = self.logins.store._file  # type: ignore[attr-defined]

        def broken() -> Any:
            raise sqlite3.OperationalError("disk I/O error")

        if is_broken:
            self.broken = self.patch(file, "connection", broken)
        else:
            self.broken.restore()


class FileCodeTests(FileCase, test_logins.CodeTests):
    """What holds in memory."""


class FileRefreshTests(FileCase, test_logins.RefreshTests):
    """What holds in memory."""


class FileEndTests(FileCase, test_logins.EndTests):
    """What holds in memory."""


class FileOneTokenTests(FileCase, test_logins.OneTokenTests):
    """What holds in memory."""

    def test_nothing_is_kept(self) -> None:
        login = self.redeem(self.logins.begin(allowed())[1])
        self.assertIsNone(self.logins.next_refresh(login))
        self.assertEqual(self.rows(), [])


class RestartTests(FileCase):
    def test_goes_on(self) -> None:
        login, refresh = self.logged_in()
        self.clock.advance(HOUR)
        self.restart(HOUR)
        self.assertEqual((len(self.logins), self.ended), (1, []))
        found = self.logins.renew(refresh, CLIENT, None)
        before, after = login.allowed, found.allowed
        for name in ("client", "scopes", "grant"):
            self.assertEqual(getattr(after, name), getattr(before, name), name)
        self.assertEqual(after.resource.url, before.resource.url)
        self.assertEqual(after.resource.resource, before.resource.resource)
        self.assertEqual(found.mark, login.mark)
        self.assertAlmostEqual(self.logins.seconds_left(found), 10 * HOUR)

    def test_several_times(self) -> None:
        _, refresh = self.logged_in()
        for is_crash in (True, False, True):
            refresh = self.renew(refresh)
            self.restart(is_crash=is_crash)
        self.renew(refresh)
        self.assertEqual(len(self.rows()), 1)

    def test_used_before(self) -> None:
        """E7: a token that was used before is known as such; both are out, and stay out."""
        for is_crash in (False, True):
            _, first = self.logged_in()
            second = self.renew(first)
            self.restart(is_crash=is_crash)
            self.assertEqual(
                self.refused_renewal(first).reason, "the refresh token came a second time"
            )
            self.refused_renewal(second)
            self.restart(is_crash=is_crash)
            self.assertTrue(self.refused_renewal(second).is_stale)
            self.assertEqual(self.rows(), [])

    def test_no_answer(self) -> None:
        """E7: the daemon dies between writing and answering: nothing was told, nothing is good."""
        _, refresh = self.logged_in()
        self.renew(refresh)
        self.restart(is_crash=True)
        self.assertIsNotNone(self.refused_renewal(refresh).ended)

    def test_code_that_was_used(self) -> None:
        login, code = self.logins.begin(allowed())
        refresh = self.logins.next_refresh(self.redeem(code))
        self.restart()
        self.assertEqual(self.refused(code).reason, "the code came a second time")
        self.assertTrue(self.refused_renewal(refresh or "").is_stale)
        self.assertEqual(login.allowed.client, CLIENT)

    def test_code_that_was_not(self) -> None:
        """It lasts a minute, and ends with the daemon."""
        _, code = self.logins.begin(allowed())
        self.restart()
        self.assertTrue(self.refused(code).is_stale)

    def test_bound(self) -> None:
        login = self.redeem(self.logins.begin(allowed())[1])
        login.jkt = "thumbprint"
        refresh = self.logins.next_refresh(login) or ""
        self.restart()
        self.assertIsNone(self.refused_renewal(refresh).ended)
        self.renew(refresh, "thumbprint")

    def test_given_back(self) -> None:
        login, refresh = self.logged_in()
        self.logins.end(login)
        self.restart(is_crash=True)
        self.assertTrue(self.refused_renewal(refresh).is_stale)

    def test_nothing_secret(self) -> None:
        """Whoever reads the file can bring nothing of it."""
        login, code = self.logins.begin(allowed())
        refresh = self.logins.next_refresh(self.redeem(code)) or ""
        held = b"".join(path.read_bytes() for path in self.place.iterdir())
        self.assertIn(login.id.encode(), held)
        for text in (code, refresh):
            self.assertNotIn(text.encode(), held)
            self.assertNotIn(text[31:-7].encode(), held)
        for path in self.place.iterdir():
            self.assertEqual(path.stat().st_mode & 0o777, 0o600, path)


class LifeTests(FileCase):
    """A login's time goes on, whatever the daemon and the clocks do."""

    def test_while_the_daemon_is_down(self) -> None:
        _, refresh = self.logged_in()
        self.restart(11.9 * HOUR)
        refresh = self.renew(refresh)
        self.restart(0.1 * HOUR)
        self.assertTrue(self.refused_renewal(refresh).is_stale)
        self.assertEqual((self.ended, self.rows()), ([], []))

    def test_clock_set_back(self) -> None:
        """G19: none lasts longer than it may, while a daemon runs."""
        _, refresh = self.logged_in()
        for _ in range(11):
            self.clock.advance(HOUR)
            refresh = self.renew(refresh)
            self.moved -= 2 * HOUR
            self.restart()
        self.assertAlmostEqual(
            self.logins.seconds_left(self.logins.renew(refresh, CLIENT, None)), HOUR
        )
        self.clock.advance(HOUR)
        self.refused_renewal(refresh)

    def test_clock_set_back_and_nothing_asked(self) -> None:
        """Also of what nobody renews, and after a crash."""
        _, refresh = self.logged_in()
        for _ in range(11 * 60):
            self.clock.advance(60)
            self.logins.expire()
        self.moved -= 24 * HOUR
        self.restart(is_crash=True)
        login = self.logins.renew(refresh, CLIENT, None)
        self.assertAlmostEqual(self.logins.seconds_left(login), HOUR, delta=61)

    def test_clock_set_forward(self) -> None:
        _, refresh = self.logged_in()
        self.moved += 12 * HOUR
        self.restart()
        self.refused_renewal(refresh)

    def test_another_setting(self) -> None:
        """A shorter one counts at once, a longer one for those to come."""
        _, refresh = self.logged_in()
        self.restart(lifetime=HOUR)
        login = self.logins.renew(refresh, CLIENT, None)
        self.assertEqual(self.logins.seconds_left(login), HOUR)
        self.restart(lifetime=24 * HOUR)
        login = self.logins.renew(refresh, CLIENT, None)
        self.assertAlmostEqual(self.logins.seconds_left(login), 12 * HOUR)
        self.restart(lifetime=None)
        self.refused_renewal(refresh)
        self.assertEqual(self.rows(), [])


class KeyTests(FileCase):
    def test_revoked_meanwhile(self) -> None:
        login, refresh = self.logged_in()
        self.grants.clear()
        self.restart()
        self.assertEqual(self.ended, [(login.id, "the key is not good any more")])
        self.refused_renewal(refresh)
        self.grants[login.key] = login.allowed.grant
        self.restart()
        self.refused_renewal(refresh)

    def test_line_changed_meanwhile(self) -> None:
        login, refresh = self.logged_in()
        grant = login.allowed.grant
        self.grants[login.key] = msgspec.structs.replace(grant, scopes=frozenset({"mcp:admin"}))
        self.restart()
        self.assertEqual(len(self.ended), 1)
        self.refused_renewal(refresh)

    def test_withdrawn(self) -> None:
        login, refresh = self.logged_in()
        self.logins.withdraw(login.key)
        self.restart(is_crash=True)
        self.assertTrue(self.refused_renewal(refresh).is_stale)

    def test_lines(self) -> None:
        """Those that say something else are told apart, and others are not."""
        public = key("alice").public.words()

        def digest(options: str, comment: str = "alice") -> bytes:
            return digest_of_line(read_line(f"{options} {public} {comment}".strip()))

        different = [
            "", 'scope="mcp:call"', 'scope="mcp:call mcp:read"', 'tools="a"', 'tools="b"',
            'resources="a"', 'from="10.0.0.0/8"', 'expiry-time="20400101Z"', "require-dpop",
            "no-ws", 'max-token-ttl="5m"', 'resource="/mcp"', 'principal="bob"',
        ]  # fmt: skip
        self.assertEqual(len({digest(options) for options in different}), len(different))
        self.assertEqual(digest('scope="mcp:read mcp:call"'), digest('scope="mcp:call mcp:read"'))
        self.assertEqual(digest('principal="alice"', "x"), digest(""))
        self.assertNotEqual(digest(""), digest_of_line(allowed("bob").grant))


class BoundTests(FileCase):
    def grant(self, name: str) -> Grant:
        grant = allowed(name).grant
        self.grants[grant.key.fingerprint] = grant
        return grant

    def log_in(self, name: str = "alice") -> str:
        login = self.redeem(self.logins.begin(allowed(name, grant=self.grant(name)))[1])
        return self.logins.next_refresh(login) or ""

    def test_of_one_key(self) -> None:
        first, second, third = (self.log_in() for _ in range(3))
        self.restart()
        self.assertTrue(self.refused_renewal(first).is_stale)
        self.restart(per_key=1)
        self.assertTrue(self.refused_renewal(second).is_stale)
        self.renew(third)
        self.assertEqual(len(self.rows()), 1)

    def test_of_all(self) -> None:
        held = [self.log_in(f"key{number}") for number in range(4)]
        self.restart(limit=2)
        self.assertEqual([why for _, why in self.ended], ["there are too many"] * 2)
        for refresh in held[:2]:
            self.renew(refresh)
        self.assertEqual((len(self.logins), len(self.rows())), (2, 2))

    def test_over(self) -> None:
        """What is over is in the file no more."""
        self.log_in()
        self.clock.advance(12 * HOUR)
        self.logins.expire()
        self.assertEqual(self.rows(), [])


class TroubleTests(FileCase):
    def test_not_begun(self) -> None:
        login = self.redeem(self.logins.begin(allowed())[1])
        self.break_file()
        self.assertRaises(NotKept, self.logins.next_refresh, login)
        self.assertIsNone(login.refresh)
        self.logins.end(login)
        self.break_file(False)
        self.logins.expire()
        self.assertFalse(self.logins.store.is_behind)
        self.assertEqual(self.rows(), [])

    def test_not_renewed(self) -> None:
        """The last token is good still, and the next one never was."""
        _, refresh = self.logged_in()
        told: list[str] = []
        store: Any = self.logins.store
        store._file.log = Logger(observer=lambda event: told.append(event["log_level"].name))
        self.break_file()
        for _ in range(2):
            self.assertRaises(NotKept, self.renew, refresh)
        self.assertEqual(self.logins.store.failures, 2)
        self.break_file(False)
        second = self.renew(refresh)
        self.assertEqual(told, ["error", "warn"])
        self.refused_renewal(refresh)
        self.refused_renewal(second)

    def test_end_not_written(self) -> None:
        """It has ended all the same, and is written before anything else is."""
        _, first = self.logged_in()
        second = self.renew(first)
        other = self.redeem(self.logins.begin(allowed())[1])
        self.break_file()
        refused = self.refused_renewal(first)
        self.assertFalse(refused.is_kept)
        self.assertTrue(self.refused_renewal(second).is_stale)
        self.assertTrue(self.logins.store.is_behind)
        self.break_file(False)
        self.logins.next_refresh(other)
        self.assertFalse(self.logins.store.is_behind)
        self.assertEqual([row[1] for row in self.rows()], [other.id])

    def test_end_written_later(self) -> None:
        login, _ = self.logged_in()
        self.break_file()
        self.logins.end(login)
        self.break_file(False)
        self.logins.expire()
        self.assertEqual(self.rows(), [])

    def test_two_daemons(self) -> None:
        """E7: of two that have taken up the same login, one goes on with it."""
        first, (_, refresh) = self.logins, self.logged_in()
        second = self.open()
        login = second.renew(refresh, CLIENT, None)
        following = second.next_refresh(login)
        stale = first.renew(refresh, CLIENT, None)
        refused = self.assertRaises(LoginRefused, first.next_refresh, stale)
        self.assertEqual(refused.reason, "the refresh token was used at another daemon")
        again = second.renew(following or "", CLIENT, None)
        self.assertRaises(LoginRefused, second.next_refresh, again)
        self.assertEqual(self.rows(), [])

    def test_locked(self) -> None:
        """Another that does not stop writing is waited for a little, and no longer."""
        _, refresh = self.logged_in()
        other = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(other.close)
        other.execute("BEGIN IMMEDIATE")
        self.assertRaises(NotKept, self.renew, refresh)
        other.execute("ROLLBACK")
        self.renew(refresh)

    def test_left_behind(self) -> None:
        """What could not be written to the end is told of."""
        login, _ = self.logged_in()
        self.break_file()
        self.logins.end(login)
        told: list[Any] = []
        store: Any = self.logins.store
        store.log = type("Log", (), {"error": lambda *_, **said: told.append(said)})()
        store.close()
        self.assertEqual([each["count"] for each in told], [1])

    def test_nobody_elses(self) -> None:
        os.chmod(self.path, 0o640)
        self.assertRaises(CannotStart, self.open)
        os.chmod(self.path, 0o600)
        for mode in (0o777, 0o770, 0o1777, 0o1770):  # a journal beside it would be believed
            self.place.chmod(mode)
            self.assertRaises(CannotStart, self.open)
        self.place.chmod(0o700)

    def test_no_such_file(self) -> None:
        for path in (self.place / "other", Path("/dev/null/x")):
            self.path = str(path)
            if path.parent.is_dir():
                path.write_bytes(b"x" * 5000)
                path.chmod(0o600)
            self.assertRaises(CannotStart, self.open)

    def test_another_version(self) -> None:
        connection = sqlite3.connect(self.path)
        connection.execute("PRAGMA user_version = 99")
        connection.close()
        self.assertRaises(CannotStart, self.open)

    def test_rows_that_are_none(self) -> None:
        self.logged_in()
        connection = sqlite3.connect(self.path)
        connection.execute("UPDATE login SET scopes = x'00'")
        connection.commit()
        connection.close()
        self.assertRaises(CannotStart, self.open)


class NothingKeptTests(LoginCase):
    """Without a file."""

    def test_nothing(self) -> None:
        self.logged_in()
        other = Logins(self.clock.seconds, os.urandom, self.tokens)
        self.assertEqual((other.restore({}.get), len(other)), ([], 0))
        store = NothingKept()
        store.look()
        store.close()
        self.assertEqual((store.failures, store.is_behind), (0, False))


class DaemonTests(BrowserCase):
    """E7: a daemon that ends, and the next one with its file."""

    def setUp(self) -> None:
        self.file = Path(self.mktemp()).absolute() / "logins.sqlite3"
        self.people = People(store=str(self.file))
        super().setUp()

    def restart(self, *authorized: str, auth: Mapping[str, Any] | None = None) -> None:
        self.house.gatehouse.stopService()
        before = self.house
        self.house = Closed(
            Path(self.mktemp()), *(authorized or self.authorized()), auth=auth or self.auth
        )
        self.house.clock.advance(before.clock.seconds() + 1)
        self.house.answers.extend(before.answers)  # what was given out is a secret still
        self.addCleanup(self.house.gatehouse.stopService)
        self.denials = 0

    def unkept(self) -> dict[str, Any]:
        (event,) = self.house.events("auth.login.unkept")
        return event

    def break_file(self) -> Any:
        people = self.house.gatehouse.people
        assert people is not None
        file: Any = people.logins.store._file  # type: ignore[attr-defined]

        def broken() -> Any:
            raise sqlite3.OperationalError("disk full")

        return self.patch(file, "connection", broken)

    def test_goes_on(self) -> None:
        granted = self.redeem(self.code()).json
        self.restart()
        self.assert_turned_away(self.come(granted["access_token"]), error="invalid_token")
        renewed = self.renew(granted["refresh_token"])
        self.assertEqual(renewed.status, 200)
        self.assert_let_in(renewed.json["access_token"])
        self.assertEqual(renewed.json["scope"], granted["scope"])

    def test_again(self) -> None:
        """Stolen before, used after: everything ends."""
        first = self.redeem(self.code()).json["refresh_token"]
        second = self.renew(first).json["refresh_token"]
        self.restart()
        self.assert_no_grant(self.renew(first))
        (ended,) = self.house.events("auth.login.ended")
        self.assertEqual(ended["reason"], "the refresh token came a second time")
        self.assert_no_grant(self.renew(second))
        self.restart()
        self.assert_no_grant(self.renew(second))

    def test_key_revoked_meanwhile(self) -> None:
        refresh = self.redeem(self.code()).json["refresh_token"]
        self.restart(self.line("bob"))
        self.assert_no_grant(self.renew(refresh))
        people = self.house.gatehouse.people
        assert people is not None
        self.assertEqual(len(people.logins), 0)
        self.restart()
        self.assert_no_grant(self.renew(refresh))

    def test_not_written(self) -> None:
        """What cannot be written down is not given; what was given before is good still."""
        refresh = self.redeem(self.code()).json["refresh_token"]
        broken = self.break_file()
        answer = self.renew(refresh)
        self.assertEqual((answer.status, answer.json["error"]), (503, "temporarily_unavailable"))
        self.assertEqual(answer.headers["retry-after"], "5")
        self.assertEqual(self.unkept()["principal"], "alice")
        self.assertEqual(len(self.house.gatehouse.books.tokens), 1)
        self.assertEqual(self.house.gatehouse.census.snapshot()["logins_unkept"], 1)
        self.assert_unseen()
        broken.restore()
        self.assertEqual(self.renew(refresh).status, 200)

    def test_not_begun(self) -> None:
        code = self.code()
        self.break_file()
        self.assertEqual(self.redeem(code).status, 503)
        self.assertEqual(self.unkept()["client"], self.client_id)
        self.assertEqual(len(self.house.gatehouse.books.tokens), 0)
        self.assert_unseen()

    def test_end_not_written(self) -> None:
        """It has ended, and whoever brought the token is not told what has become of it."""
        first = self.redeem(self.code()).json
        self.renew(first["refresh_token"])
        self.break_file()
        self.assertEqual(self.renew(first["refresh_token"]).status, 503)
        self.unkept()
        self.assertEqual(len(self.house.events("auth.login.ended")), 1)
        self.assert_turned_away(self.come(first["access_token"]), error="invalid_token")

    def test_not_given_back(self) -> None:
        refresh = self.redeem(self.code()).json["refresh_token"]
        self.break_file()
        form = f"client_id={self.client_id}&token={refresh}".encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = self.house.request("POST", "/oauth/revoke", headers, form)
        self.assertEqual(answer.status, 503)
        self.unkept()

    def test_file_of_others(self) -> None:
        self.file.chmod(0o644)
        self.assertRaises(CannotStart, self.restart)
