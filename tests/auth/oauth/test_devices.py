"""Devices that wait for approval: their codes, how often they ask, what they get."""

from __future__ import annotations

import json
from typing import Any, ClassVar
from urllib.parse import urlencode

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.oauth.approvals import Approvals, Pending
from mcptwist.auth.oauth.devices import Devices, DevicesFull
from mcptwist.auth.oauth.registrations import DEVICE
from tests.auth.approving import PeopleCase, signature, wanted
from tests.auth.closed import BASE, FORM, HERE, MCP, ClosedCase, from_elsewhere
from tests.auth.people import key, proof
from tests.conversations.posting import Response


class TableTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        numbers = iter(range(1, 1000))

        def make(size: int) -> bytes:
            return next(numbers).to_bytes(size, "big")

        self.approvals = Approvals(self.clock.seconds, make)
        self.devices = Devices(self.clock.seconds, make, limit=2)

    def begin(self) -> tuple[Pending, str]:
        pending = self.approvals.ask(wanted())
        return pending, self.devices.begin(pending)

    def test_found(self) -> None:
        pending, code = self.begin()
        self.assertTrue(code.startswith("mcp_dc_"))
        self.assertEqual(len(code), 7 + 43)
        device = self.devices.find(code)
        assert device is not None
        self.assertIs(device.pending, pending)
        self.assertNotIn(code.encode(), device.digest)
        for other in ("", code[:-1], f"{code}x", "x" * 10_000, "\ud800"):
            self.assertIsNone(self.devices.find(other))
        self.devices.end(device)
        self.assertIsNone(self.devices.find(code))

    def test_pace(self) -> None:
        """Every five seconds; who asks sooner waits five more each time, from then on."""
        device = self.devices.find(self.begin()[1])
        assert device is not None
        hasty = []
        for seconds in (0, 5, 4.5, 3, 9.5, 5, 15, 14.5):
            self.clock.advance(seconds)
            hasty.append(self.devices.is_hasty(device))
        self.assertEqual(hasty, [False, False, False, True, False, True, False, False])
        self.assertEqual(device.interval, 15)

    def test_time(self) -> None:
        """It is remembered a while that a code has ended."""
        _, code = self.begin()
        self.clock.advance(359)
        self.assertIsNotNone(self.devices.find(code))
        self.clock.advance(1)
        self.assertIsNone(self.devices.find(code))
        self.assertEqual(len(self.devices), 0)

    def test_bound(self) -> None:
        self.begin()
        self.begin()
        self.assertRaises(DevicesFull, self.devices.check_room)
        self.clock.advance(360)
        self.devices.check_room()


class DeviceCase(PeopleCase):
    """A device without a key, and people who have one."""

    def setUp(self) -> None:
        super().setUp()
        document = {"client_name": "TV", "grant_types": [DEVICE, "refresh_token"]}
        headers = {"Content-Type": "application/json"}
        made = self.house.request("POST", "/oauth/register", headers, json.dumps(document).encode())
        self.assertEqual(made.status, 201, made.wire.value())
        self.client: str = made.json["client_id"]

    def assert_nothing_secret(self) -> None:
        super().assert_nothing_secret()
        said = "\n".join(self.logged) + b"".join(self.house.lines).decode()
        for secret in ("mcp_dc_", "mcp_rt_"):
            self.assertNotIn(secret, said)

    def form(self, path: str, **form: str | None) -> Response:
        body = urlencode({name: value for name, value in form.items() if value is not None})
        return self.house.request("POST", path, {"Content-Type": FORM}, body.encode())

    def ask_codes(self, **different: str | None) -> Response:
        form = {"client_id": self.client, "resource": MCP, "scope": "mcp:read mcp:call"}
        return self.form("/oauth/device_authorization", **(form | different))

    def codes(self, **different: str | None) -> tuple[Pending, str]:
        """What waits, and the secret code."""
        told = self.ask_codes(**different).json
        pending = self.approvals.find(told["user_code"])
        assert pending is not None
        return pending, told["device_code"]

    def poll(self, code: str, seconds: float = 5.0, **different: Any) -> Response:
        """Wait, and ask what came of it."""
        self.house.clock.advance(seconds)
        headers = {"Content-Type": FORM, "Dpop": different.pop("dpop", None)}
        form = {"grant_type": DEVICE, "device_code": code, "client_id": self.client, **different}
        sent = {name: value for name, value in form.items() if value is not None}
        return self.house.request("POST", "/oauth/token", headers, urlencode(sent).encode())

    def error(self, response: Response) -> str:
        self.assertEqual(response.status, 400, response.wire.value())
        self.assertEqual(response.headers["cache-control"], "no-store")
        self.assertEqual(self.house.events("auth.token.issued"), [])
        self.assert_unseen()
        error: str = response.json["error"]
        return error


