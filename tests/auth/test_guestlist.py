"""Who is logged in, and what is left when an operator has ended one of them: nothing."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.audit import Audit
from mcptwist.auth.guestlist import GuestList
from mcptwist.auth.oauth.logins import Logins
from mcptwist.auth.oauth.tokens import Token, TokenTable, mark_of
from mcptwist.auth.presence import Presence
from mcptwist.configuration.peopleconfig import People
from mcptwist.negotiation import modern_meta
from mcptwist.watching.reports import CannotEnd, LoginStatus
from tests.auth.browsing import BrowserCase
from tests.auth.closed import FORM, MCP, Closed, from_elsewhere
from tests.auth.oauth.test_logins import PLACE, allowed
from tests.auth.people import NOW
from tests.conversations.posting import Response, rpc
from tests.protocols.wsfront import UPGRADE, Socket

SHORT = 120
"""Seconds that access tokens are good for."""
REASON = "an administrator has ended it"


class GuestCase(BrowserCase):
    """Somebody at the daemon's side, who sees who is logged in."""

    auth = {
        **BrowserCase.auth,
        "exempt": ("192.168.1.1/32", "203.0.113.9/32"),
        "token_ttl": SHORT,
    }

    @property
    def guests(self) -> GuestList:
        return self.house.gatehouse.guests

    def told(self, whose: str = "") -> list[LoginStatus]:
        return self.guests.told(whose).logins

    def only(self) -> LoginStatus:
        (found,) = self.told()
        return found

    def log_in(self) -> dict[str, Any]:
        """One more client of alice's; the tokens it has."""
        granted: dict[str, Any] = self.redeem(self.code()).json
        return granted

    def id_of(self, access: str) -> str:
        """What the login is called that this token is of."""
        token = self.house.gatehouse.books.tokens.find(access.encode())
        assert token is not None
        return mark_of(token.login)

    def assert_cannot_end(self, name: str, *words: str) -> None:
        said = str(self.assertRaises(CannotEnd, self.guests.end, name))
        for word in words:
            self.assertIn(word, said)

    def ended(self) -> dict[str, Any]:
        (event,) = self.house.events("auth.login.ended")
        return event


