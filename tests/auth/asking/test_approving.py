"""Approving at a server: what is believed of what it tells, and what is signed."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed

from mcptwist.auth.asking.approving import Approver, Asked, read_asked
from mcptwist.auth.oauth.approvals import APPROVE, DENIED, DENY, Approved, Pending
from mcptwist.errors import SignInFailed
from tests.auth.approving import PeopleCase
from tests.auth.closed import BASE, Closed
from tests.auth.elsewhere import Answer, Elsewhere
from tests.auth.elsewhere import Asked as Request

READ = frozenset({"mcp:read"})


class ToHouse(Elsewhere):
    """An agent that knows the way to a daemon in memory."""

    def __init__(self, house: Closed) -> None:
        super().__init__()
        self._house = house

    def request(
        self, method: bytes, uri: bytes, headers: Any = None, bodyProducer: Any = None
    ) -> Any:
        self.answers.setdefault(uri.decode(), self._passed_on)
        return super().request(method, uri, headers, bodyProducer)

    def _passed_on(self, asked: Request) -> Answer:
        sent = dict(asked.headers)
        answer = self._house.request(
            asked.method, asked.url.removeprefix(BASE), sent, asked.body.encode()
        )
        return Answer(answer.status, answer.json)


class ApproverTests(PeopleCase):
    def setUp(self) -> None:
        super().setUp()
        self.agent = ToHouse(self.house)
        self.approver = Approver(BASE, lambda: succeed(self.alice), self.agent, self.house.clock)

    def look(self, pending: Pending) -> Asked:
        found: list[Any] = []
        Deferred.fromCoroutine(self.approver.look(pending.code)).addBoth(found.append)
        assert isinstance(found[0], Asked), found
        return found[0]

    def decide(self, asked: Asked, verb: str, scopes: frozenset[str]) -> Any:
        deciding = Deferred.fromCoroutine(self.approver.decide(asked, verb, scopes))
        return self.successResultOf(deciding)

    def test_approved(self) -> None:
        """What is told is what waits, and what is signed about it is what the daemon wants."""
        pending = self.ask()
        asked = self.look(pending)
        self.assertEqual((asked.code, asked.wanted), (pending.code, pending.wanted))
        came = self.decide(asked, APPROVE, READ)
        self.assertEqual(came["outcome"], "approved")
        assert isinstance(pending.outcome, Approved)
        self.assertEqual(pending.outcome.scopes, READ)

    def test_denied(self) -> None:
        pending = self.ask(redirect_uri="")
        came = self.decide(self.look(pending), DENY, pending.wanted.scopes)
        self.assertEqual(came, {"outcome": "denied", "principal": "alice"})
        self.assertEqual(pending.outcome, DENIED)

    def test_refused(self) -> None:
        """In the server's words, with advice of ours."""
        pending = self.ask()
        asked = self.look(pending)
        self.approvals.deny(pending)
        looking = Deferred.fromCoroutine(self.approver.look(pending.code))
        problem = self.failureResultOf(looking, SignInFailed).value
        self.assertIn("right and recent", str(problem))
        deciding = Deferred.fromCoroutine(self.approver.decide(asked, APPROVE, READ))
        problem = self.failureResultOf(deciding, SignInFailed).value
        self.assertIn(self.alice.public.fingerprint, str(problem))

    def test_nothing_of_the_sort(self) -> None:
        """A server that knows no approvals."""
        for answer in (Answer(404, {"error": "x"}), Answer(200, b"<html>"), Answer(500, [])):
            self.agent.answers[f"{BASE}/oauth/approve?code=BCDF-GHJK"] = answer
            looking = Deferred.fromCoroutine(self.approver.look("BCDF-GHJK"))
            self.failureResultOf(looking, SignInFailed)

    def test_plain_http(self) -> None:
        """Anybody on the way could tell us what they like."""
        with self.assertRaises(SignInFailed):
            Approver("http://a.example", lambda: succeed(self.alice), self.agent, None)  # type: ignore[arg-type]


class ToldTests(PeopleCase):
    """Nothing is signed for a server that tells of something else than it was asked about."""

    def told(self, **different: Any) -> dict[str, Any]:
        said: dict[str, Any] = self.show(self.ask().code).json
        return {**said, **different}

    def test_hostile(self) -> None:
        for different in (
            {"issuer": "https://bank.example"},
            {"issuer": None},
            {"code": "BCDF-GHJK"},
            {"resource": "https://bank.example/mcp"},
            {"resource": f"{BASE}/elsewhere"},
            {"resource": f"{BASE}@bank.example/mcp"},
            {"scope": "mcp:read everything"},
            {"scope": ""},
            {"client_id": 5},
            {"client_id": "\ud800"},
            {"client_name": "x" * 5000},
            {"redirect_uri": None},
        ):
            said = self.told(**different)
            code = str(said["code"]) if "code" not in different else "CCCC-CCCC"
            self.assertRaises(SignInFailed, read_asked, said, BASE, code)
            for pending in self.approvals.waiting():
                self.approvals.deny(pending)

    def test_odd(self) -> None:
        """How long it waits is only shown."""
        for odd in (None, "x", -1, 1 << 40, True):
            said = self.told(expires_in=odd)
            self.assertIn(read_asked(said, BASE, said["code"]).expires_in, (0, 1))
            self.approvals.deny(self.approvals.waiting()[0])
