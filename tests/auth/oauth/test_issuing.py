"""What tokens may be: for what, for how long, and bound to which key."""

from __future__ import annotations

import time
from typing import Any

from tests.auth.closed import BASE, MCP, ClosedCase
from tests.auth.people import NOW, key, proof
from tests.conversations.posting import Response

SERVER = f"{BASE}/servers/x/mcp"


class IssuingCase(ClosedCase):
    def rewrite(self, options: str = "") -> None:
        """Alice's line says something else."""
        self.house.write(self.line("alice", options))
        self.house.look()

    def given(self, **form: Any) -> Any:
        response = self.house.ask_token(self.alice, **form)
        self.assertEqual(response.status, 200, response.wire.value())
        return response.json

    def assert_none(self, error: str, **form: Any) -> Response:
        response = self.house.ask_token(self.alice, **form)
        self.assert_refused(response, 400, error)
        return response


class LifetimeTests(IssuingCase):
    """Seconds: what is usual, or less; more only where the line says so."""

    def test_asked(self) -> None:
        """What is no number of seconds is not heard; what is too long is cut."""
        for asked, given in (
            (None, 600), ("", 600), ("60", 60), ("1", 1), ("600", 600), ("601", 600),
            ("999999999", 600), ("0", 600), ("-5", 600), ("060", 600), ("6e1", 600), ("60 ", 600),
            ("9999999999", 600), ("\u0661", 600), ("1.5", 600),
        ):  # fmt: skip
            self.assertEqual(self.given(expires_in=asked)["expires_in"], given, asked)

    def test_of_the_line(self) -> None:
        """It is the most, both ways; what is usual stays so where nobody asks."""
        self.rewrite('max-token-ttl="5m"')
        self.assertEqual(self.given()["expires_in"], 300)
        self.assertEqual(self.given(expires_in="400")["expires_in"], 300)
        self.rewrite('max-token-ttl="1h"')
        self.assertEqual(self.given()["expires_in"], 600)
        self.assertEqual(self.given(expires_in="3000")["expires_in"], 3000)
        self.assertEqual(self.given(expires_in="4000")["expires_in"], 3600)

    def test_of_the_key(self) -> None:
        """No token is promised for longer than its key is good."""
        end = time.strftime("%Y%m%d%H%M%SZ", time.gmtime(NOW + 100))
        self.rewrite(f'expiry-time="{end}"')
        left = int(NOW + 100 - self.house.wall())
        self.assertEqual(self.given()["expires_in"], left)
        self.assertEqual(self.given(expires_in="5")["expires_in"], 5)


class ScopeTests(IssuingCase):
    """What is asked for, as far as the line grants it."""

    def test_usual(self) -> None:
        """Where nothing is asked for: enough to be of use."""
        for asked in (None, ""):
            self.assertEqual(self.given(scope=asked)["scope"], "mcp:read mcp:call")

    def test_asked(self) -> None:
        for asked, given in (
            ("mcp:subscribe", "mcp:subscribe"), ("mcp:call mcp:read", "mcp:read mcp:call"),
            ("mcp:read mcp:admin", "mcp:read"), ("mcp:read unheard:of", "mcp:read"),
        ):  # fmt: skip
            self.assertEqual(self.given(scope=asked)["scope"], given)

    def test_none(self) -> None:
        for asked in ("mcp:admin", "unheard:of", " ", "MCP:READ"):
            response = self.assert_none("invalid_scope", scope=asked)
            self.assertIn("authorized_keys", response.json["error_description"])

    def test_malformed(self) -> None:
        for asked in ("mcp:read\n", "mcp:read\tmcp:call", "mcp:read \u00e9", "\x7f"):
            self.assert_none("invalid_scope", scope=asked)
            told = self.house.events("auth.token.refused")[-1]["reason"]
            self.assertEqual(told, "scope is malformed")

    def test_line_without(self) -> None:
        """A key that may do nothing of what is usual gets no empty token."""
        self.rewrite('scope="mcp:subscribe"')
        self.assert_none("invalid_scope")
        self.assertEqual(self.given(scope="mcp:subscribe")["scope"], "mcp:subscribe")


class ResourceTests(IssuingCase):
    """RFC 8707: one place, and one that the key is for."""

    def test_not_for_that(self) -> None:
        """Tokens are given for no place where the key's line does not lead."""
        self.rewrite('resource="/servers/x/mcp"')
        self.assert_none("invalid_target")
        told = self.house.events("auth.token.refused")[-1]
        self.assertEqual(told["reason"], "the key is not for that resource")
        token = self.given(resource=SERVER)["access_token"]
        self.assertEqual(self.come(token).status, 401)

    def test_no_other(self) -> None:
        """The one it was given for."""
        token = self.given(resource=SERVER)["access_token"]
        self.assert_turned_away(self.come(token), error="invalid_token")


class PossessionTests(IssuingCase):
    """RFC 9449, section 5."""

    def proof(self, **claims: Any) -> str:
        told: dict[str, Any] = {"url": f"{BASE}/oauth/token", "now": self.house.wall(), **claims}
        return proof(key("holder"), **told)

    def test_bound(self) -> None:
        self.assertEqual(self.given(dpop=self.proof())["token_type"], "DPoP")
        self.assertEqual(self.given()["token_type"], "Bearer")
        told = [each["kind"] for each in self.house.events("auth.token.issued")]
        self.assertEqual(told, ["DPoP", "Bearer"])

    def test_needed(self) -> None:
        self.rewrite("require-dpop")
        self.assert_none("invalid_dpop_proof")
        self.assertEqual(self.given(dpop=self.proof())["token_type"], "DPoP")

    def test_wrong(self) -> None:
        """A proof that is not good is not passed over, though none was needed."""
        for bad in ("", "x", self.proof(htm="GET"), self.proof(htu=MCP), self.proof(jti="short")):
            self.assert_none("invalid_dpop_proof", dpop=bad)
        used = self.proof()
        self.given(dpop=used)
        response = self.house.ask_token(self.alice, dpop=used)
        self.assertEqual((response.status, response.json["error"]), (400, "invalid_dpop_proof"))
        self.assert_audited()
