"""F4: nobody administers the daemon who was not let in for that; and nobody adds commands to it."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.administered import Administered
from tests.auth.closed import BASE, FULL, ClosedCase
from tests.auth.people import key
from tests.conversations.posting import Response

PLACE = "/admin/mcp"
RESOURCE = f"{BASE}{PLACE}"


class AdminGateTests(ClosedCase):
    """Alice may read, call and listen; Ann administers."""

    def authorized(self) -> list[str]:
        return [*super().authorized(), self.line("ann", f'scope="{FULL} mcp:admin"')]

    def ask(self, token: str, method: str = "tools/list") -> Response:
        headers = {"authorization": f"Bearer {token}"}
        return self.house.modern(method, {}, path=PLACE, **headers)

    def test_administrator(self) -> None:
        scope = "mcp:read mcp:admin"
        token = self.house.token(key("ann"), "ann", resource=RESOURCE, scope=scope)
        self.assertNotEqual(self.ask(token).status, 403)
        self.assertEqual(self.house.asked().method, "tools/list")

    def test_others(self) -> None:
        """Whatever they ask for, of the token or of the daemon."""
        for scope in (None, FULL, f"{FULL} mcp:admin"):
            token = self.house.token(self.alice, resource=RESOURCE, scope=scope)
            for method in ("tools/list", "tools/call", "resources/read", "server/discover"):
                response = self.ask(token, method)
                self.assertEqual(response.status, 403, (scope, method))
                self.assert_told_to_ask(response)
        self.assert_unseen()

    def assert_told_to_ask(self, response: Response) -> None:
        """For all that would be enough, at once: some clients come back once only."""
        self.assertIn("mcp:admin", response.error["data"]["scope"])
        challenge = response.headers["www-authenticate"]
        self.assertIn('error="insufficient_scope"', challenge)
        self.assertRegex(challenge, 'scope="[^"]*mcp:admin')
        self.assert_audited("auth.stepup")

    def test_session(self) -> None:
        token = self.house.token(self.alice, resource=RESOURCE)
        response = self.come(token, path=PLACE)
        self.assertEqual(response.status, 403)
        self.assertEqual(len(self.house.concourse.sessions), 0)

    def test_without_the_scope(self) -> None:
        """Who may administer does so only with a token that was asked for it."""
        scope = "mcp:read mcp:call"
        token = self.house.token(key("ann"), "ann", resource=RESOURCE, scope=scope)
        response = self.ask(token)
        self.assertEqual(response.status, 403)
        self.assert_told_to_ask(response)
        self.assert_unseen()

    def test_without_the_other_scopes(self) -> None:
        """Who may administer does no more of it than what the token was asked for."""
        token = self.house.token(key("ann"), "ann", resource=RESOURCE, scope="mcp:admin")
        for method, missing in (("tools/call", "mcp:call"), ("tools/list", "mcp:read")):
            response = self.ask(token, method)
            self.assertEqual((response.status, response.error["data"]["scope"]), (403, missing))
            self.assert_audited("auth.stepup")
        self.assert_unseen()

    def test_token_for_another_place(self) -> None:
        token = self.house.token(key("ann"), "ann", scope=f"{FULL} mcp:admin")
        self.assert_turned_away(self.ask(token), error="invalid_token")

    def test_nobody(self) -> None:
        """Told at once what is needed there; and nowhere else that there is such a scope."""
        response = self.come(None, path=PLACE)
        self.assert_turned_away(response)
        self.assertIn('scope="mcp:read mcp:call mcp:admin"', response.headers["www-authenticate"])
        self.assertNotIn("mcp:admin", self.come(None).headers["www-authenticate"])

    def test_what_is_told(self) -> None:
        path = "/.well-known/oauth-protected-resource"
        for place, told in ((PLACE, True), ("/mcp", False)):
            page = self.house.request("GET", path + place, {}).json
            self.assertEqual("mcp:admin" in page["scopes_supported"], told)

    def test_asking_for_nothing(self) -> None:
        """Is asking for what is needed there, as far as it is granted."""
        for name, scope in (
            ("ann", "mcp:read mcp:call mcp:admin"),
            ("alice", "mcp:read mcp:call"),
        ):
            response = self.house.ask_token(key(name), name, resource=RESOURCE)
            self.assertEqual(response.json["scope"], scope)


class ToolTests(SynchronousTestCase):
    def test_no_commands(self) -> None:
        """Not even an administrator can have the daemon run what its configuration does not name.

        What it is told over the wire is names, numbers and filters.
        """
        house = Administered()
        self.addCleanup(house.stop)
        tools: list[Any] = house.result(house.client.list_tools())
        self.assertGreater(len(tools), 5)
        for tool in tools:
            schema = json.dumps(tool["inputSchema"].get("properties", {}))
            for word in ("command", "args", "env", "cwd", "url", "path", "config", "python"):
                self.assertNotIn(f'"{word}"', schema, tool["name"])
