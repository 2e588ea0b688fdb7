"""Approving with a key: what is shown, who may decide, and who may not."""

from __future__ import annotations

from typing import Any

from mcptwist.auth.oauth.approvals import DENIED, DENY, EXPIRED, Approved, Pending
from tests.auth.approving import BACK, PeopleCase, send, signature, signed, wanted
from tests.auth.closed import BASE, FULL, HERE, from_elsewhere
from tests.auth.people import KINDS, key
from tests.auth.touched import HARDWARE, Authenticator
from tests.conversations.posting import Response

READ = frozenset({"mcp:read"})


class ShowingTests(PeopleCase):
    def test_shown(self) -> None:
        pending = self.ask()
        self.house.clock.advance(100)
        for typed in (pending.code, pending.code.lower(), pending.code.replace("-", " ")):
            response = self.show(typed)
            self.assertEqual(response.status, 200)
            self.assertEqual(response.headers["cache-control"], "no-store")
            self.assertEqual(
                response.json,
                {
                    "code": pending.code,
                    "issuer": BASE,
                    "client_id": "inspector",
                    "client_name": "MCP Inspector",
                    "redirect_uri": BACK,
                    "resource": f"{BASE}/mcp",
                    "scope": "mcp:read mcp:call",
                    "asked_from": HERE,
                    "expires_in": 200,
                },
            )
        self.assertIsNone(pending.outcome)

    def test_methods(self) -> None:
        for method in ("PUT", "DELETE", "HEAD"):
            response = self.house.request(method, "/oauth/approve", {})
            self.assertEqual((response.status, response.headers["allow"]), (405, "GET, POST"))


class DecidingTests(PeopleCase):
    def test_approved(self) -> None:
        pending = self.ask()
        response = self.approve(self.alice, pending)
        self.assertEqual(response.status, 200, response.wire.value())
        told = {"outcome": "approved", "principal": "alice", "scope": "mcp:read mcp:call"}
        self.assertEqual(response.json, told)
        outcome = pending.outcome
        assert isinstance(outcome, Approved)
        self.assertEqual(outcome.grant.key, self.alice.public)
        self.assertEqual(outcome.scopes, {"mcp:read", "mcp:call"})
        (event,) = self.house.events("auth.approval")
        self.assertEqual(event["event"], "auth.approval.given")
        self.assertEqual((event["principal"], event["client"]), ("alice", "inspector"))
        self.assertEqual((event["host"], event["asked_from"]), ("localhost:6274", HERE))
        self.assertEqual(event["scope"], ["mcp:call", "mcp:read"])
        self.assertIn(self.alice.public.fingerprint, self.house.gatehouse.books.guestbook.last)

    def test_denied(self) -> None:
        pending = self.ask()
        armored = signature(self.bob, pending, DENY)
        response = self.decide(pending.code, armored, action="deny")
        self.assertEqual(response.json, {"outcome": "denied", "principal": "bob"})
        self.assertEqual(pending.outcome, DENIED)
        self.assertEqual(self.house.events("auth.approval")[-1]["event"], "auth.approval.declined")

    def test_less(self) -> None:
        """A person may agree to less than is wanted, and that is what they sign."""
        pending = self.ask()
        armored = signature(self.alice, pending, scopes=READ)
        response = self.decide(pending.code, armored, scope="mcp:read")
        self.assertEqual(response.json["scope"], "mcp:read")
        assert isinstance(pending.outcome, Approved)
        self.assertEqual(pending.outcome.scopes, READ)

    def test_line_ends_of_browsers(self) -> None:
        pending = self.ask()
        armored = signature(self.alice, pending).replace("\n", "\r\n")
        self.assertEqual(self.decide(pending.code, armored).status, 200)

    def test_once(self) -> None:
        """What is decided does not wait any more."""
        pending = self.ask()
        armored = signature(self.alice, pending)
        self.assertEqual(self.decide(pending.code, armored).status, 200)
        self.assertEqual(self.decide(pending.code, armored).status, 403)
        self.assertEqual(self.show(pending.code).status, 403)


