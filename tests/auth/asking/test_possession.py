"""DPoP, the asking side: proofs and the nonces in them."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.asking.possession import MOST_NONCES, Possession
from mcptwist.auth.jws import read_jws
from mcptwist.auth.keys import PublicKey
from mcptwist.auth.oauth.dpop import ProofReader, token_hash
from mcptwist.auth.oauth.replay import ReplayCache
from tests.auth.people import NOW

URL = "https://login.example.com/token"


class PossessionTests(SynchronousTestCase):
    def setUp(self) -> None:
        numbers = iter(range(1, 1000))
        self.possession = Possession(lambda: NOW, lambda size: next(numbers).to_bytes(size, "big"))

    def claims(self, url: str = URL) -> Any:
        return self.proof(url).claims

    def proof(self, url: str = URL, token: str = "", algorithm: str = "ES256") -> Any:
        text = self.possession.proof(algorithm, "POST", url, token)
        return read_jws(text, 4096, frozenset({"jwk"}))

    def test_algorithm(self) -> None:
        """What most understand, of what is offered."""
        self.assertEqual(Possession.algorithm(("RS256", "EdDSA", "ES256")), "ES256")
        self.assertEqual(Possession.algorithm(("RS256", "EdDSA")), "EdDSA")
        self.assertEqual(Possession.algorithm(("RS256", "none")), "")

    def test_good(self) -> None:
        """Our own reader takes them, each once: no two are alike."""
        replays = ReplayCache(lambda: NOW, lambda: NOW)
        reader = ProofReader(lambda: NOW, replays)
        for algorithm in ("ES256", "EdDSA"):
            key = self.possession.key(algorithm).public
            for _ in range(2):
                made = self.possession.proof(algorithm, "POST", URL, "t0ken")
                reader.read(made, "POST", URL, b"t0ken", key.thumbprint)
        self.assertEqual(len(replays), 4)

    def test_place(self) -> None:
        """Neither query nor fragment are proved; what is asked in them stays between the two."""
        self.assertEqual(self.claims(f"{URL}?secret=1#there")["htu"], URL)

    def test_token(self) -> None:
        self.assertNotIn("ath", self.claims())
        self.assertEqual(self.proof(token="t0ken").claims["ath"], token_hash(b"t0ken"))

    def test_no_secret(self) -> None:
        """The key that is shown is the public one."""
        shown = self.proof().header["jwk"]
        self.assertEqual(PublicKey.from_jwk(shown), self.possession.key("ES256").public)

    def test_nonce(self) -> None:
        """It stands in all that goes to whoever gave it, until they give another; nowhere else."""
        self.assertNotIn("nonce", self.claims())
        self.assertTrue(self.possession.notice(URL, "one"))
        self.assertFalse(self.possession.notice(f"{URL}/elsewhere", "one"))
        self.assertEqual(self.claims()["nonce"], "one")
        self.assertNotIn("nonce", self.claims("https://mcp.example.com/mcp"))
        self.assertNotIn("nonce", self.claims("https://login.example.com:8443/token"))
        self.assertTrue(self.possession.notice(URL, "two"))
        self.assertEqual(self.claims()["nonce"], "two")

    def test_nonces_that_are_none(self) -> None:
        """What does not fit into a header is not kept, and does not make us ask again."""
        self.assertTrue(self.possession.notice(URL, "n" * 512))
        for bad in ("", "n" * 513, "a\r\nb", "\u00e9", "\x7f"):
            self.assertFalse(self.possession.notice(URL, bad), bad)
        self.assertEqual(self.claims()["nonce"], "n" * 512)

    def test_nonces_are_bounded(self) -> None:
        """However many servers are named to us; who was heard of longest ago is forgotten."""
        places = [f"https://{number}.example.com" for number in range(MOST_NONCES + 1)]
        for place in places[:-1]:
            self.possession.notice(place, "a")
        self.possession.notice(places[0], "b")
        self.possession.notice(places[-1], "a")
        held = [place for place in places if "nonce" in self.claims(place)]
        self.assertEqual(held, [places[0], *places[2:]])

    def test_trying(self) -> None:
        """Another key, for as long as what it is for may still come true."""
        first = self.possession.key("ES256")
        second, third = Possession.make("ES256"), Possession.make("ES256")
        with self.possession.trying("ES256", second):
            self.assertIs(self.possession.key("ES256"), second)
        self.assertIs(self.possession.key("ES256"), second)
        with self.assertRaises(KeyboardInterrupt), self.possession.trying("ES256", third):
            self.assertIs(self.possession.key("ES256"), third)
            raise KeyboardInterrupt
        self.assertIs(self.possession.key("ES256"), second)
        with self.possession.trying("ES256", None):
            self.assertIs(self.possession.key("ES256"), second)
        self.assertNotEqual(first.public, second.public)

    def test_trying_the_first(self) -> None:
        """Where none was held before there is nothing to go back to."""
        key = Possession.make("EdDSA")
        with self.assertRaises(ValueError), self.possession.trying("EdDSA", key):
            raise ValueError
        self.assertIs(self.possession.key("EdDSA"), key)
