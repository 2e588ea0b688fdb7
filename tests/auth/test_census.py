"""Every bound of the gate can be set, says so when it is reached, and is in the metrics."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from mcptwist.configuration.gateconfig import Auth
from mcptwist.configuration.gatelimits import GateLimits, PenaltyRules
from mcptwist.watching.metrics import exposition
from mcptwist.watching.status import Status
from tests.auth.closed import BASE, ClosedCase
from tests.auth.people import assertion, key

PAGE = Path(__file__).resolve().parents[2] / "docs" / "auth" / "limits.rst"


class BoundedCase(ClosedCase):
    limits: ClassVar[dict[str, Any]] = {}
    penalties: ClassVar[dict[str, Any]] = {}

    def setUp(self) -> None:
        self.auth = {
            **type(self).auth,
            "limits": GateLimits(**self.limits),
            "penalties": PenaltyRules(**self.penalties),
        }
        super().setUp()

    def families(self) -> dict[str, Any]:
        """The metrics, as Prometheus reads them."""
        census = self.house.gatehouse.census
        counters = {f"auth.{name}": count for name, count in census.snapshot().items()}
        text = exposition(Status(gauges=census.gauges(), counters=counters)).decode()
        return {f.name: f for f in text_string_to_metric_families(text) if "_auth_" in f.name}

    def counted(self, name: str, code: str | None = None) -> float:
        """One metric of the gate's."""
        samples = self.families()[f"mcptwist_auth_{name}"].samples
        return sum(s.value for s in samples if code in (None, s.labels.get("code")))


class TokenTests(BoundedCase):
    limits: ClassVar[dict[str, Any]] = {"tokens": 3, "tokens_per_key": 2, "burst": 8, "rate": 1}

    def test_per_key(self) -> None:
        """The oldest token ends, and its client is told so."""
        first, *others = [self.house.token(self.alice) for _ in range(3)]
        self.assert_turned_away(self.come(first), 401, "invalid_token")
        for each in others:
            self.assert_let_in(each)
        self.assertEqual((self.counted("tokens"), self.counted("tokens_limit")), (2, 3))
        self.assertEqual(self.counted("tokens_displaced"), 1)
        self.assertEqual(self.counted("admitted"), 2)

    def test_all(self) -> None:
        for _ in range(2):
            self.house.token(self.alice)
        self.house.token(self.bob, "bob")
        response = self.house.ask_token(self.bob, "bob")
        self.assertEqual((response.status, response.headers["retry-after"]), (503, "5"))
        self.assertEqual(response.json["error"], "temporarily_unavailable")
        self.assertEqual(self.house.events()[-1]["event"], "auth.token.refused")
        self.assertEqual(self.counted("tokens_refused"), 1)
        self.assertEqual(self.counted("events", "auth.token.refused"), 1)

    def test_rate(self) -> None:
        statuses = [self.house.ask_token(self.mallory).status for _ in range(9)]
        self.assertEqual((statuses[7], statuses[8]), (401, 429))
        self.house.turn(1)
        self.assertEqual(self.house.ask_token(self.mallory).status, 401)
        self.assertEqual(self.counted("hasty"), 1)
        self.assertEqual(self.counted("events", "auth.request.delayed"), 1)


class TicketTests(BoundedCase):
    limits: ClassVar[dict[str, Any]] = {"tickets": 2, "tickets_per_key": 1}

    def ask(self, token: str) -> Any:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        return self.house.request("POST", "/oauth/ws-ticket", headers)

    def test_bounds(self) -> None:
        self.house.write(*(self.line(each) for each in ("alice", "bob", "carol")))
        self.house.look()
        alice = self.house.token(self.alice)
        bob, carol = (self.house.token(key(name), name) for name in ("bob", "carol"))
        statuses = [self.ask(token).status for token in (alice, alice, bob, carol)]
        self.assertEqual(statuses, [200, 200, 200, 503])
        self.assertEqual(self.counted("tickets_displaced"), 1)
        self.assertEqual(self.counted("tickets_refused"), 1)
        self.assertEqual((self.counted("tickets"), self.counted("tickets_limit")), (2, 2))


