"""People log a client in with a browser and a key; and what others make of that."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlsplit

from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.addresses import Address
from mcptwist.auth.oauth.approvals import DENY, Pending
from mcptwist.auth.oauth.authorizationrequest import AuthorizationRequest
from mcptwist.auth.oauth.browserdesk import HELD, LEFT, Sitting
from mcptwist.auth.oauth.registrations import CODE, Redirects, register
from mcptwist.configuration.peopleconfig import People
from tests.auth.approving import signature, wanted
from tests.auth.browsing import BACK, VERIFIER, Browser, BrowserCase
from tests.auth.closed import BASE, HERE, MCP, ClosedCase, from_elsewhere
from tests.auth.people import key, proof
from tests.conversations.posting import Response

OTHER = 60 * "w"


class LoggingInTests(BrowserCase):
    """As it should go."""

    def test_all_of_it(self) -> None:
        pending, page = self.begin()
        self.assertEqual(page, f"/oauth/wait/{pending.code}")
        shown = self.browser.get(page)
        self.assertEqual(shown.status, 200)
        self.assertIn(pending.code.encode(), shown.body)
        held = self.browser.get(f"{page}?held")
        self.assertEqual(held.wire.value(), b"")
        self.approve(self.alice, pending)
        heard = self.back(held)
        self.assertEqual((heard["state"], heard["iss"]), ("the state of it", BASE))
        granted = self.redeem(heard["code"])
        self.assertEqual(granted.status, 200, granted.wire.value())
        self.assertEqual(granted.headers["cache-control"], "no-store")
        told = granted.json
        self.assertEqual(
            (told["token_type"], told["expires_in"], told["scope"]),
            ("Bearer", 600, "mcp:read mcp:call"),
        )
        self.assert_let_in(told["access_token"])
        renewed = self.renew(told["refresh_token"]).json
        self.assertNotEqual(renewed["refresh_token"], told["refresh_token"])
        self.assert_let_in(renewed["access_token"])
        self.assert_let_in(told["access_token"])
        events = [each["event"] for each in self.house.events("auth.") if "peer" in each]
        self.assertEqual(
            events[:5],
            [
                "auth.client.registered",
                "auth.login.asked",
                "auth.approval.given",
                "auth.login.begun",
                "auth.token.issued",
            ],
        )
        begun = self.house.events("auth.login.begun")[0]
        self.assertEqual((begun["principal"], begun["client"]), ("alice", self.client_id))

    def test_found_in_metadata(self) -> None:
        """RFC 8414, RFC 7591, RFC 9207."""
        told = self.house.request("GET", "/.well-known/oauth-authorization-server", {}).json
        self.assertEqual(told["registration_endpoint"], f"{BASE}/oauth/register")
        self.assertEqual(told["authorization_endpoint"], f"{BASE}/oauth/authorize")
        self.assertLessEqual(
            {"authorization_code", "refresh_token", "client_credentials"},
            set(told["grant_types_supported"]),
        )
        self.assertIn("none", told["token_endpoint_auth_methods_supported"])
        self.assertIs(told["authorization_response_iss_parameter_supported"], True)

    def test_registered(self) -> None:
        response = self.register(client_name="<b>Bad</b>", grant_types=["authorization_code"])
        self.assertEqual((response.status, response.headers["cache-control"]), (201, "no-store"))
        self.assertEqual(response.json["client_name"], "b-Bad-b")
        self.assertEqual(response.json["client_id_issued_at"], int(self.house.wall()))

    def test_approved_while_nobody_asks(self) -> None:
        """The page was between two questions."""
        pending, page = self.begin()
        self.approve(self.alice, pending)
        self.assertIn("code", self.back(self.browser.get(f"{page}?held")))

    def test_less_is_granted(self) -> None:
        """What the approving key's line grants, and what was approved."""
        self.house.write(self.line("alice", 'scope="mcp:read"'))
        self.house.look()
        self.assertEqual(self.redeem(self.code()).json["scope"], "mcp:read")

    def test_denied(self) -> None:
        pending, page = self.begin()
        self.decide(pending.code, signature(self.alice, pending, DENY), action=DENY)
        heard = self.back(self.browser.get(page))
        self.assertEqual((heard["error"], heard["iss"]), ("access_denied", BASE))
        self.assertNotIn("code", heard)
        self.assert_audited("auth.login.refused")

    def test_late(self) -> None:
        """The client hears that nobody came."""
        _, page = self.begin()
        held = self.browser.get(f"{page}?held")
        self.house.turn(60, 15)
        self.assertEqual(held.status, 200)
        held = self.browser.get(f"{page}?held")
        self.house.clock.advance(250)
        self.assertEqual(self.back(held)["error"], "access_denied")
        self.assert_audited("auth.login.refused")

    def test_held_no_longer_than_proxies_bear(self) -> None:
        _, page = self.begin()
        held = self.browser.get(f"{page}?held")
        self.house.turn(int(HELD), 15)
        self.assertEqual(held.wire.value(), b"")
        self.house.turn(15, 15)
        self.assertEqual(held.status, 200)
        self.assertIn(f"url={page}?held".encode(), held.body)

    def test_held_again(self) -> None:
        """The page was opened anew meanwhile; the last one goes on."""
        pending, page = self.begin()
        first = self.browser.get(f"{page}?held")
        second = self.browser.get(f"{page}?held")
        self.assertEqual(first.status, 200)
        self.approve(self.alice, pending)
        self.assertIn("code", self.back(second))

    def test_closed_while_held(self) -> None:
        """Nobody is given a code who is not there; the browser may come again."""
        pending, page = self.begin()
        self.browser.get(f"{page}?held").wire.protocol.connectionLost(None)
        self.approve(self.alice, pending)
        self.assertIn("code", self.back(self.browser.get(page)))

    def test_two_at_once(self) -> None:
        """Each has a cookie of its own."""
        first, first_page = self.begin()
        second, second_page = self.begin(state="second")
        self.approve(self.alice, second)
        self.approve(self.bob, first)
        self.assertEqual(self.back(self.browser.get(second_page))["state"], "second")
        code = self.back(self.browser.get(first_page))["code"]
        self.assertEqual(self.redeem(code).status, 200)
        self.assertEqual(self.house.events("auth.token.issued")[-1]["principal"], "bob")
        self.assertEqual(self.browser.cookies, {})

    def test_another_port(self) -> None:
        """Programs listen where there is room."""
        where = BACK.replace("33418", "5")
        pending, page = self.begin(redirect_uri=where)
        self.approve(self.alice, pending)
        location = self.browser.get(page).headers["location"]
        self.assertTrue(location.startswith(f"{where}?code="))

    def test_bound(self) -> None:
        """A client that proves a key gets tokens that are good with it alone."""
        holder = key("holder")
        granted = self.redeem(self.code(), dpop=self.proof(holder)).json
        self.assertEqual(granted["token_type"], "DPoP")
        refused = self.renew(granted["refresh_token"])
        self.assert_no_grant(refused)
        self.assert_no_grant(self.renew(granted["refresh_token"], dpop=self.proof(key("other"))))
        renewed = self.renew(granted["refresh_token"], dpop=self.proof(holder))
        self.assertEqual(renewed.json["token_type"], "DPoP")

    def test_bound_and_lent(self) -> None:
        """Who has the key may have a token for a header; without it there is still nothing."""
        holder = key("holder")
        granted = self.redeem(self.code(), dpop=self.proof(holder)).json
        refresh, header = granted["refresh_token"], {"mcptwist_token_type": "Bearer"}
        self.assert_no_grant(self.renew(refresh, **header))
        self.assert_no_grant(self.renew(refresh, **header, dpop=self.proof(key("other"))))
        lent = self.renew(refresh, **header, scope="mcp:read", dpop=self.proof(holder)).json
        self.assertEqual((lent["token_type"], lent["scope"]), ("Bearer", "mcp:read"))
        self.assertEqual(self.house.events("auth.token.issued")[-1]["kind"], "Bearer")
        self.assert_no_grant(self.renew(lent["refresh_token"]))
        renewed = self.renew(lent["refresh_token"], dpop=self.proof(holder)).json
        self.assertEqual(renewed["token_type"], "DPoP")
        self.assert_let_in(lent["access_token"])

    def test_nothing_is_lent_where_dpop_is_required(self) -> None:
        """A key whose tokens must be bound gives none for a header; the login stays as it was."""
        self.house.write(self.line("alice", f"{self.options},require-dpop"))
        self.house.look()
        holder = key("holder")
        granted = self.redeem(self.code(), dpop=self.proof(holder)).json
        refresh = granted["refresh_token"]
        refused = self.renew(refresh, mcptwist_token_type="Bearer", dpop=self.proof(holder))
        self.assertEqual((refused.status, refused.json["error"]), (400, "invalid_dpop_proof"))
        self.assert_audited()
        self.assertEqual(self.renew(refresh, dpop=self.proof(holder)).status, 200)

    def test_code_bound(self) -> None:
        """A client that says which key it will come with gets nothing without it."""
        holder = key("holder")
        jkt = holder.public.thumbprint
        granted = self.redeem(self.code(dpop_jkt=jkt), dpop=self.proof(holder))
        self.assertEqual(granted.json["token_type"], "DPoP")
        for dpop in (None, self.proof(key("other"))):
            self.assert_no_grant(self.redeem(self.code(dpop_jkt=jkt), dpop=dpop))
            (*_, ended) = self.house.events("auth.login.ended")
            self.assertEqual(ended["reason"], "the code is bound to another key")

    def proof(self, holder: Any) -> str:
        return proof(holder, url=f"{BASE}/oauth/token", now=self.house.wall())

    def test_given_back(self) -> None:
        """RFC 7009: what is the client's own, and nothing else."""
        granted = self.redeem(self.code()).json
        for text in (granted["access_token"], granted["refresh_token"], "nonsense"):
            for client in ("another.0123456789abcdef", self.client_id):
                response = self.revoke(text, client)
                self.assertEqual((response.status, response.json), (200, {}))
        self.assert_turned_away(self.come(granted["access_token"]), error="invalid_token")
        self.assert_no_grant(self.renew(granted["refresh_token"]))
        (ended,) = self.house.events("auth.login.ended")
        self.assertEqual(ended["reason"], "given back")
        self.assertEqual(self.revoke("x", "").json, {"error": "invalid_client"})

    def revoke(self, text: str, client: str) -> Response:
        body = f"token={quote(text)}&client_id={quote(client)}".encode()
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.house.request("POST", "/oauth/revoke", form, body)