class KindTests(PeopleCase):
    """Every kind of key approves, hardware too."""

    def authorized(self) -> list[str]:
        self.hardware = [Authenticator(kind=kind) for kind in HARDWARE]
        kinds = [f"{key(kind=kind).public.words()} {kind}" for kind in KINDS]
        lines = (f'scope="{FULL}" {each.public.words()} token' for each in self.hardware)
        return [*kinds, *lines]

    def test_every_kind(self) -> None:
        for kind in KINDS:
            self.assertEqual(self.approve(key(kind=kind), self.ask()).status, 200)

    def test_security_key(self) -> None:
        for hardware in self.hardware:
            pending = self.ask()
            text = f"approve {pending.code} {BASE} inspector {BACK} {BASE}/mcp mcp:read mcp:call\n"
            armored = hardware.sign(text.encode(), "mcptwist-approve", 0)
            self.assertEqual(self.decide(pending.code, armored).status, 403)
            armored = hardware.sign(text.encode(), "mcptwist-approve")
            response = self.decide(pending.code, armored)
            self.assertEqual(response.json["principal"], "token")
            given = self.house.events("auth.approval.given")[-1]
            self.assertEqual(given["key"], hardware.public.fingerprint)


class NarrowTests(PeopleCase):
    """What a line of ``authorized_keys`` does not allow, nobody can approve with its key."""

    def authorized(self) -> list[str]:
        return [
            self.line("alice", 'scope="mcp:read",tools="git_*"'),
            self.line("bob", 'scope="mcp:subscribe"'),
            self.line("carol", f'scope="{FULL}",resource="/servers/git/mcp"'),
            self.line("dora", f'scope="{FULL}",require-signature'),
        ]

    def test_scopes_are_cut(self) -> None:
        pending = self.ask()
        self.assertEqual(self.approve(self.alice, pending).json["scope"], "mcp:read")
        assert isinstance(pending.outcome, Approved)
        self.assertEqual(pending.outcome.scopes, READ)
        tools = pending.outcome.grant.tools
        assert tools is not None
        self.assertFalse(tools.allow("search"))

    def test_nothing_is_left(self) -> None:
        """Who is known is told what is wrong; what waits goes on waiting."""
        pending = self.ask()
        response = self.approve(self.bob, pending)
        self._assert_told(response, pending, "invalid_scope")

    def test_signed_requests(self) -> None:
        """What has no key could sign no request."""
        pending = self.ask()
        response = self.approve(key("dora"), pending)
        self._assert_told(response, pending, "invalid_target")

    def test_another_resource(self) -> None:
        pending = self.ask()
        response = self.approve(key("carol"), pending)
        self._assert_told(response, pending, "invalid_target")

    def _assert_told(self, response: Response, pending: Pending, error: str) -> None:
        self.assertEqual((response.status, response.json["error"]), (400, error))
        self.assertEqual(self.house.events("auth.approval.refused")[-1]["error"], error)
        self.assertEqual((pending.outcome, pending.misses), (None, 0))


