"""Users of this machine: known by the system's word, let in by a line in ``authorized_keys``."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.address import UNIXAddress
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth import checkers
from mcptwist.auth.authorizedkeys import LineProblem, read_line, read_revoked_keys
from mcptwist.auth.localusers import LocalUser, UserProblem, is_identity, name_of, uid_of
from mcptwist.caller import Caller
from mcptwist.protocols.bytestream import LineFactory
from tests.auth.closed import FULL, Closed, ClosedCase
from tests.auth.proving import modern
from tests.conversations.posting import Response, rpc
from tests.protocols.front import Wire
from tests.scripted import HELLO

ME = os.geteuid()


class LineTests(SynchronousTestCase):
    def test_good(self) -> None:
        for line, fingerprint, principal in (
            ("unix-user 0", "uid:0", "uid:0"),
            ("unix-user 1000 backup@here", "uid:1000", "backup"),
            ('principal="ci",tools="a" unix-user ci-runner', "user:ci-runner", "ci"),
        ):
            grant = read_line(line)
            self.assertEqual((grant.key.fingerprint, grant.principal), (fingerprint, principal))
            self.assertTrue(line.find(grant.key.words()) >= 0)

    def test_bad(self) -> None:
        for text in (
            "", "-1", "01", "4294967295", "99999999999", "Alice", "alice;", "é", "1000x",
            "uid:1000", "*", "a" * 33,
        ):  # fmt: skip
            self.assertRaises(LineProblem, read_line, f"unix-user {text}".rstrip())

    def test_revoked(self) -> None:
        self.assertEqual(read_revoked_keys("uid:1000\nuser:ci\n"), {"uid:1000", "user:ci"})
        for text in ("uid:01", "uid:alice", "user:1000", "user:", "uid:"):
            self.assertRaises(LineProblem, read_revoked_keys, text)

    @settings(max_examples=100, deadline=None)
    @given(st.text(max_size=20))
    def test_anything(self, text: str) -> None:
        try:
            user = LocalUser(text)
        except UserProblem:
            self.assertFalse(is_identity(f"uid:{text}") or is_identity(f"user:{text}"))
        else:
            self.assertTrue(is_identity(user.fingerprint))
            self.assertEqual(LocalUser(user.words().split(" ")[1]), user)

    def test_signs_nothing(self) -> None:
        self.assertFalse(LocalUser("0").verify("EdDSA", b"", b""))


class Far:
    """A transport of one end of a pair of sockets."""

    def __init__(self, family: int = socket.AF_UNIX) -> None:
        self.socket, self.other = socket.socketpair(socket.AF_UNIX)
        self.family = family

    def close(self) -> None:
        self.socket.close()
        self.other.close()


class PeerTests(SynchronousTestCase):
    def test_the_system_says(self) -> None:
        far = Far()
        self.addCleanup(far.close)
        self.assertEqual(uid_of(far), ME)

    def test_elsewhere(self) -> None:
        """Neither a TCP connection nor one that is closed has a user."""
        self.assertIsNone(uid_of(StringTransport()))
        tcp: Any = Far()
        tcp.close()
        tcp.socket = socket.socket(socket.AF_INET)
        self.addCleanup(tcp.socket.close)
        self.assertIsNone(uid_of(tcp))
        gone = Far()
        gone.close()
        self.assertIsNone(uid_of(gone))

    def test_names(self) -> None:
        self.assertEqual(name_of(0), "root")
        self.assertIsNone(name_of(4_000_000_000))


class LocalCase(ClosedCase):
    options = f'scope="{FULL}"'

    def setUp(self) -> None:
        super().setUp()
        self.write(f"{self.options} unix-user {ME}")

    def write(self, *lines: str) -> None:
        self.house.write(*lines)
        self.house.look()


class HTTPTests(LocalCase):
    """Requests on a UNIX socket."""

    def connect(self) -> Wire:
        far = Far()
        self.addCleanup(far.close)
        wire = Wire(hostAddress=UNIXAddress("/run/s"), peerAddress=UNIXAddress(None))
        wire.socket = far.socket  # type: ignore[attr-defined]
        protocol: Any = self.house.factory.buildProtocol(None)
        wire.protocol = protocol
        protocol.makeConnection(wire)
        return wire

    def post(self, message: Any, wire: Wire | None = None, **headers: str) -> Response:
        wire = wire or self.connect()
        body = json.dumps(message)
        said = {
            "Host": "localhost",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "Content-Length": str(len(body)),
            **headers,
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in said.items())
        wire.protocol.dataReceived(f"POST /mcp HTTP/1.1\r\n{lines}\r\n{body}".encode())
        return Response(wire)

    def assert_in(self, response: Response) -> None:
        self.assertIn(response.status, (0, 200, 400), response.wire.value())
        self.assertEqual(self.house.gatehouse.guard.admitted, 1)

    def test_by_number(self) -> None:
        self.assert_in(self.post(rpc("ping")))
        (event,) = self.house.events("auth.local.ok")
        self.assertEqual((event["key"], event["peer"]), (f"uid:{ME}", "unix"))

    def test_by_name(self) -> None:
        name = name_of(ME)
        assert name is not None
        self.write(f"{self.options} unix-user {name}")
        self.assert_in(self.post(rpc("ping")))
        self.assertEqual(self.house.events("auth.local.ok")[0]["key"], f"user:{name}")

    def test_number_before_name(self) -> None:
        name = name_of(ME)
        self.write(f'scope="mcp:read" unix-user {ME}', f"{self.options} unix-user {name}")
        self.assert_in(self.post(rpc("ping")))
        self.assertEqual(self.house.events("auth.local.ok")[0]["key"], f"uid:{ME}")

    def test_somebody_else(self) -> None:
        self.write(f"{self.options} unix-user {ME + 1}", *self.authorized())
        response = self.post(rpc("ping"))
        self.assertEqual(response.status, 401)
        reason = self.house.events("auth.request.denied")[-1]["reason"]
        self.assertEqual(reason, f"the user {ME} may not come in")
        self.assert_unseen()

    def test_token_counts_first(self) -> None:
        self.assertEqual(self.post(rpc("ping"), Authorization="Bearer x").status, 401)

    def test_not_over_tcp(self) -> None:
        self.assertEqual(self.come(None).status, 401)

    def test_no_tokens_for_users(self) -> None:
        """A user's name is no client's: there is no key to sign with."""
        for client in (f"uid:{ME}",):
            response = self.house.ask_token(self.alice, client)
            self.assert_refused(response, 401, "invalid_client")

    def test_withdrawn(self) -> None:
        wire = self.connect()
        self.post(rpc("ping"), wire)
        self.write(*self.authorized())
        self.assertTrue(wire.aborted)
        self.assertEqual(self.post(rpc("ping")).status, 401)

    def test_revoked(self) -> None:
        self.house.write(f"{self.options} unix-user {ME}", revoked=f"uid:{ME}")
        self.house.look()
        self.assertEqual(self.post(rpc("ping")).status, 401)

    def test_options(self) -> None:
        """``from`` is about networks, and a socket is in none of them but ``unix``."""
        for options, status in (('from="10.0.0.0/8"', 401), ('resource="/servers/far/mcp"', 401)):
            self.write(f"{options} unix-user {ME}")
            self.assertEqual(self.post(rpc("ping")).status, status, options)
        self.write(f'from="unix" unix-user {ME}')
        self.assert_in(self.post(rpc("ping")))


class LineSocketTests(LocalCase):
    """Lines on a UNIX socket."""

    def setUp(self) -> None:
        super().setUp()
        house: Closed = self.house
        view = house.gatehouse.view(house.gateway.whole)
        self.factory = LineFactory(
            lambda: Caller(house.gateway.whole, house.concourse.sessions.begin), house.clock
        )
        self.factory.admit = lambda *both: house.gatehouse.local(view, *both)

    def connect(self) -> Any:
        far = Far()
        self.addCleanup(far.close)
        transport: Any = StringTransport()
        transport.socket = far.socket
        wire: Any = self.factory.buildProtocol(None)
        transport.protocol = wire
        wire.makeConnection(transport)
        return wire

    def said(self, wire: Any) -> list[Any]:
        self.house.turn(0)
        lines = wire.transport.value().splitlines()
        wire.transport.clear()
        return [json.loads(line) for line in lines]

    def test_let_in(self) -> None:
        wire = self.connect()
        wire.dataReceived(json.dumps(rpc("ping")).encode() + b"\n")
        self.assertEqual(self.said(wire)[0]["result"], {})
        self.assertEqual(self.house.events("auth.local.ok")[0]["key"], f"uid:{ME}")

    def test_scopes(self) -> None:
        self.write(f'scope="mcp:read" unix-user {ME}')
        wire = self.connect()
        wire.dataReceived(modern("tools/call", name="x") + b"\n")
        self.assertEqual(self.said(wire)[0]["error"]["data"]["code"], "insufficient-scope")
        self.assert_unseen()

    def test_somebody_else(self) -> None:
        """It is told why, nothing of it is heard, and the connection is closed."""
        self.write(*self.authorized())
        wire = self.connect()
        wire.dataReceived(json.dumps(rpc("initialize", HELLO)).encode() + b"\n")
        (said,) = self.said(wire)
        self.assertEqual((said["id"], said["error"]["code"]), (None, -32001))
        self.assertTrue(wire.transport.disconnecting)
        self.assert_unseen()
        self.assertEqual(self.house.events("auth.request.denied")[-1]["peer"], "unix")

    def test_nobody_knows(self) -> None:
        """Where the system does not say who it is, nobody comes in."""
        wire: Any = self.factory.buildProtocol(None)
        wire.makeConnection(StringTransport())
        self.assertEqual(self.said(wire)[0]["error"]["code"], -32001)

    def test_withdrawn(self) -> None:
        wire = self.connect()
        self.write(*self.authorized())
        self.assertTrue(wire.transport.disconnecting)
        self.assertEqual(self.house.events("auth.key.revoked")[-1]["sockets"], 1)


class CheckerTests(SynchronousTestCase):
    def test_names_are_looked_up_when_needed(self) -> None:
        """Who is known by number costs no look at the system's list of users."""
        asked: list[int] = []
        house = Closed(Path(self.mktemp()), "unix-user 7")
        self.addCleanup(house.gatehouse.stopService)
        checker = checkers.LocalUserChecker(house.gatehouse.books.keyring, asked.append)
        from mcptwist.auth.credentials import LocalPeer

        self.assertEqual(checker.requestAvatarId(LocalPeer(7, "/")).grant.principal, "uid:7")
        self.assertEqual(asked, [])
        with self.assertRaises(checkers.CredentialsRefused):
            checker.requestAvatarId(LocalPeer(8, "/"))
        self.assertEqual(asked, [8])