class UseTests(BoundedCase):
    limits: ClassVar[dict[str, Any]] = {"uses": 3, "uses_per_key": 2}

    def test_bounds(self) -> None:
        """What cannot be remembered is not accepted; of one key's, no more than its share."""
        for _ in range(2):
            self.house.token(self.alice)
        self.assertEqual(self.house.ask_token(self.alice).status, 503)
        self.house.token(self.bob, "bob")
        self.assertEqual(self.house.ask_token(self.bob, "bob").status, 503)
        self.assertEqual(self.counted("uses_refused"), 2)
        self.assertEqual((self.counted("uses"), self.counted("uses_limit")), (3, 3))


class TimeTests(BoundedCase):
    limits: ClassVar[dict[str, Any]] = {"assertion_lifetime": 20.0, "clock_skew": 2.0}

    def asked(self, **claims: Any) -> int:
        now = self.house.wall()
        said = {"aud": BASE, "iat": now, "exp": now + 20, **claims}
        made = assertion(self.alice, "alice", now, **said)
        status: int = self.house.ask_token(self.alice, assertion=made).status
        return status

    def test_assertions(self) -> None:
        now = self.house.wall()
        self.assertEqual(self.asked(), 200)
        self.assertEqual(self.asked(exp=now + 21), 401)
        self.assertEqual(self.asked(iat=now + 2, exp=now + 20), 200)
        self.assertEqual(self.asked(iat=now + 3, exp=now + 20), 401)


class ProofAgeTests(BoundedCase):
    limits: ClassVar[dict[str, Any]] = {"proof_age": 10.0}

    def test_proofs(self) -> None:
        token = self.house.bound(self.alice, self.bob)
        now = self.house.wall()
        for moved, status in ((-9, 200), (9, 200), (11, 401), (-11, 401)):
            made = self.house.proof(self.bob, token, now=now + moved)
            headers = {"authorization": f"DPoP {token}", "dpop": made}
            self.assertIn(self.come(None, **headers).status, (status, 0), moved)


class PrincipalTests(BoundedCase):
    limits: ClassVar[dict[str, Any]] = {"keys_per_principal": 2}

    def authorized(self) -> list[str]:
        return [self.line(each, 'principal="alice"') for each in ("alice", "bob", "mallory")]

    def test_keys(self) -> None:
        """The line of one key too many is refused, and its key is nobody's."""
        self.house.write(*self.authorized(), "")
        self.house.look()
        self.house.token(self.bob)
        self.assertEqual(self.house.ask_token(self.mallory).status, 401)
        (told,) = self.house.events("auth.keys.line_refused")
        self.assertEqual(told["line"], 3)
        self.assertIn("2 keys already", told["reason"])
        self.assertEqual((self.counted("keys"), self.counted("keys_refused")), (2, 1))


class CostTests(BoundedCase):
    auth: ClassVar[dict[str, Any]] = {}
    penalties: ClassVar[dict[str, Any]] = {"login": 7.0, "threshold": 14.0, "longest": 14.0}

    def test_costs(self) -> None:
        statuses = [self.house.ask_token(self.mallory).status for _ in range(3)]
        self.assertEqual(statuses, [401, 401, 429])
        self.assertEqual(self.counted("sources_waiting"), 1)
        self.assertEqual(self.counted("sources"), 1)
        self.assertEqual(self.counted("events", "auth.penalty"), 1)
        self.house.turn(14)
        self.assertEqual(self.house.ask_token(self.alice).status, 200)


class PageTests(BoundedCase):
    def test_metrics(self) -> None:
        """``docs/auth/limits.rst`` names every metric of the gate, and no other."""
        page = PAGE.read_text(encoding="utf-8")
        self.house.ask_token(self.mallory)
        samples = {s.name for f in self.families().values() for s in f.samples}
        self.assertEqual(samples, set(re.findall(r"mcptwist_auth_\w+", page)))

    def test_settings(self) -> None:
        """And every setting of a bound."""
        page = PAGE.read_text(encoding="utf-8")
        for name in GateLimits.__struct_fields__:
            self.assertIn(f"``limits.{name}``", page)
        for name in re.findall(r"``(?:limits|penalties)\.(\w+)``", page):
            self.assertTrue(
                name in GateLimits.__struct_fields__ or name in PenaltyRules.__struct_fields__, name
            )
        self.assertIn("stream_age", {field.name for field in msgspec.structs.fields(Auth)})