class ToldTests(GuestCase):
    def test_nobody(self) -> None:
        found = self.guests.told()
        self.assertEqual((found.total, found.logins, found.now), (0, [], self.house.wall()))

    def test_browser(self) -> None:
        """Whose, for what, since when, until when, and how it was given; no secret."""
        granted = self.log_in()
        began = self.house.wall()
        self.house.turn(60)
        login = self.only()
        self.assertRegex(login.id, r"\A[0-9a-f]{8}\Z")
        self.assertEqual(
            (login.principal, login.client, login.way), ("alice", "Inspector", "browser")
        )
        self.assertEqual((login.key, login.resource), (self.alice.public.fingerprint, MCP))
        self.assertEqual(login.scopes, ("mcp:read", "mcp:call"))
        self.assertAlmostEqual(login.since, began, delta=1)
        self.assertAlmostEqual(login.ends, began + 12 * 3600, delta=1)
        self.assertEqual((login.open, login.bound), (0, False))
        self.assertEqual(self.house.events("auth.login.begun")[0]["login"], login.id)
        self.assertEqual(self.house.events("auth.token.issued")[0]["login"], login.id)
        for secret in (granted["access_token"], granted["refresh_token"]):
            self.assertNotIn(secret[7:-7], repr(login))

    def test_use(self) -> None:
        """When, and from where: the last time it was believed, and no other."""
        access = self.log_in()["access_token"]
        given = self.only().last_used
        self.house.turn(60)
        self.assertEqual(self.only().last_used, given)
        from_elsewhere(self.house, "203.0.113.9")
        self.assert_let_in(access)
        used = self.only()
        self.assertEqual((used.last_used, used.source), (self.house.wall(), "203.0.113.9"))
        self.house.turn(60)
        self.come(access[:-7] + "AAAAAAA")
        self.come(access, path="/servers/far/mcp")
        self.assertEqual(self.only().last_used, used.last_used)

    def test_use_again_on_one_connection(self) -> None:
        """Also where the head is known, and nothing is looked at but whether it is good."""
        access = self.log_in()["access_token"]
        wire = self.come(access, rpc("ping")).wire
        for seconds in (10, 20):
            self.house.turn(seconds)
            body = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
            head = (
                "POST /mcp HTTP/1.1\r\nHost: localhost:8080\r\nContent-Type: application/json\r\n"
                "Accept: application/json, text/event-stream\r\n"
                f"Content-Length: {len(body)}\r\nAuthorization: Bearer {access}\r\n\r\n"
            )
            wire.protocol.dataReceived(head.encode() + body)
            self.assertEqual(self.only().last_used, self.house.wall())

    def test_renewed(self) -> None:
        """It is the same login, and its use goes on from what is known."""
        first = self.log_in()
        name = self.only().id
        self.house.turn(700, 100)
        self.assertEqual(self.only().id, name)
        self.assertLess(self.only().last_used or 0, self.house.wall() - 600)
        self.renew(first["refresh_token"])
        self.assertEqual((self.only().id, self.only().last_used), (name, self.house.wall()))

    def test_key(self) -> None:
        """A token that a key asked for is a login of its own."""
        self.house.token(self.alice)
        bound = self.house.bound(self.bob, self.alice, "bob")
        alices, bobs = sorted(self.told(), key=lambda each: each.principal)
        self.assertEqual((alices.way, alices.client, alices.bound), ("key", "", False))
        self.assertEqual((alices.resource, alices.last_used), (MCP, None))
        self.assertTrue(bobs.bound)
        self.assertAlmostEqual(bobs.ends, self.house.wall() + SHORT, delta=1)
        self.assertEqual(self.id_of(bound), bobs.id)
        self.assertNotIn(
            bobs.id, [each["token"] for each in self.house.events("auth.token.issued")]
        )
        self.house.turn(600, 100)
        self.assertEqual(self.told(), [])

    def test_whose(self) -> None:
        self.log_in()
        self.house.token(self.alice)
        self.house.token(self.bob, "bob")
        self.assertEqual(len(self.told()), 3)
        self.assertEqual({each.principal for each in self.told("alice")}, {"alice"})
        self.assertEqual(
            [each.principal for each in self.told(self.bob.public.fingerprint)], ["bob"]
        )
        self.assertEqual(self.told("ali"), [])

    def test_bound(self) -> None:
        """No more are told than are wanted: those that were heard last."""
        tokens = [self.house.token(self.alice, scope=scope) for scope in ("mcp:read", "mcp:call")]
        self.house.turn(1)
        self.assert_let_in(tokens[0])
        found = self.guests.told(limit=1)
        self.assertEqual((found.total, found.logins[0].scopes), (2, ("mcp:read",)))

    def test_code_that_nobody_brings(self) -> None:
        """Whoever was let in and does not come is there for as long as the code is good."""
        self.code()
        self.assertIsNone(self.only().last_used)
        self.house.turn(60, 10)
        self.assertEqual(self.told(), [])

    def test_open(self) -> None:
        """How many streams and WebSockets."""
        access = self.log_in()["access_token"]
        who = {"authorization": f"Bearer {access}"}
        self.house.modern("tools/call", {"name": "t"}, **who)
        Socket(
            self.house.request("GET", "/ws", {**UPGRADE, "Authorization": f"Bearer {access}"}).wire
        )
        self.assertEqual(self.only().open, 2)
        events = {"Accept": "text/event-stream", "Authorization": f"Bearer {access}"}
        self.house.request("GET", "/sse", events)
        self.assertEqual(self.only().open, 3)