class SchemeTests(BrowserCase):
    """Programs that open links of a scheme of their own, and websites."""

    people = People(redirects=("cursor://anysphere.x", "https://claude.ai"))

    def test_program(self) -> None:
        """A browser shows nothing then, so the page says what happens."""
        where = "cursor://anysphere.x/callback"
        self.client_id = self.register(redirect_uris=[where]).json["client_id"]
        pending, page = self.begin(redirect_uri=where, state='"><script>')
        self.approve(self.alice, pending)
        done = self.browser.get(page)
        self.assertEqual(done.status, 200)
        self.assertIn(f'content="0;url={where}?code=mcp_ac_'.encode(), done.body)
        self.assertNotIn(b"<script", done.body)

    def test_website(self) -> None:
        where = "https://claude.ai/api/callback?x=1"
        self.client_id = self.register(redirect_uris=[where]).json["client_id"]
        pending, page = self.begin(redirect_uri=where)
        self.assertIn(b"claude.ai</strong>, a website", self.browser.get(page).body)
        self.approve(self.alice, pending)
        location = self.browser.get(page).headers["location"]
        self.assertTrue(location.startswith(f"{where}&code="))


class FullTests(BrowserCase):
    """As many are logged in as may be."""

    people = People(logins=1)

    def test_full(self) -> None:
        """The client hears it, and may come again; the one that is in stays in."""
        first = self.redeem(self.code()).json
        pending, page = self.begin()
        self.approve(self.bob, pending)
        heard = self.back(self.browser.get(page))
        self.assertEqual(heard["error"], "temporarily_unavailable")
        self.assertNotIn("code", heard)
        self.assert_audited("auth.login.refused")
        self.assertEqual(self.renew(first["refresh_token"]).status, 200)
        self.house.clock.advance(12 * 3600)
        self.assertEqual(self.redeem(self.code()).status, 200)