class GrantTests(DeviceCase):
    def test_codes(self) -> None:
        response = self.ask_codes()
        self.assertEqual(response.status, 200)
        self.assertEqual(response.headers["cache-control"], "no-store")
        told = response.json
        code = told["user_code"]
        self.assertEqual(told.pop("device_code")[:7], "mcp_dc_")
        self.assertEqual(
            told,
            {
                "user_code": code,
                "verification_uri": f"{BASE}/oauth/device",
                "verification_uri_complete": f"{BASE}/oauth/device?user_code={code}",
                "expires_in": 300,
                "interval": 5,
            },
        )
        shown = self.show(code).json
        self.assertEqual((shown["client_name"], shown["redirect_uri"]), ("TV", ""))
        (asked,) = self.house.events("auth.device.asked")
        self.assertEqual((asked["client"], asked["peer"]), (self.client, HERE))
        self.assertNotIn(code, str(asked))

    def test_metadata(self) -> None:
        path = "/.well-known/oauth-authorization-server"
        told = self.house.request("GET", path, {}).json
        self.assertEqual(
            told["device_authorization_endpoint"], f"{BASE}/oauth/device_authorization"
        )
        self.assertIn(DEVICE, told["grant_types_supported"])

    def test_let_in(self) -> None:
        """It waits, is approved, comes in, and stays."""
        pending, code = self.codes()
        self.assertEqual(self.error(self.poll(code)), "authorization_pending")
        self.assertEqual(self.approve(self.alice, pending).status, 200)
        response = self.poll(code, resource=MCP)
        self.assertEqual(response.status, 200, response.wire.value())
        told = response.json
        self.assertEqual((told["token_type"], told["scope"]), ("Bearer", "mcp:read mcp:call"))
        self.assert_let_in(told["access_token"])
        (issued,) = self.house.events("auth.token.issued")
        self.assertEqual(issued["principal"], "alice")
        renewed = self.form(
            "/oauth/token",
            grant_type="refresh_token",
            refresh_token=told["refresh_token"],
            client_id=self.client,
        )
        self.assertEqual(renewed.status, 200, renewed.wire.value())

    def test_usual_scopes(self) -> None:
        pending, _ = self.codes(scope=None)
        self.assertEqual(pending.wanted.scopes, {"mcp:read", "mcp:call"})
        pending, _ = self.codes(scope="openid mcp:read offline_access")
        self.assertEqual(pending.wanted.scopes, {"mcp:read"})

    def test_denied(self) -> None:
        pending, code = self.codes()
        armored = signature(self.alice, pending, "deny")
        self.decide(pending.code, armored, action="deny")
        self.assertEqual(self.error(self.poll(code)), "access_denied")
        self.assertEqual(self.error(self.poll(code)), "invalid_grant")

    def test_bound(self) -> None:
        """With proof of possession, so are its tokens."""
        pending, code = self.codes()
        self.approve(self.alice, pending)
        self.house.clock.advance(5)
        made = proof(self.bob, url=f"{BASE}/oauth/token", now=self.house.wall())
        response = self.poll(code, 0, dpop=made)
        self.assertEqual(response.json["token_type"], "DPoP")

    def test_page(self) -> None:
        """It says what to do, and not whether anything waits; nothing else is repeated."""
        pending, _ = self.codes()
        for code in (pending.code, "BCDF-GHJK"):
            page = self.house.request("GET", f"/oauth/device?user_code={code.lower()}", {})
            self.assertEqual(page.status, 200)
            self.assertIn(f"mcptwist approve --url {BASE} {code}".encode(), page.body)
            policy = page.headers["content-security-policy"]
            self.assertIn("default-src 'none'", policy)
            self.assertIn("frame-ancestors 'none'", policy)
        for query in ("", "?user_code=", "?user_code=%3Cscript%3E", "?x=%3Cscript%3E&" + "&" * 5):
            page = self.house.request("GET", f"/oauth/device{query}", {})
            self.assertIn(f"approve --url {BASE} CODE".encode(), page.body)
            self.assertNotIn(b"script", page.body)
        self.assertEqual(self.house.request("POST", "/oauth/device", {}).status, 405)

    def test_page_with_any_query(self) -> None:
        """Nobody fills the log with what breaks here (trial looks for that itself)."""
        for query in (
            "&".join(f"a{n}=1" for n in range(200)),
            "&" * 500,
            "%ff=%ff",
            "user_code=%00",
        ):
            page = self.house.request("GET", f"/oauth/device?{query}", {})
            self.assertEqual(page.status, 200, query)
            self.assertIn(f"approve --url {BASE} CODE".encode(), page.body)