class EndTests(GuestCase):
    """A lost laptop: one login of several is ended, and its key stays good."""

    def setUp(self) -> None:
        super().setUp()
        self.lost, self.kept = self.log_in(), self.log_in()
        self.hers = {"authorization": f"Bearer {self.lost['access_token']}"}
        self.his = {"authorization": f"Bearer {self.kept['access_token']}"}

    def end(self) -> str:
        return self.guests.end(self.id_of(self.lost["access_token"]))

    def test_token(self) -> None:
        """The next call is told 401, and the log says why."""
        name = self.id_of(self.lost["access_token"])
        self.assertEqual(self.end(), f"{name} of alice has ended, with 1 token")
        event = self.ended()
        self.assertEqual((event["login"], event["reason"]), (name, REASON))
        self.assertEqual((event["principal"], event["tokens"]), ("alice", 1))
        self.assertEqual(event["client"], self.client_id)
        self.assert_turned_away(self.come(self.lost["access_token"]), error="invalid_token")
        self.assertEqual(
            self.house.events("auth.request.denied")[-1]["reason"], "the token has ended"
        )
        self.assert_let_in(self.kept["access_token"])

    def test_refresh(self) -> None:
        self.end()
        self.assert_no_grant(self.renew(self.lost["refresh_token"]))
        self.assertEqual(
            self.house.events("auth.token.refused")[-1]["reason"], "the login has ended"
        )
        self.assertEqual(self.renew(self.kept["refresh_token"]).status, 200)

    def test_all_tokens_of_it(self) -> None:
        """Those that were given for the refresh token as well."""
        second = self.renew(self.lost["refresh_token"]).json
        self.end()
        for granted in (self.lost, second):
            self.assert_turned_away(self.come(granted["access_token"]), error="invalid_token")
        self.assertEqual(self.ended()["tokens"], 2)

    def test_code(self) -> None:
        """A code that was not brought yet."""
        code = self.code()
        (name,) = (each.id for each in self.told() if each.last_used is None)
        self.guests.end(name)
        self.assert_no_grant(self.redeem(code))

    def test_session(self) -> None:
        self.house.shake_hands(**self.hers)
        stream = self.house.get(**self.hers)
        call = self.house.call(**self.hers)
        said = self.end()
        for each in (stream, call):
            self.assertTrue(each.ended or each.wire.is_closed)
        self.assertEqual(len(self.house.concourse.sessions), 0)
        self.assertEqual(self.ended()["sessions"], 1)
        self.assertIn("1 session", said)

    def test_session_of_who_spoke_last(self) -> None:
        """Two logins of one key may speak in one session: it ends with that which did last."""
        self.house.shake_hands(**self.hers)
        self.house.call(**self.his)
        self.end()
        self.assertEqual(len(self.house.concourse.sessions), 1)
        self.guests.end(self.id_of(self.kept["access_token"]))
        self.assertEqual(len(self.house.concourse.sessions), 0)

    def test_modern_streams(self) -> None:
        call = self.house.modern("tools/call", {"name": "t"}, **self.hers)
        other = self.house.modern("tools/call", {"name": "t"}, **self.his)
        self.end()
        self.assertTrue(call.wire.is_closed)
        self.assertFalse(other.wire.is_closed)
        self.assertEqual(self.ended()["streams"], 1)

    def test_stream_that_outlived_its_token(self) -> None:
        call = self.house.modern("tools/call", {"name": "t"}, **self.hers)
        self.house.turn(SHORT + 20, 10)
        self.assertEqual(self.come(self.lost["access_token"]).status, 401)
        self.lost = self.renew(self.lost["refresh_token"]).json
        self.assertFalse(call.wire.is_closed)
        self.end()
        self.assertTrue(call.wire.is_closed)

    def socket(self, who: dict[str, str]) -> Socket:
        headers = {**UPGRADE, "Authorization": who["authorization"]}
        return Socket(self.house.request("GET", "/ws", headers).wire)

    def test_websocket(self) -> None:
        mine, other = self.socket(self.hers), self.socket(self.his)
        self.end()
        self.assertEqual(mine.closing()[0], 4401)
        other.say(rpc("ping"))
        self.assertEqual(other.message()["result"], {})
        self.assertEqual(self.ended()["sockets"], 1)

    def test_nothing_is_done_for_it(self) -> None:
        """Whatever its client says before it has heard that it is out."""
        self.house.modern("tools/call", {"name": "t"}, **self.his)
        mine = self.socket(self.hers)
        self.end()
        self.house.wire.take()
        mine.say(rpc("tools/call", {"name": "x", "_meta": modern_meta({"name": "x"})}))
        self.assertEqual(self.house.wire.take(), [])

    def test_tickets(self) -> None:
        """One that was not used yet, and a WebSocket that was opened with one."""

        def ticket() -> str:
            asked = {
                "Content-Type": "application/json",
                "Authorization": self.hers["authorization"],
            }
            text: str = self.house.request("POST", "/oauth/ws-ticket", asked).json["ticket"]
            return text

        def opened() -> Socket:
            headers = {**UPGRADE, "Sec-WebSocket-Protocol": f"mcp, mcp.ticket.{held}"}
            return Socket(self.house.request("GET", "/ws", headers).wire)

        held = ticket()
        mine = opened()
        held = ticket()
        self.end()
        self.assertEqual(mine.closing()[0], 4401)
        self.assertEqual(opened().status, 401)

    def test_http_sse(self) -> None:
        events = {"Accept": "text/event-stream", "Authorization": self.hers["authorization"]}
        stream = self.house.request("GET", "/sse", events)
        self.end()
        self.assertTrue(stream.ended or stream.wire.is_closed)

    def test_key(self) -> None:
        """The token of a key ends as well, alone, and the key is good for another."""
        first, second = self.house.token(self.bob, "bob"), self.house.token(self.bob, "bob")
        said = self.guests.end(self.id_of(first))
        self.assertIn("its key is good still", said)
        self.assert_turned_away(self.come(first), error="invalid_token")
        event = self.ended()
        self.assertEqual((event["principal"], event["tokens"]), ("bob", 1))
        self.assertNotIn("client", event)
        self.assertEqual(event["token"], self.house.events("auth.token.issued")[-2]["token"])
        self.assert_let_in(second)
        self.house.token(self.bob, "bob")

    def test_unknown(self) -> None:
        """What is none, or has ended; nothing happens."""
        name = self.id_of(self.lost["access_token"])
        self.guests.end(name)
        other = self.id_of(self.kept["access_token"])
        for wrong in (name, "00000000", "", "x", other[:7], f"{other}\n", other.upper() + "A", "*",
                      self.kept["access_token"], mark_of("", 64)):  # fmt: skip
            self.assert_cannot_end(wrong, "no login is called")
        self.assertEqual(len(self.house.events("auth.login.ended")), 1)
        self.assert_let_in(self.kept["access_token"])

    def test_ended_by_itself(self) -> None:
        name = self.id_of(self.lost["access_token"])
        self.house.turn(12 * 3600, 3600)
        self.assert_cannot_end(name, "may have ended by itself")


