"""A server's next key, learnt from whom we know, and from nobody else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.asking.keylearning import OFTEN, KeyLearner
from mcptwist.auth.asking.knownhosts import CHANGED, KNOWN, REVOKED, UNKNOWN, KnownHosts, line_of
from mcptwist.auth.asking.pinning import Pinning
from mcptwist.auth.hostkeys import LIFETIME, PATH, make_statement
from mcptwist.auth.keys import P256, PrivateKey
from tests.auth.asking.test_pinning import spki
from tests.auth.elsewhere import Answer, Elsewhere
from tests.auth.people import NOW, key

PLACE = ("mcp.example.com", 8443)
SERVER = "https://mcp.example.com:8443"
HOST, NEXT, OTHER = (key(name, P256) for name in ("host", "next", "other"))


class LearningCase(SynchronousTestCase):
    def setUp(self) -> None:
        place = Path(self.mktemp()).resolve()
        place.mkdir(mode=0o700)
        self.file = place / "known_hosts"
        self.clock = Clock()
        self.there = Elsewhere()
        self.pinning = Pinning(str(self.file))
        learner = KeyLearner(str(self.file), self.there, self.clock, lambda: NOW)
        self.pinning.recognised = learner.recognised

    def write(self, *lines: str) -> None:
        self.file.write_text("".join(f"{line}\n" for line in lines))
        self.file.chmod(0o600)

    def says(self, current: PrivateKey, following: PrivateKey | None = None, **more: Any) -> None:
        given: dict[str, Any] = {"issuer": SERVER, "now": NOW, "begins": NOW + 86400, **more}
        begins = given["begins"] if following else None
        said = make_statement(given["issuer"], given["now"], current, following, begins)
        self.there.answers[f"{SERVER}{PATH}"] = Answer(200, said)

    def meet(self, shown: PrivateKey = HOST, vouched: bool = False) -> None:
        self.pinning.judge(*PLACE, spki(shown.public), vouched)
        self.clock.advance(0)

    def verdict(self, shown: PrivateKey) -> str:
        return KnownHosts(self.file.read_text()).verdict(*PLACE, shown.public)


class LearningTests(LearningCase):
    def test_learnt(self) -> None:
        """The next key is known beside the present one; then it is the only one."""
        self.write("# mine", line_of(*PLACE, HOST.public), line_of("b", 1, HOST.public))
        self.says(HOST, NEXT)
        self.meet()
        self.assertEqual((self.verdict(HOST), self.verdict(NEXT)), (KNOWN, KNOWN))
        self.assertEqual(self.verdict(OTHER), CHANGED)
        self.clock.advance(OFTEN)
        self.says(NEXT)
        self.meet(NEXT)
        self.assertEqual((self.verdict(HOST), self.verdict(NEXT)), (CHANGED, KNOWN))
        known = KnownHosts(self.file.read_text())
        self.assertEqual(known.verdict("b", 1, HOST.public), KNOWN)
        self.assertTrue(self.file.read_text().startswith("# mine\n"))

    def test_once_a_day(self) -> None:
        self.write(line_of(*PLACE, HOST.public))
        self.says(HOST)
        for _ in range(3):
            self.meet()
        self.assertEqual(len(self.there.asked), 1)
        self.clock.advance(OFTEN)
        self.meet()
        self.assertEqual(len(self.there.asked), 2)

    def test_hashed(self) -> None:
        """A name that is hashed is not told by the new line."""
        self.write(line_of(*PLACE, HOST.public, lambda size: b"s" * size))
        self.says(HOST, NEXT)
        self.meet()
        self.assertEqual(self.verdict(NEXT), KNOWN)
        self.assertNotIn("example", self.file.read_text())

    def test_patterns(self) -> None:
        """A line that is about others too stays as it is."""
        line = f"[*.example.com]:8443 {HOST.public.words()}"
        self.write(line)
        self.says(HOST, NEXT)
        self.meet()
        self.assertEqual(self.verdict(NEXT), KNOWN)
        self.assertEqual(self.file.read_text().splitlines()[0], line)


class RefusedTests(LearningCase):
    """G16: nothing is learnt from a statement that is not what it must be."""

    def assert_nothing_learnt(self) -> None:
        before = self.file.read_text()
        self.clock.advance(OFTEN)
        self.meet()
        self.assertEqual(self.file.read_text(), before)
        self.assertNotEqual(self.there.asked, [])

    def test_statements(self) -> None:
        self.write(line_of(*PLACE, HOST.public))
        for current, following, more in (
            (OTHER, NEXT, {}),
            (HOST, NEXT, {"issuer": "https://mcp.example.com"}),
            (HOST, NEXT, {"now": NOW - LIFETIME - 400}),
            (HOST, NEXT, {"now": NOW + 400}),
        ):
            self.says(current, following, **more)
            self.assert_nothing_learnt()

    def test_signed_with_one_of_two(self) -> None:
        self.write(line_of(*PLACE, HOST.public))
        said = make_statement(SERVER, NOW, HOST, NEXT, NOW)
        for signatures in (said["signatures"][:1], said["signatures"][::-1]):
            answer = Answer(200, {**said, "signatures": signatures})
            self.there.answers[f"{SERVER}{PATH}"] = answer
            self.assert_nothing_learnt()

    def test_no_statement(self) -> None:
        self.write(line_of(*PLACE, HOST.public))
        for answer in (
            Answer(404, {}),
            Answer(302, b"", {"location": "https://evil.example/"}),
            Answer(200, b"nonsense"),
            Answer(200, b"x" * 20000),
            Answer(200, json.dumps([]).encode()),
            None,
        ):
            self.there.answers[f"{SERVER}{PATH}"] = answer
            self.assert_nothing_learnt()
        self.assertEqual([each for each in self.there.asked if "evil" in each.url], [])

    def test_revoked(self) -> None:
        """A key that is revoked is never learnt."""
        self.write(line_of(*PLACE, HOST.public), f"@revoked * {NEXT.public.words()}")
        self.says(HOST, NEXT)
        self.assert_nothing_learnt()
        self.assertEqual(self.verdict(NEXT), REVOKED)

    def test_whom_we_do_not_know(self) -> None:
        """By the word of an issuer, or because its key was given: nobody is asked."""
        self.says(HOST, NEXT)
        self.meet(vouched=True)
        self.write(line_of("elsewhere", 1, HOST.public))
        self.meet(vouched=True)
        self.assertEqual(self.verdict(HOST), UNKNOWN)
        self.write(line_of(*PLACE, HOST.public))
        Pinning(str(self.file), [HOST.public.fingerprint]).judge(*PLACE, spki(HOST.public), False)
        self.clock.advance(0)
        self.assertEqual(self.there.asked, [])
