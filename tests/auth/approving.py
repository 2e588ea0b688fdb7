"""People who approve, for tests: what waits at a daemon, and what is signed about it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

from twisted.internet.defer import Deferred

from mcptwist.auth.addresses import Address
from mcptwist.auth.keys import ISigner
from mcptwist.auth.oauth.approvals import APPROVE, PURPOSE, Approvals, Pending, Wanted, statement
from mcptwist.auth.sshsig import sign_text
from mcptwist.configuration.peopleconfig import People
from tests.auth.closed import BASE, FORM, HERE, Closed, ClosedCase
from tests.conversations.posting import Response

BACK = "http://localhost:6274/oauth/callback"
SCOPES = frozenset({"mcp:read", "mcp:call"})


def wanted(**different: Any) -> Wanted:
    """What a browser of the inspector's wants, but for what is different."""
    place = Address(BASE, "/mcp", "/")
    known = {
        "issuer": BASE,
        "client_id": "inspector",
        "client_name": "MCP Inspector",
        "redirect_uri": BACK,
        "resource": place,
        "scopes": SCOPES,
        "source": HERE,
    }
    return Wanted(**known | different)


def signature(
    signer: ISigner,
    pending: Pending,
    verb: str = APPROVE,
    scopes: frozenset[str] | None = None,
    purpose: str = PURPOSE,
    **different: Any,
) -> str:
    """The statement about *pending*, signed; *different* is what is wanted according to it."""
    told = wanted(**different) if different else pending.wanted
    text = statement(verb, pending.code, told, pending.wanted.scopes if scopes is None else scopes)
    return signed(signer, text, purpose)


def signed(signer: ISigner, text: str, purpose: str = PURPOSE) -> str:
    """*text*, signed."""
    made: list[str] = []
    Deferred.fromCoroutine(sign_text(signer, text.encode(), purpose)).addCallback(made.append)
    return made[0]


class PeopleCase(ClosedCase):
    """A daemon where people may let clients in that have no key."""

    people = People()

    def setUp(self) -> None:
        self.auth = {**type(self).auth, "people": self.people}
        super().setUp()

    @property
    def approvals(self) -> Approvals:
        """What waits there."""
        people = self.house.gatehouse.people
        assert people is not None
        return people.approvals

    def ask(self, **different: Any) -> Pending:
        """Somebody waits for approval."""
        return self.approvals.ask(wanted(**different))

    def show(self, code: str, **headers: str) -> Response:
        """Ask what a code is for."""
        return self.house.request("GET", f"/oauth/approve?code={quote(code)}", headers)

    def decide(self, code: str, armored: str, **more: str) -> Response:
        """Send a signature."""
        return send(self.house, code=code, signature=armored, **more)

    def approve(self, signer: ISigner, pending: Pending, **how: Any) -> Response:
        """Sign the statement, and send it."""
        return self.decide(pending.code, signature(signer, pending, **how))


def send(house: Closed, headers: dict[str, str] | None = None, **form: str) -> Response:
    """A form at the page."""
    sent = {"Content-Type": FORM, **(headers or {})}
    return house.request("POST", "/oauth/approve", sent, urlencode(form).encode())
