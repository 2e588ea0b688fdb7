"""Giving back what a person agreed to, whatever those say whom it came from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.asking.inquiry import Document
from mcptwist.auth.asking.logout import Logout
from mcptwist.auth.asking.registration import POST, Client
from mcptwist.auth.asking.wallet import Wallet
from mcptwist.errors import ServerUnreachable
from tests.auth.asking.test_wallet import URL, WHO, grant

REVOKE = f"{WHO}/revoke"


class Issuing:
    """Whoever gave the grant.

    :ivar taken: what was brought back.
    """

    def __init__(self) -> None:
        self.url = URL
        self.metadata: dict[str, Any] | None = {
            "issuer": WHO, "token_endpoint": f"{WHO}/token", "revocation_endpoint": REVOKE,
        }  # fmt: skip
        self.statuses = {"refresh_token": 200, "access_token": 200}
        self.is_there = True
        self.taken: list[dict[str, str]] = []

    async def first(self, places: Any) -> bytes | None:
        assert all(place.startswith(WHO) for place in places)
        return None if self.metadata is None else json.dumps(self.metadata).encode()

    async def send_form(self, url: str, form: dict[str, str], headers: Any = ()) -> Document:
        assert url == REVOKE
        if not self.is_there:
            raise ServerUnreachable("nobody is there")
        self.taken.append(form)
        return Document(self.statuses[form["token_type_hint"]], b"", "")


class LogoutTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.issuing = Issuing()
        self.wallet = Wallet(str(Path(self.mktemp()) / "grants.json"))
        self.wallet.introduce(WHO, Client("us"))

    def end(self, **members: Any) -> str:
        """Why it may be good there still; here it is forgotten whatever that is."""
        kept = grant(**members)
        self.wallet.keep(kept)
        inquiry: Any = self.issuing
        left: str = self.successResultOf(
            Deferred.fromCoroutine(Logout(inquiry, self.wallet).end(kept))
        )
        self.assertIsNone(self.wallet.find(*kept.place))
        return left

    def kinds(self) -> list[str]:
        return [form["token_type_hint"] for form in self.issuing.taken]

    def test_given_back(self) -> None:
        """Both tokens, the one that makes others first, by whom they were given to."""
        self.assertEqual(self.end(client=Client("us", "s3cret", POST)), "")
        shown = {"client_id": "us", "client_secret": "s3cret"}
        self.assertEqual(
            self.issuing.taken,
            [
                {"token": "refr3sh", "token_type_hint": "refresh_token", **shown},
                {"token": "t0ken", "token_type_hint": "access_token", **shown},
            ],
        )

    def test_nothing_to_renew(self) -> None:
        self.assertEqual(self.end(refresh=""), "")
        self.assertEqual(self.kinds(), ["access_token"])

    def test_one_is_not_taken(self) -> None:
        """The other is given back all the same."""
        self.issuing.statuses["refresh_token"] = 503
        self.assertIn("(503)", self.end())
        self.issuing.statuses = {"refresh_token": 200, "access_token": 400}
        self.assertIn("(400)", self.end())
        self.assertEqual(self.kinds(), 2 * ["refresh_token", "access_token"])

    def test_neither_is_taken(self) -> None:
        """The one that lasts longer is told of."""
        self.issuing.statuses = {"refresh_token": 503, "access_token": 400}
        self.assertIn("(503)", self.end())

    def test_nobody_there(self) -> None:
        self.issuing.is_there = False
        self.assertIn("nobody is there", self.end())

    def test_nowhere_to_give_it(self) -> None:
        self.issuing.metadata = None
        self.assertIn("no metadata any more", self.end())
        self.issuing.metadata = {"issuer": WHO, "token_endpoint": f"{WHO}/token"}
        self.assertIn("takes no tokens back", self.end())
        self.assertEqual(self.issuing.taken, [])

    def test_metadata_of_somebody_else(self) -> None:
        """Nothing is brought to whoever names somebody else."""
        self.issuing.metadata = {
            "issuer": "https://evil.example", "token_endpoint": "https://evil.example/token",
            "revocation_endpoint": REVOKE,
        }  # fmt: skip
        self.assertNotEqual(self.end(), "")
        self.assertEqual(self.issuing.taken, [])

    def test_who_we_are(self) -> None:
        """It is forgotten with the last grant of that issuer."""
        other = grant(url="https://other.example.com/mcp")
        self.wallet.keep(other)
        self.wallet.keep(grant(issuer="https://third.example.com"))
        self.end()
        self.assertEqual(self.wallet.client(WHO), Client("us"))
        self.wallet.forget(other)
        self.end()
        self.assertIsNone(self.wallet.client(WHO))
