"""Which keys are good now, and who hears when one is not."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.authorizedkeys import Grant, read_authorized_keys
from mcptwist.auth.keyring import Keyring
from tests.auth.people import key

NOBODY: frozenset[str] = frozenset()


class KeyringTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = 86400.0
        self.heard: list[tuple[str, str]] = []
        self.ring = Keyring(lambda: self.now)
        self.ring.when_withdrawn(self.hear)

    def hear(self, grant: Grant, why: str) -> None:
        self.heard.append((grant.principal, why))

    def tell(self, *lines: str, revoked: frozenset[str] = NOBODY) -> None:
        self.ring.replace(read_authorized_keys("\n".join(lines)), revoked)

    def line(self, name: str, options: str = "") -> str:
        return f"{options} {key(name).public.words()} {name}".strip()

    def test_candidates(self) -> None:
        self.tell(self.line("a", 'principal="x"'), self.line("b", 'principal="x"'), self.line("c"))
        self.assertEqual(len(self.ring.candidates("x")), 2)
        fingerprint = key("c").public.fingerprint
        self.assertEqual(self.ring.candidates(fingerprint), self.ring.candidates("c"))
        self.assertEqual(self.ring.candidates("nobody"), [])
        self.assertEqual(len(self.ring), 3)

    def test_removed(self) -> None:
        self.tell(self.line("a"), self.line("b"))
        self.tell(self.line("b"))
        self.assertEqual(self.heard, [("a", "removed")])
        self.assertIsNone(self.ring.grant(key("a").public.fingerprint))

    def test_changed(self) -> None:
        """A key whose line says something else now has to come again."""
        self.tell(self.line("a"))
        self.tell(self.line("a", "require-dpop"))
        self.assertEqual(self.heard, [("a", "changed")])
        self.tell("# a comment", self.line("a", "require-dpop"))
        self.assertEqual(len(self.heard), 1)

    def test_revoked(self) -> None:
        """Whatever its line says, and wherever else the key stands."""
        self.tell(self.line("a"))
        self.tell(self.line("a"), revoked=frozenset({key("a").public.fingerprint}))
        self.assertEqual(self.heard, [("a", "revoked")])
        self.assertEqual(self.ring.candidates("a"), [])

    def test_time(self) -> None:
        self.tell(self.line("a", 'not-before="19700103Z",expiry-time="19700104Z"'))
        self.assertEqual(self.ring.candidates("a"), [])
        self.now += 86400
        self.ring.look()
        self.assertEqual(len(self.ring.candidates("a")), 1)
        self.now += 86400
        self.ring.look()
        self.assertEqual(self.heard, [("a", "expired")])

    def test_one_listener_fails(self) -> None:
        """The others hear it all the same."""

        def fail(grant: Grant, why: str) -> None:
            raise ValueError("broken")

        ring = Keyring(lambda: self.now)
        ring.when_withdrawn(fail)
        ring.when_withdrawn(self.hear)
        ring.replace(read_authorized_keys(self.line("a")), NOBODY)
        ring.replace(read_authorized_keys(""), NOBODY)
        self.assertEqual(self.heard, [("a", "removed")])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