class NonceTests(DeviceCase):
    """Where proofs must have a nonce."""

    auth: ClassVar[dict[str, Any]] = {**DeviceCase.auth, "dpop_nonces": True}

    def test_sent_back(self) -> None:
        """A device that has none yet is told one, and comes again with the same code."""
        pending, code = self.codes()
        self.approve(self.alice, pending)
        url, now = f"{BASE}/oauth/token", self.house.wall() + 5
        first = self.poll(code, dpop=proof(self.bob, url=url, now=now))
        self.assertEqual(self.error(first), "use_dpop_nonce")
        nonce = first.headers["dpop-nonce"]
        again = self.poll(code, 0, dpop=proof(self.bob, url=url, now=now, nonce=nonce))
        self.assertEqual((again.status, again.json["token_type"]), (200, "DPoP"))


class AttackTests(DeviceCase):
    """Nobody but the device that asked gets anything, nothing before a key has said yes."""

    def authorized(self) -> list[str]:
        return [*super().authorized(), self.line("carol", "require-dpop")]

    def test_proofs_of_nobody(self) -> None:
        """Who has no token to come for has none of its proofs remembered: that room is for others.

        Keys are free, and so is waiting.
        """
        _, code = self.codes()
        replays = self.house.gatehouse.books.replays
        url = f"{BASE}/oauth/token"
        for number in range(5):
            made = proof(self.bob, url=url, now=self.house.wall() + 5, jti=f"number-{number}")
            self.error(self.poll(code, dpop=made))
        for grant in (
            {"device_code": "mcp_dc_x"},
            {"grant_type": "authorization_code"},
            {"grant_type": "refresh_token", "refresh_token": "mcp_rt_x"},
        ):
            made = proof(self.bob, url=url, now=self.house.wall(), jti=str(grant)[:40])
            self.assertEqual(self.error(self.poll(code, 0, **grant, dpop=made)), "invalid_grant")
        self.assertEqual(len(replays), 0)

    def test_too_soon(self) -> None:
        _, code = self.codes()
        self.assertEqual(self.error(self.poll(code, 0)), "authorization_pending")
        self.assertEqual(self.error(self.poll(code, 1)), "slow_down")
        self.assertEqual(self.error(self.poll(code, 5)), "slow_down")
        self.assertEqual(self.error(self.poll(code, 15)), "authorization_pending")
        counts = self.house.gatehouse.audit.counts
        self.assertEqual((counts["auth.device.waiting"], counts["auth.device.hasty"]), (2, 2))
        self.assertEqual(self.house.events("auth.token.refused"), [])

    def test_expired(self) -> None:
        pending, code = self.codes()
        armored = signature(self.alice, pending)
        self.assertEqual(self.error(self.poll(code, 300)), "expired_token")
        self.assertEqual(self.house.events("auth.token.refused")[-1]["error"], "expired_token")
        self.assertEqual(self.decide(pending.code, armored).status, 403)
        self.assertEqual(self.error(self.poll(code)), "invalid_grant")

    def test_wrong_signatures(self) -> None:
        pending, code = self.codes()
        for _ in range(5):
            self.assertEqual(self.approve(self.mallory, pending).status, 403)
        self.assertEqual(self.error(self.poll(code)), "expired_token")
        self.assertEqual(self.house.events("auth.approval.refused")[-1]["error"], "access_denied")

    def test_once(self) -> None:
        pending, code = self.codes()
        self.approve(self.alice, pending)
        self.assertEqual(self.poll(code).status, 200)
        again = self.poll(code)
        self.assertEqual((again.status, again.json["error"]), (400, "invalid_grant"))

    def test_codes_that_are_none(self) -> None:
        """The shown code is not the secret one, and guesses cost their source."""
        pending, _ = self.codes()
        from_elsewhere(self.house, "198.51.100.7")
        for code in ("", pending.code, "mcp_dc_" + "A" * 43):
            self.assertEqual(self.error(self.poll(code, 0)), "invalid_grant")
            self.assert_audited("auth.token.refused" if code != "mcp_dc_" + "A" * 43 else "")
        self.assertEqual(self.poll("x", 0).status, 429)

    def test_another_client(self) -> None:
        pending, code = self.codes()
        self.approve(self.alice, pending)
        for client in ("another", "", None):
            self.assertEqual(self.error(self.poll(code, client_id=client)), "invalid_grant")
        self.assertEqual(self.poll(code).status, 200)

    def test_withdrawn_meanwhile(self) -> None:
        """Between the yes and the token the key was revoked."""
        pending, code = self.codes()
        self.approve(self.alice, pending)
        self.house.write(*self.authorized(), revoked=self.alice.public.words())
        self.house.look()
        self.assertEqual(self.error(self.poll(code)), "invalid_grant")
        people = self.house.gatehouse.people
        assert people is not None
        self.assertEqual(len(people.logins), 0)

    def test_key_that_wants_proof(self) -> None:
        """Its tokens must be bound, also those of a device."""
        pending, code = self.codes(scope="mcp:read")
        self.assertEqual(self.approve(key("carol"), pending).status, 200)
        self.assertEqual(self.error(self.poll(code)), "invalid_dpop_proof")

    def test_more_than_was_approved(self) -> None:
        pending, code = self.codes()
        armored = signature(self.alice, pending, scopes=frozenset({"mcp:read"}))
        self.decide(pending.code, armored, scope="mcp:read")
        told = self.poll(code, scope="mcp:read mcp:call mcp:admin").json
        self.assertEqual(told["scope"], "mcp:read")
        response = self.come(
            told["access_token"],
            {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "x"}},
        )
        self.assertEqual(response.status, 403)

    def test_another_resource(self) -> None:
        pending, code = self.codes()
        self.approve(self.alice, pending)
        answer = self.poll(code, resource=f"{BASE}/servers/git/mcp")
        self.assertEqual(self.error(answer), "invalid_target")

    def test_no_codes(self) -> None:
        for different, status, error in (
            ({"client_id": None}, 401, "invalid_client"),
            ({"client_id": "x y"}, 401, "invalid_client"),
            ({"resource": None}, 400, "invalid_target"),
            ({"resource": "https://evil.example/mcp"}, 400, "invalid_target"),
            ({"scope": "everything"}, 400, "invalid_scope"),
        ):
            response = self.ask_codes(**different)
            self.assertEqual((response.status, response.json["error"]), (status, error))
            self.assertEqual(self.house.events("auth.token.refused")[-1]["error"], error)
        self.assertEqual(len(self.approvals), 0)

    def test_too_many(self) -> None:
        for _ in range(10):
            self.assertEqual(self.ask_codes().status, 200)
        response = self.ask_codes()
        self.assertEqual((response.status, response.headers["retry-after"]), (503, "5"))
        census = self.house.gatehouse.census
        self.assertEqual(census.gauges()["auth_waiting"].used, 10)
        self.assertEqual(census.snapshot()["waiting_refused"], 1)
        from_elsewhere(self.house, "198.51.100.7")
        self.assertEqual(self.ask_codes().status, 200)


class WithoutPeopleTests(ClosedCase):
    def test_nothing(self) -> None:
        """Without the section there is nothing of it."""
        for path in ("device_authorization", "device", "approve", "register"):
            for method in ("GET", "POST"):
                self.assertEqual(self.house.request(method, f"/oauth/{path}", {}).status, 404)
        path = "/.well-known/oauth-authorization-server"
        told = self.house.request("GET", path, {}).json
        self.assertNotIn("device_authorization_endpoint", told)
        self.assertEqual(told["grant_types_supported"], ["client_credentials"])
        answer = self.house.request(
            "POST",
            "/oauth/token",
            {"Content-Type": FORM},
            urlencode({"grant_type": DEVICE}).encode(),
        )
        self.assertEqual(answer.json["error"], "unsupported_grant_type")