class EndedOtherwiseTests(GuestCase):
    """Where a login ends before its time, whoever has its tokens has nothing open any more."""

    def setUp(self) -> None:
        super().setUp()
        self.granted = self.log_in()
        who = {"Authorization": f"Bearer {self.granted['access_token']}"}
        self.call = self.house.modern("tools/call", {"name": "t"}, **who)
        self.socket = Socket(self.house.request("GET", "/ws", {**UPGRADE, **who}).wire)

    def assert_out(self) -> None:
        self.assertTrue(self.call.wire.is_closed)
        self.assertEqual(self.socket.closing()[0], 4401)
        event = self.ended()
        self.assertEqual((event["streams"], event["sockets"]), (1, 1))
        self.assertEqual(self.told(), [])

    def test_stolen(self) -> None:
        """E7: the refresh token came a second time."""
        renewed = self.renew(self.granted["refresh_token"])
        self.assertEqual(renewed.status, 200)
        self.assertFalse(self.call.wire.is_closed)
        self.assertEqual(self.renew(self.granted["refresh_token"]).status, 400)
        self.assert_out()

    def test_given_back(self) -> None:
        form = {"client_id": self.client_id, "token": self.granted["refresh_token"]}
        headers = {"Content-Type": FORM}
        body = urlencode(form).encode()
        self.assertEqual(self.house.request("POST", "/oauth/revoke", headers, body).status, 200)
        self.assert_out()