class CrowdTests(BrowserCase):
    """Two may wait for approval, so four may sit there."""

    people = People(waiting=2, waiting_per_source=2)

    def decided(self) -> None:
        """One more whose browser does not come for its outcome."""
        pending, _ = self.begin()
        self.approvals.deny(pending)

    def test_nobody_comes_for_outcomes(self) -> None:
        """Who has them decided, or end, at once, fills up nothing with what is left of them."""
        assert self.house.gatehouse.people is not None
        sittings = self.house.gatehouse.people.browsers
        for _ in range(4):
            self.decided()
            self.house.clock.advance(1)
        heard = self.back(self.browser.get(self.query()))
        self.assertEqual(heard["error"], "temporarily_unavailable")
        self.assert_audited("auth.login.refused")
        self.assertEqual((len(sittings), self.approvals.refused), (4, 1))
        self.house.clock.advance(56)  # the first one is forgotten
        self.begin()
        self.assertEqual(len(sittings), 4)


class OneTokenTests(BrowserCase):
    """``login_ttl = "none"``: nobody stays longer than a token is good for."""

    people = People(login_ttl=None)

    def test_no_refresh(self) -> None:
        code = self.code()
        granted = self.redeem(code).json
        self.assertNotIn("refresh_token", granted)
        self.assert_no_grant(self.redeem(code))
        self.assert_turned_away(self.come(granted["access_token"]), error="invalid_token")