class AttackTests(PeopleCase):
    """Whatever is wrong, the answer is the same, and what waits goes on waiting."""

    def authorized(self) -> list[str]:
        return [
            *super().authorized(),
            self.line("dora", 'from="10.0.0.0/8"'),
            self.line("erin", 'expiry-time="20200101Z"'),
            self.line("frank", "no-oauth"),
            self.line("grace"),
        ]

    def setUp(self) -> None:
        super().setUp()
        self.house.write(*self.authorized(), revoked=key("grace").public.words())
        self.house.look()

    def assert_no(self, response: Response, reason: str) -> None:
        """403, in the same words each time; the audit log has the reason."""
        self.assertEqual(response.status, 403, response.wire.value())
        self.assertEqual(response.json["error"], "access_denied")
        self.assertEqual(
            response.json["error_description"],
            "nothing waits under that code, or that signature does not decide on it",
        )
        self.assertEqual(set(response.json), {"error", "error_description"})
        self.assertEqual(response.headers["cache-control"], "no-store")
        event = self.house.events("auth.approval")[-1]
        self.assertEqual(event["event"], "auth.approval.refused")
        self.assertIn(reason, event["reason"])
        self.assert_audited()
        self.assert_unseen()
        self.assertEqual(self.house.events("auth.approval.given"), [])

    def test_keys_that_are_none(self) -> None:
        """Unknown, revoked, ended, from elsewhere, not for tokens."""
        for name, reason in (
            ("mallory", "not known, or not good"),
            ("grace", "not known, or not good"),
            ("erin", "not known, or not good"),
            ("dora", "not from there"),
            ("frank", "not good for tokens"),
        ):
            pending = self.ask()
            self.assert_no(self.approve(key(name), pending), reason)
            self.assertIsNone(pending.outcome)
            self.approvals.deny(pending)
        (knock,) = self.house.gatehouse.books.guestbook.knocks()
        self.assertEqual(knock.client, key("mallory").public.fingerprint)

    def test_other_words(self) -> None:
        """A statement about anything else is not about this."""
        for different in (
            {"issuer": "http://127.0.0.1:8808"},
            {"issuer": "https://evil.example"},
            {"client_id": "another"},
            {"redirect_uri": "http://localhost:6275/oauth/callback"},
            {"redirect_uri": ""},
            {"resource": wanted().resource.__class__(BASE, "/servers/git/mcp", "/servers/git")},
        ):
            pending = self.ask()
            response = self.approve(self.alice, pending, **different)
            self.assert_no(response, "another text, or another key")
            self.approvals.deny(pending)

    def test_other_scopes(self) -> None:
        pending = self.ask()
        armored = signature(self.alice, pending, scopes=READ)
        self.assert_no(self.decide(pending.code, armored), "another text")
        armored = signature(self.alice, pending)
        self.assert_no(self.decide(pending.code, armored, scope="mcp:read"), "another text")
        for scope in ("mcp:admin", "mcp:read mcp:admin", "mcp:read  mcp:call"):
            response = self.decide(pending.code, armored, scope=scope)
            self.assertEqual((response.status, response.json["error"]), (400, "invalid_scope"))
        self.assertIsNone(pending.outcome)

    def test_one_word_for_another(self) -> None:
        """A no is no yes, and a yes no no."""
        pending = self.ask()
        self.assert_no(self.approve(self.alice, pending, verb=DENY), "another text")
        armored = signature(self.alice, pending)
        self.assert_no(self.decide(pending.code, armored, action="deny"), "another text")
        self.assertIsNone(pending.outcome)
        response = self.decide(pending.code, armored, action="maybe")
        self.assertEqual((response.status, response.json["error"]), (400, "invalid_request"))

    def test_another_purpose(self) -> None:
        for purpose in ("file", "git", "mcptwist", "mcptwist-approve2", ""):
            pending = self.ask()
            response = self.approve(self.alice, pending, purpose=purpose)
            self.assert_no(response, "another purpose")
            self.approvals.deny(pending)

    def test_another_code(self) -> None:
        """What was signed for one is nothing for the next, though all else is the same."""
        first, second = self.ask(), self.ask()
        armored = signature(self.alice, first)
        self.assert_no(self.decide(second.code, armored), "another text")
        self.assertIsNone(second.outcome)

    def test_line_feeds(self) -> None:
        """One way to end the line."""
        pending = self.ask()
        text = f"approve {pending.code} {BASE} inspector {BACK} {BASE}/mcp mcp:read mcp:call"
        for wrong in (text, f"{text}\n\n", f"{text}\r\n", f"{text} \n", text.lower()):
            self.assert_no(self.decide(pending.code, signed(self.alice, wrong)), "another text")
            pending.misses = 0
        self.assertEqual(self.decide(pending.code, signed(self.alice, f"{text}\n")).status, 200)

    def test_no_signatures(self) -> None:
        pending = self.ask()
        good = signature(self.alice, pending)
        for wrong in ("", "x", good[:-40], good + good, good.replace("SSH", "PGP")):
            self.assert_no(self.decide(pending.code, wrong), "the signature: ")
            pending.misses = 0

    def test_expired(self) -> None:
        pending = self.ask()
        armored = signature(self.alice, pending)
        self.house.clock.advance(300)
        self.assert_no(self.decide(pending.code, armored), "nothing waits under that code")
        self.assertEqual(pending.outcome, EXPIRED)

    def test_sixth_try(self) -> None:
        """The fifth wrong signature ends it, and the right one comes too late."""
        pending = self.ask()
        for _ in range(5):
            self.assert_no(self.approve(self.mallory, pending), "not known")
        self.assertEqual(pending.outcome, EXPIRED)
        self.assert_no(self.approve(self.alice, pending), "nothing waits under that code")

    def test_another_issuer(self) -> None:
        """A code of another name of ours is none under this one."""
        pending = self.ask(issuer="https://other.example")
        self.assert_no(self.show(pending.code), "another issuer")
        response = self.decide(pending.code, signature(self.alice, pending))
        self.assert_no(response, "another issuer")
        self.assertEqual(pending.misses, 0)

    def test_no_codes(self) -> None:
        for code in ("", "AAAA-AAAA", "BCDF-GHJK", "x" * 1000, "BCDF\nGHJK"):
            self.assert_no(self.show(code), "that")
            self.assert_no(self.decide(code, ""), "that")

    def test_guessing(self) -> None:
        """Three wrong codes, and nothing that comes from there is looked at for a while."""
        pending = self.ask()
        from_elsewhere(self.house, "198.51.100.7")
        for _ in range(3):
            self.assertEqual(self.show("BCDF-GHJK").status, 403)
        self.assertEqual(self.show(pending.code).status, 429)
        self.assertEqual(self.approve(self.alice, pending).status, 429)
        self.assertEqual(self.house.events("auth.penalty")[-1]["peer"], "198.51.100.7")
        self.house.clock.advance(16)
        self.assertEqual(self.show(pending.code).status, 200)

    def test_wrong_signatures_cost_their_source(self) -> None:
        pending = self.ask()
        from_elsewhere(self.house, "198.51.100.7")
        for _ in range(3):
            self.assertEqual(self.approve(self.mallory, pending).status, 403)
        self.assertEqual(self.approve(self.mallory, pending).status, 429)
        from_elsewhere(self.house, "198.51.100.8")
        self.assertEqual(self.approve(self.alice, pending).status, 200)

    def test_forms_that_are_none(self) -> None:
        pending = self.ask()
        armored = signature(self.alice, pending)
        form = {"code": pending.code, "signature": armored}
        wrong: list[Any] = [
            self.house.request("POST", "/oauth/approve?code=x", {"Content-Type": "x/y"}, b""),
            send(self.house, {"Content-Type": "application/json"}, **form),
            send(self.house, {"Authorization": "Bearer x"}, **form),
            self.house.request(
                "POST",
                "/oauth/approve",
                {"Content-Type": "application/x-www-form-urlencoded"},
                b"code=a&code=b",
            ),
            self.house.request("GET", "/oauth/approve?code=a&code=b", {}),
        ]
        for response in wrong:
            self.assertEqual((response.status, response.json["error"]), (400, "invalid_request"))
        self.assertEqual(send(self.house, code=pending.code, signature="x" * 20_000).status, 413)
        self.assertIsNone(pending.outcome)

    def test_pages(self) -> None:
        """What somebody's page has a browser do here is not listened to, and blamed on nobody."""
        pending = self.ask()
        from_elsewhere(self.house, "198.51.100.7")
        for site in ("cross-site", "same-site"):
            for code in (pending.code, "BCDF-GHJK"):
                sent = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate"}
                self.assert_no(self.show(code, **sent), "a page asks")
        form = {"code": pending.code, "signature": signature(self.alice, pending)}
        response = send(self.house, {"Sec-Fetch-Site": "cross-site"}, **form)
        self.assertEqual(response.status, 403)
        self.assertIsNone(pending.outcome)
        self.assertEqual(self.house.events("auth.penalty"), [])
        for site in ("none", "same-origin"):
            self.assertEqual(self.show(pending.code, **{"Sec-Fetch-Site": site}).status, 200)

    def test_withdrawn_meanwhile(self) -> None:
        """A key that is revoked between two looks at the files approves nothing."""
        pending = self.ask()
        self.house.write(self.line("bob"), revoked=self.alice.public.words())
        self.house.look()
        self.assert_no(self.approve(self.alice, pending), "not known, or not good")