class KeptTests(GuestCase):
    """Where logins outlast the daemon: one that was ended does not."""

    def setUp(self) -> None:
        self.people = People(store=str(Path(self.mktemp()).absolute() / "logins.sqlite3"))
        super().setUp()
        self.lost, self.kept = self.log_in(), self.log_in()

    def restart(self) -> None:
        self.house.gatehouse.stopService()
        before = self.house
        self.house = Closed(Path(self.mktemp()), *self.authorized(), auth=self.auth)
        self.house.clock.advance(before.clock.seconds() + 10)
        self.house.answers.extend(before.answers)  # what was given out is a secret still
        self.addCleanup(self.house.gatehouse.stopService)
        self.denials = 0

    def test_goes_on(self) -> None:
        """What is known of it outlasts the daemon, too."""
        before = {each.id: each for each in self.told()}
        self.restart()
        after = {each.id: each for each in self.told()}
        self.assertEqual(after.keys(), before.keys())
        for name, each in after.items():
            for field in ("since", "ends", "last_used"):
                self.assertAlmostEqual(
                    getattr(each, field), getattr(before[name], field), delta=0.01, msg=field
                )
            for field in ("principal", "key", "client", "way", "resource", "scopes", "source"):
                self.assertEqual(getattr(each, field), getattr(before[name], field), field)

    def test_does_not_revive(self) -> None:
        self.guests.end(self.id_of(self.lost["access_token"]))
        self.restart()
        self.assertEqual(len(self.told()), 1)
        self.assert_no_grant(self.renew(self.lost["refresh_token"]))
        self.assertEqual(self.renew(self.kept["refresh_token"]).status, 200)

    def test_ended_after_the_restart(self) -> None:
        """By the same name, before its client has come back."""
        name = self.id_of(self.lost["access_token"])
        self.restart()
        self.guests.end(name)
        self.assert_no_grant(self.renew(self.lost["refresh_token"]))
        self.restart()
        self.assert_no_grant(self.renew(self.lost["refresh_token"]))

    def test_cannot_be_written(self) -> None:
        """It has ended all the same; who ended it is told, and it is written when that can be."""
        people = self.house.gatehouse.people
        assert people is not None
        file: Any = people.logins.store._file  # type: ignore[attr-defined]

        def broken() -> Any:
            raise sqlite3.OperationalError("disk full")

        patch = self.patch(file, "connection", broken)
        name = self.id_of(self.lost["access_token"])
        self.assert_cannot_end(name, "has ended", "a restart would bring it back")
        self.assert_turned_away(self.come(self.lost["access_token"]), error="invalid_token")
        self.assertEqual(self.ended()["login"], name)
        (unkept,) = self.house.events("auth.login.unkept")
        self.assertEqual(unkept["login"], name)
        patch.restore()
        self.house.turn(15, 1)
        self.restart()
        self.assert_no_grant(self.renew(self.lost["refresh_token"]))


class DeviceTests(GuestCase):
    def test_device(self) -> None:
        """A device that a person let in."""
        asked = {"Content-Type": "application/x-www-form-urlencoded"}
        client: Response = self.register(
            grant_types=["urn:ietf:params:oauth:grant-type:device_code"], redirect_uris=None
        )
        name = client.json["client_id"]
        begun = self.house.request(
            "POST",
            "/oauth/device_authorization",
            asked,
            f"client_id={name}&resource={MCP}".encode(),
        ).json
        self.approve(self.alice, self.approvals.waiting()[-1])
        granted = self.token(
            client_id=name,
            grant_type="urn:ietf:params:oauth:grant-type:device_code",
            device_code=begun["device_code"],
        )
        self.assertEqual(granted.status, 200, granted.wire.value())
        login = self.only()
        self.assertEqual((login.way, login.client), ("device", "Inspector"))
        self.guests.end(login.id)
        self.assert_no_grant(self.renew(granted.json["refresh_token"], client_id=name))