class PageTests(BrowserCase):
    """B12, and what else a page must say and not say."""

    def assert_closed(self, response: Response) -> None:
        """Nothing is loaded, nothing frames it, nothing keeps it, and nobody is told of it."""
        policy = dict(
            each.strip().partition(" ")[::2]
            for each in response.headers["content-security-policy"].split(";")
        )
        self.assertEqual(policy["default-src"], "'none'")
        self.assertEqual(policy["frame-ancestors"], "'none'")
        self.assertEqual(policy["form-action"], "'none'")
        self.assertRegex(policy["style-src"], r"\A'sha256-[A-Za-z0-9+/]{43}='\Z")
        self.assertEqual(response.headers["x-frame-options"], "DENY")
        self.assertEqual(response.headers["referrer-policy"], "no-referrer")
        self.assertEqual(response.headers["cache-control"], "no-store")
        self.assertNotIn(b"<script", response.body)
        self.assertNotIn(b" style=", response.body)
        self.assertNotIn(b"src=", response.body)

    def test_waiting(self) -> None:
        pending, page = self.begin()
        shown = self.browser.get(page)
        self.assert_closed(shown)
        text = shown.body.decode()
        for told in (
            f"mcptwist approve --url {BASE} {pending.code}",
            "ssh-keygen -Y sign -n mcptwist-approve",
            "<strong>Inspector</strong>, as it calls itself",
            "<strong>127.0.0.1:33418</strong>: a program on this very machine",
            f"<strong>{MCP}</strong>",
            HERE,
            "call tools",
        ):
            self.assertIn(told, text)
        self.assertNotIn("administer", text)

    def test_refused(self) -> None:
        shown = self.browser.get(self.query(client_id="<script>alert(1)</script>"))
        self.assertEqual(shown.status, 400)
        self.assert_closed(shown)

    def test_nothing_of_a_request_is_repeated(self) -> None:
        """What is shown of a client can be nothing but its name and its host."""
        for different in (
            {"state": "<script>1"},
            {"scope": "mcp:read <script>2"},
            {"extra": "<script>3"},
        ):
            _, page = self.begin(**different)
            self.assert_closed(self.browser.get(page))

    def test_framed(self) -> None:
        """A browser that says it is for a frame gets no login at all."""
        for headers in (
            {"sec_fetch_dest": "iframe"},
            {"sec_fetch_dest": "object"},
            {"sec_fetch_mode": "cors", "sec_fetch_dest": "empty"},
            {"sec_fetch_mode": "no-cors", "sec_fetch_dest": "image"},
            {"origin": BASE},
        ):
            response = self.browser.get(self.query(), **headers)
            self.assertEqual(response.status, 403, headers)
            self.assert_closed(response)
            self.assert_audited("auth.login.refused")
        self.assertEqual(len(self.approvals), 0)
        self.assert_unseen()

    def test_methods(self) -> None:
        for method in ("POST", "HEAD", "PUT"):
            for path in (self.query(), "/oauth/wait/BBBB-BBBB"):
                response = self.house.request(method, path, {})
                self.assertEqual((response.status, response.headers["allow"]), (405, "GET"))
        self.assertEqual(len(self.approvals), 0)

    def test_cookies(self) -> None:
        pending, page = self.begin()
        (cookie,) = self.browser.set
        letters = pending.code.replace("-", "")
        self.assertRegex(
            cookie,
            rf"\Amcptwist-{letters}=[A-Za-z0-9_-]{{43}}; Path={page}; Max-Age=360; HttpOnly; "
            r"SameSite=Lax\Z",
        )

    def test_registration_is_bounded(self) -> None:
        """Documents are, and how many a second; what is registered takes no room."""
        self.assertEqual(self.register(client_name=9000 * "x").status, 413)
        before = {self.register(client_name=f"c{number}").status for number in range(40)}
        self.assertEqual(before, {201})
        after = [self.register(client_name=f"c{number}").status for number in range(40)]
        self.assertEqual(after[-1], 429)

    def test_registrations_that_are_none(self) -> None:
        for body, kind in (
            (b"{", "application/json"),
            (b"[]", "application/json"),
            (b'{"client_name":"a","client_name":"b"}', "application/json"),
            (b"{}", "text/plain"),
            (b"{}", "application/json"),
        ):
            response = self.house.request("POST", "/oauth/register", {"Content-Type": kind}, body)
            self.assertEqual(response.status, 400, body)
            self.assertIn(
                response.json["error"], ("invalid_client_metadata", "invalid_redirect_uri")
            )
            self.assert_audited("auth.client.refused")
        self.assertEqual(self.house.request("GET", "/oauth/register", {}).status, 405)


