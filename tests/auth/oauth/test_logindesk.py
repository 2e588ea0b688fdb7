"""Where a person's leave becomes tokens: what they may be, and how they are given back."""

from __future__ import annotations

from typing import Any
from unittest import mock
from urllib.parse import urlencode

from mcptwist.auth.oauth.loginkeeping import NotKept
from tests.auth.browsing import BrowserCase
from tests.auth.closed import BASE, FORM, FULL
from tests.auth.people import key, proof
from tests.conversations.posting import Response

ELSEWHERE = "another.0123456789abcdef"


class DeskCase(BrowserCase):
    def setUp(self) -> None:
        super().setUp()
        people = self.house.gatehouse.people
        assert people is not None
        self.logins = people.logins
        self.tokens = self.house.gatehouse.books.tokens

    def login(self, **different: str | None) -> Any:
        """Tokens for a code."""
        response = self.redeem(self.code(), **different)
        self.assertEqual(response.status, 200, response.wire.value())
        return response.json

    def rewrite(self, options: str) -> None:
        """Alice's line says something else."""
        self.house.write(self.line("alice", options), self.line("bob"))
        self.house.look()

    def revoke(self, text: str, client: str | None = None) -> Response:
        form = {"token": text, "client_id": client or self.client_id}
        body = urlencode(form).encode()
        return self.house.request("POST", "/oauth/revoke", {"Content-Type": FORM}, body)


class RevokeTests(DeskCase):
    """RFC 7009."""

    def test_access_token(self) -> None:
        """It ends alone: what renews it is good still."""
        granted = self.login()
        self.assertEqual(self.revoke(granted["access_token"]).status, 200)
        self.assert_turned_away(self.come(granted["access_token"]), error="invalid_token")
        (told,) = self.house.events("auth.token.revoked")
        self.assertEqual((told["principal"], told["key"]), ("alice", self.alice.public.fingerprint))
        again = self.renew(granted["refresh_token"])
        self.assert_let_in(again.json["access_token"])

    def test_of_another(self) -> None:
        """Neither token ends for a client that they were not given to, which hears nothing."""
        granted = self.login()
        for name in ("access_token", "refresh_token"):
            response = self.revoke(granted[name], ELSEWHERE)
            self.assertEqual((response.status, response.json), (200, {}))
        self.assert_let_in(granted["access_token"])
        self.assertEqual(self.renew(granted["refresh_token"]).status, 200)
        self.assertEqual(self.house.events("auth.token.revoked"), [])
        self.assertEqual(self.house.events("auth.login.ended"), [])

    def test_of_a_key(self) -> None:
        """A token that a key got by itself is not ended by whoever knows no more than it."""
        token = self.house.token(self.alice)
        self.assertEqual(self.revoke(token).status, 200)
        self.assert_let_in(token)

    def test_long(self) -> None:
        """What is longer than any token of ours is not looked for."""
        with mock.patch.object(self.tokens, "find") as find:
            self.assertEqual(self.revoke("x" * 5000).status, 200)
            self.assertEqual(find.call_count, 0)
            self.revoke("x")
            self.assertEqual(find.call_count, 1)


class GivenTests(DeskCase):
    """What tokens of a login may be."""

    def test_never_longer(self) -> None:
        """Than the login lasts, however long tokens do otherwise."""
        granted = self.login()
        login = self.logins.of_refresh(granted["refresh_token"], self.client_id)
        assert login is not None
        left = self.logins.seconds_left(login)
        self.house.clock.advance(left - 30.5)
        again = self.renew(granted["refresh_token"]).json
        self.assertEqual(again["expires_in"], 30)
        self.house.clock.advance(30.0)
        last = self.renew(again["refresh_token"]).json
        self.assertEqual(last["expires_in"], 1)

    def test_key_is_no_more_for_this(self) -> None:
        """Its line changed between the leave and the code."""
        for options in (f'scope="{FULL}",no-oauth', f'scope="{FULL}",resource="/servers/x/mcp"'):
            code = self.code()
            self.rewrite(options)
            self.assert_no_grant(self.redeem(code))
            told = self.house.events("auth.token.refused")[-1]
            self.assertEqual(told["reason"], "the login has ended")
            self.assertEqual((len(self.logins), len(self.tokens)), (0, 0))
            self.rewrite(self.options)

    def test_resource(self) -> None:
        """The one that was approved, whatever is asked for; and only under that name of ours."""
        code = self.code()
        response = self.redeem(code, resource=f"{BASE}/servers/x/mcp")
        self.assertEqual((response.status, response.json["error"]), (400, "invalid_target"))
        self.assertEqual(len(self.logins), 0)
        self.assertEqual(self.login(resource=None)["token_type"], "Bearer")

    def test_scopes(self) -> None:
        """Some of what was approved, and never more."""
        self.assertEqual(self.login(scope="mcp:read")["scope"], "mcp:read")
        self.assertEqual(self.login(scope="mcp:read mcp:subscribe")["scope"], "mcp:read")
        self.assertEqual(self.login(scope="")["scope"], "mcp:read mcp:call")
        response = self.redeem(self.code(), scope="mcp:subscribe")
        self.assertEqual((response.status, response.json["error"]), (400, "invalid_scope"))

    def test_bound(self) -> None:
        """By the first proof, and so are those that come after it."""
        holder, other = key("holder"), key("other")

        def shown(signer: Any) -> str:
            return proof(signer, url=f"{BASE}/oauth/token", now=self.house.wall())

        granted = self.login(dpop=shown(holder))
        self.assertEqual(granted["token_type"], "DPoP")
        login = self.logins.of_refresh(granted["refresh_token"], self.client_id)
        assert login is not None
        self.assertEqual(login.jkt, holder.public.thumbprint)
        again = self.renew(granted["refresh_token"], dpop=shown(holder)).json
        self.assertEqual(again["token_type"], "DPoP")
        self.assert_no_grant(self.renew(again["refresh_token"], dpop=shown(other)))

    def test_not_written_down(self) -> None:
        """A token whose login cannot be kept is not given, nor left behind."""
        code = self.code()
        with mock.patch.object(self.logins.store, "keep", side_effect=NotKept):
            response = self.redeem(code)
        self.assertEqual(response.status, 503)
        self.assertEqual(response.json["error"], "temporarily_unavailable")
        self.assertEqual((len(self.logins), len(self.tokens)), (0, 0))
        self.assertEqual(len(self.house.events("auth.login.unkept")), 1)

    def test_given_at_another_daemon(self) -> None:
        """The next refresh token was given there: this one was stolen, or that."""
        code = self.code()
        with mock.patch.object(self.logins.store, "keep", return_value=False):
            self.assert_no_grant(self.redeem(code))
        self.assertEqual((len(self.logins), len(self.tokens)), (0, 0))
        (told,) = self.house.events("auth.login.ended")
        self.assertEqual((told["principal"], told["tokens"]), ("alice", 1))

    def test_full(self) -> None:
        """Tokens run out, and the code with them: what it is worth then cannot be known."""
        code = self.code()
        with mock.patch.object(self.tokens, "has_room", return_value=False):
            response = self.redeem(code)
        self.assertEqual((response.status, response.headers["retry-after"]), (503, "5"))
        self.assertEqual(response.json["error"], "temporarily_unavailable")
        self.assertEqual((len(self.logins), len(self.tokens)), (0, 0))