class NameTests(SynchronousTestCase):
    """Names are as short as they may be, and mean one login or nobody's."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.make()

    def make(self) -> None:
        ids = iter(range(1, 100_000))

        def make_bytes(size: int) -> bytes:
            return next(ids).to_bytes(size, "big")

        clock = self.clock.seconds
        self.tokens = TokenTable(clock, make_bytes, per_key=100)
        self.logins = Logins(clock, make_bytes, self.tokens, per_key=100)
        self.lines: list[dict[str, Any]] = []
        audit = Audit(lambda: NOW, lambda line: self.lines.append(json.loads(line)))
        presence = Presence(clock, 3600.0)
        self.guests = GuestList(self.tokens, self.logins, presence, audit, lambda: NOW, clock)

    def token(self, login: str) -> Token:
        client = "tv" if login in {each.id for each in self.logins} else ""
        issue = self.tokens.issue
        return issue("a", "key", PLACE.resource, frozenset(), 600, None, client, login)[1]

    def test_alike(self) -> None:
        """Two of which the usual digits are the same are told apart by more."""
        first, second = "2e5be", "e9d6"  # no clash of eight digits is small; so patch what is asked
        digits = {first: "8f3a01c200000001", second: "8f3a01c2ffffffff"}
        self.patch(
            __import__("mcptwist.auth.guestlist", fromlist=["mark_of"]),
            "mark_of",
            lambda login, length=8: digits[login][:length],
        )
        one, other = self.token(first), self.token(second)
        self.assertEqual({each.id for each in self.guests.told().logins}, set(digits.values()))
        problem = self.assertRaises(CannotEnd, self.guests.end, "8f3a01c2")
        for name in digits.values():
            self.assertIn(name, str(problem))
        self.guests.end(digits[first])
        self.assertFalse(one.is_live)
        self.assertTrue(other.is_live)
        self.assertEqual([each.id for each in self.guests.told().logins], ["8f3a01c2"])

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(
            st.tuples(st.sampled_from(["begin", "key", "given", "end", "wait"]), st.integers(0, 9)),
            max_size=25,
        )
    )
    def test_in_any_order(self, deeds: list[tuple[str, int]]) -> None:
        """Whatever happens: who is told can be ended, once, and nobody else ends with it."""
        self.make()
        for deed, number in deeds:
            told = self.guests.told().logins
            self.assertEqual(len({each.id for each in told}), len(told))
            if deed == "begin":
                self.logins.begin(allowed())
            elif deed == "key":
                self.token("")
            elif deed == "given" and len(self.logins):
                login = list(self.logins)[number % len(self.logins)]
                self.logins.given(login, self.token(login.id))
            elif deed == "wait":
                self.clock.advance(number * 30)
            elif deed == "end" and told:
                one = told[number % len(told)]
                live = {t.digest: t.is_live for t in self.tokens}
                of = {t.digest: t.login for t in self.tokens}
                self.guests.end(one.id)
                self.assertRaises(CannotEnd, self.guests.end, one.id)
                left = [each.id for each in self.guests.told().logins]
                self.assertEqual(left, [each.id for each in told if each.id != one.id])
                gone = {d for d in live if self.tokens.known(d) is None}
                self.assertTrue(all(mark_of(of[digest]) == one.id for digest in gone))

    @settings(max_examples=100, deadline=None)
    @given(st.text(max_size=40))
    def test_any_text(self, text: str) -> None:
        """No text but a name ends anything."""
        token = self.token("")
        if not re.fullmatch("[0-9a-f]{8,16}", text):
            self.assertRaises(CannotEnd, self.guests.end, text)
        self.assertTrue(token.is_live)
        self.tokens.end(token)