class CookieTests(SynchronousTestCase):
    def test_secure(self) -> None:
        """Behind TLS, browsers take it from nobody else (``__Host-``)."""
        client = register({"redirect_uris": [BACK]}, Redirects(), [CODE]).client
        place = Address("https://mcp.example.com", "/mcp", "/", "mcp")
        asked = AuthorizationRequest(place.base, client, BACK, None, "", place, frozenset())
        pending = Pending("BCDF-GHJK", wanted(), 0.0)
        name, value = Sitting(asked, pending, b"").set_cookie("secret", 60)
        self.assertEqual(name, b"set-cookie")
        self.assertEqual(
            value,
            b"__Host-mcptwist-BCDFGHJK=secret; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure",
        )


class RedirectAttackTests(BrowserCase):
    """E1, and E2 where it begins."""

    def test_redirects(self) -> None:
        """A page says so, and the browser goes nowhere."""
        for different in (
            {"redirect_uri": "https://evil.example/cb"},
            {"redirect_uri": f"{BACK}/more"},
            {"redirect_uri": f"{BACK}?more"},
            {"redirect_uri": "http://localhost:33418/callback"},
            {"redirect_uri": "http://127.0.0.1:33418@evil.example/callback"},
            {"redirect_uri": "javascript:alert(1)"},
            {"redirect_uri": None},
            {"client_id": None},
            {"client_id": "unheard.0123456789abcdef"},
        ):
            response = self.browser.get(self.query(**different))
            self.assertEqual(response.status, 400, different)
            self.assertNotIn("location", response.headers)
            self.assertNotIn("set-cookie", response.headers)
            self.assert_audited("auth.login.refused")
        self.assertEqual(len(self.approvals), 0)
        self.assert_unseen()

    def test_repeated_parameters(self) -> None:
        """Of two, nobody can say which the other end looks at."""
        for more in (f"&redirect_uri={quote(BACK)}", "&client_id=x", "&state=2"):
            self.assertEqual(self.browser.get(self.query() + more).status, 400)
            self.assert_audited("auth.login.refused")

    def test_challenges(self) -> None:
        """E2: without one, or a plain one, there is no code to be had."""
        for different in (
            {"code_challenge": None},
            {"code_challenge_method": "plain"},
            {"code_challenge_method": None},
        ):
            heard = self.back(self.browser.get(self.query(**different)))
            self.assertEqual(heard["error"], "invalid_request")
            self.assert_audited("auth.login.refused")
        self.assertEqual(len(self.approvals), 0)

    def test_other_resources(self) -> None:
        for resource in (None, "https://evil.example/mcp", BASE, "http://127.0.0.1:1/mcp"):
            heard = self.back(self.browser.get(self.query(resource=resource)))
            self.assertEqual(heard["error"], "invalid_target", resource)
            self.assert_audited("auth.login.refused")

    def test_too_many(self) -> None:
        """Nobody keeps others out for longer than they wait themselves."""
        for _ in range(10):
            self.begin()
        heard = self.back(self.browser.get(self.query()))
        self.assertEqual(heard["error"], "temporarily_unavailable")
        self.assert_audited("auth.login.refused")
        from_elsewhere(self.house, "198.51.100.7")
        self.begin()


class CodeAttackTests(BrowserCase):
    """E2 and E3."""

    def test_verifiers(self) -> None:
        for verifier in (OTHER, "", None, "short", VERIFIER[:-1]):
            self.assert_no_grant(self.redeem(self.code(), code_verifier=verifier))
            (*_, ended) = self.house.events("auth.login.ended")
            self.assertEqual(ended["reason"], "the verifier is not the challenge's")

    def test_wrong_verifier_burns_the_code(self) -> None:
        code = self.code()
        self.assert_no_grant(self.redeem(code, code_verifier=OTHER))
        self.assert_no_grant(self.redeem(code))

    def test_again(self) -> None:
        """What came of it ends as well, and whoever works with it is out."""
        code = self.code()
        granted = self.redeem(code).json
        self.assert_no_grant(self.redeem(code))
        (ended,) = self.house.events("auth.login.ended")
        self.assertEqual((ended["reason"], ended["tokens"]), ("the code came a second time", 1))
        self.assert_turned_away(self.come(granted["access_token"]), error="invalid_token")
        self.assert_no_grant(self.renew(granted["refresh_token"]))

    def test_anothers(self) -> None:
        other = self.register(client_name="Other").json["client_id"]
        self.assert_no_grant(self.redeem(self.code(), client_id=other))
        self.assert_no_grant(self.redeem(self.code(), client_id=None))
        self.assert_no_grant(self.redeem(self.code(), redirect_uri=BACK.replace("33418", "1")))
        self.assert_no_grant(self.redeem(self.code(), resource=f"{BASE}/ws"), "invalid_target")

    def test_another_name_of_ours(self) -> None:
        """Each is an issuer of its own."""
        code = self.code()
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Host": "127.0.0.1:8080"}
        body = (
            f"grant_type=authorization_code&code={code}&client_id={self.client_id}"
            f"&redirect_uri={quote(BACK)}&code_verifier={VERIFIER}"
        )
        response = self.house.request("POST", "/oauth/token", headers, body.encode())
        self.assert_no_grant(response)

    def test_late(self) -> None:
        code = self.code()
        self.house.clock.advance(60)
        self.assert_no_grant(self.redeem(code))

    def test_guessed(self) -> None:
        """It costs whoever does."""
        from_elsewhere(self.house, "198.51.100.8")
        for _ in range(3):
            self.assert_no_grant(self.redeem("mcp_ac_guessed"))
        self.assertEqual(self.redeem("mcp_ac_guessed").status, 429)

    def test_no_dpop_where_it_is_required(self) -> None:
        self.house.write(self.line("alice", f"{self.options},require-dpop"))
        self.house.look()
        response = self.redeem(self.code())
        self.assertEqual((response.status, response.json["error"]), (400, "invalid_dpop_proof"))
        self.assert_audited()
        people = self.house.gatehouse.people
        assert people is not None
        self.assertEqual(len(people.logins), 0)

    def test_key_withdrawn_meanwhile(self) -> None:
        """After the approval, after the code, after the tokens."""
        pending, page = self.begin()
        self.approve(self.alice, pending)
        kept = self.redeem(self.code()).json
        code = self.code()
        self.house.write(self.line("bob"))
        self.house.look()
        self.assertEqual(self.back(self.browser.get(page))["error"], "access_denied")
        self.assert_audited("auth.login.refused")
        self.assert_no_grant(self.redeem(code))
        self.assert_no_grant(self.renew(kept["refresh_token"]))
        self.assert_turned_away(self.come(kept["access_token"]), error="invalid_token")
        revoked = self.house.events("auth.key.revoked")[0]
        self.assertEqual(revoked["principal"], "alice")
        self.assertEqual((revoked["tokens"], revoked["logins"]), (1, 2))


class RefreshAttackTests(BrowserCase):
    """E7."""

    def test_again(self) -> None:
        """The thief or the owner comes second; both are out."""
        first = self.redeem(self.code()).json
        second = self.renew(first["refresh_token"]).json
        self.assert_no_grant(self.renew(first["refresh_token"]))
        (ended,) = self.house.events("auth.login.ended")
        self.assertEqual(
            (ended["reason"], ended["tokens"]), ("the refresh token came a second time", 2)
        )
        self.assert_no_grant(self.renew(second["refresh_token"]))
        for granted in (first, second):
            self.assert_turned_away(self.come(granted["access_token"]), error="invalid_token")

    def test_anothers(self) -> None:
        refresh = self.redeem(self.code()).json["refresh_token"]
        self.assert_no_grant(self.renew(refresh, client_id="other.0123456789abcdef"))
        self.assert_no_grant(self.renew(refresh))

    def test_more(self) -> None:
        """A login never grows."""
        refresh = self.redeem(self.code(scope="mcp:read")).json["refresh_token"]
        self.assert_no_grant(self.renew(refresh, scope="mcp:call"), "invalid_scope")
        both = self.renew(refresh, scope="mcp:read mcp:call").json
        self.assertEqual(both["scope"], "mcp:read")

    def test_from_elsewhere(self) -> None:
        """``from=`` in the key's line holds for what the key let in."""
        self.house.write(self.line("alice", f'{self.options},from="{HERE}"'))
        self.house.look()
        refresh = self.redeem(self.code()).json["refresh_token"]
        from_elsewhere(self.house, "198.51.100.9")
        self.assert_no_grant(self.renew(refresh))

    def test_ends(self) -> None:
        """After twelve hours, however often it was renewed."""
        refresh = self.redeem(self.code()).json["refresh_token"]
        for _ in range(11):
            self.house.clock.advance(3600)
            refresh = self.renew(refresh).json["refresh_token"]
        self.house.clock.advance(3600)
        self.assert_no_grant(self.renew(refresh))


class OtherBrowserTests(BrowserCase):
    """E5: whoever has the link has nothing."""

    def refused(self, response: Response) -> None:
        self.assertEqual(response.status, 403)
        self.assertNotIn("location", response.headers)
        self.assert_audited("auth.login.refused")
        self.assert_unseen()

    def test_before_and_after(self) -> None:
        pending, page = self.begin()
        other = Browser(self.house)
        self.refused(other.get(page))
        self.refused(other.get(f"{page}?held"))
        self.approve(self.alice, pending)
        self.refused(other.get(page))
        self.assertIn("code", self.back(self.browser.get(page)))

    def test_with_a_cookie_of_its_own(self) -> None:
        """Whoever can set cookies for the host (ports share them) does not know which."""
        pending, page = self.begin()
        self.approve(self.alice, pending)
        name = next(iter(self.browser.cookies))
        for value in ("", "x", 43 * "A"):
            other = Browser(self.house)
            other.cookies[name] = value
            self.refused(other.get(page))

    def test_anothers_page_with_ones_own_cookie(self) -> None:
        _, own_page = self.begin()
        other = Browser(self.house)
        response = other.get(self.query())
        self.refused(self.browser.get(response.headers["location"]))
        self.assertEqual(self.browser.get(own_page).status, 200)

    def test_once(self) -> None:
        pending, page = self.begin()
        self.approve(self.alice, pending)
        cookies = dict(self.browser.cookies)
        self.back(self.browser.get(page))
        self.browser.cookies = cookies
        self.refused(self.browser.get(page))

    def test_too_late_for_the_outcome(self) -> None:
        pending, page = self.begin()
        self.approve(self.alice, pending)
        self.house.turn(int(LEFT) + 15, 15)
        self.refused(self.browser.get(page))

    def test_another_name_of_ours(self) -> None:
        _, page = self.begin()
        self.refused(self.browser.get(page, host=f"127.0.0.1:{urlsplit(BASE).port}"))

    def test_codes_that_are_none(self) -> None:
        for path in ("", "BBBB-BBBB", "../token", "%2e%2e", "bbbbbbbb", 300 * "B"):
            self.refused(self.browser.get(f"/oauth/wait/{path}"))


class OffTests(ClosedCase):
    """Without ``[auth.people]`` there is nothing of it."""

    def test_nothing_there(self) -> None:
        for path in ("authorize", "wait/BBBB-BBBB", "register", "approve"):
            response = self.house.request("GET", f"/oauth/{path}", {})
            self.assertEqual(response.status, 404)
        told = self.house.request("GET", "/.well-known/oauth-authorization-server", {}).json
        self.assertEqual(told["grant_types_supported"], ["client_credentials"])
        self.assertNotIn("registration_endpoint", told)
