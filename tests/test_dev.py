"""``dev.py``, as far as it decides anything: what to install, what trial's summary says."""

import importlib.util
import json
import sys
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.jws import make_jws
from mcptwist.auth.keys import PrivateKey, to_base64url
from mcptwist.auth.oauth.tokens import written

SCRIPT = Path(__file__).resolve().parent.parent / "dev.py"
spec = importlib.util.spec_from_file_location("dev", SCRIPT)
assert spec is not None
assert spec.loader is not None
dev = importlib.util.module_from_spec(spec)
spec.loader.exec_module(dev)


class Quiet(SynchronousTestCase):
    """What dev.py would say is kept in ``said``."""

    def setUp(self) -> None:
        self.said: list[str] = []
        self.patch(dev, "say", self.said.append)


class LeakTests(Quiet):
    """Secrets in what was logged during the tests are found, and nothing else is one."""

    def found(self, *lines: str) -> list[str]:
        log = Path(self.mktemp())
        log.write_text("\n".join(lines))
        found: list[str] = dev.leaks(log)
        return found

    def test_found(self) -> None:
        """Whatever of ours gives power to who reads it."""
        key = PrivateKey.generate()
        token = written(b"x" * 32)
        signed = make_jws(key, {"typ": "JWT"}, {"iss": "x"})
        jwk = json.dumps(key.jwk())
        secrets = (token, signed, jwk, key.pem().decode(), key.openssh().decode(),
                   f"mcp.ticket.{to_base64url(b'x' * 32)}", f"mcp_rt_{token}")  # fmt: skip
        for secret in secrets:
            self.assertEqual(self.found("nothing", f"said {secret}."), ["2"], secret)

    def test_nothing(self) -> None:
        """Fingerprints, public keys, and words about tokens."""
        public = PrivateKey.generate().public
        said = (public.fingerprint, public.words(), json.dumps(public.jwk()), "mcp_at_", "eyJ", "")
        self.assertEqual(self.found(*said), [])
        self.assertEqual(dev.leaks(Path("/nowhere")), [])


class TallyTests(Quiet):
    """Trial's last words become counts, and nothing that went wrong counts as passed."""

    def tally(self, code: int, words: str) -> tuple[int, int, int]:
        counts = dev.tally(code, words)
        return counts["passed"], counts["failed"], counts["skipped"]

    def test_passed(self) -> None:
        """A run without faults."""
        self.assertEqual(self.tally(0, "Ran 8 tests\n\nPASSED (successes=8)\n"), (8, 0, 0))

    def test_failed(self) -> None:
        """Failures and errors are both failed."""
        words = "FAILED (skips=1, failures=2, errors=3, successes=4)\n"
        self.assertEqual(self.tally(1, words), (4, 5, 1))

    def test_todo(self) -> None:
        """A todo is not a pass, whichever way it goes."""
        words = "PASSED (expectedFailures=1, unexpectedSuccesses=2, successes=3)\n"
        self.assertEqual(self.tally(0, words), (3, 2, 1))

    def test_last_summary_counts(self) -> None:
        """A test that prints a summary of its own does not decide; trial speaks last."""
        words = "PASSED (successes=999)\n.\nFAILED (errors=1)\n"
        self.assertEqual(self.tally(1, words), (0, 1, 0))

    def test_crash(self) -> None:
        """A trial that died before its summary has failed."""
        self.assertEqual(self.tally(-11, "tests.test_x\n"), (0, 1, 0))
        self.assertIn("-11", self.said[0])

    def test_nothing_ran(self) -> None:
        """No test is no success."""
        self.assertEqual(self.tally(0, "Ran 0 tests in 0.0s\n\nPASSED\n"), (0, 1, 0))

    def test_all_skipped(self) -> None:
        """Tests that were skipped with a reason are not failures."""
        self.assertEqual(self.tally(0, "PASSED (skips=2)\n"), (0, 0, 2))

    def test_contradiction(self) -> None:
        """A bad exit code outweighs a good summary."""
        self.assertEqual(self.tally(1, "PASSED (successes=2)\n"), (2, 1, 0))

    @given(some.integers(), some.text())
    @settings(deadline=None)
    def test_any_words(self, code: int, words: str) -> None:
        """Whatever trial printed, the counts are never negative, and never all zero."""
        counts = dev.tally(code, words)
        self.assertGreaterEqual(min(counts.values()), 0)
        self.assertGreater(sum(counts.values()), 0)

    def test_closing_line(self) -> None:
        """Skips are named only where there are any."""
        counts = {"passed": 2, "failed": 0, "skipped": 0}
        self.assertEqual(dev.closing_line(counts), "2 passed, 0 failed")
        self.assertEqual(
            dev.closing_line({**counts, "skipped": 1}), "2 passed, 0 failed, 1 skipped"
        )


class ArgumentTests(Quiet):
    """What the command line asks for."""

    def test_names_tests(self) -> None:
        """Options alone leave the whole suite to be run."""
        self.assertTrue(dev.names_tests(["-j2", "tests.test_tree"]))
        self.assertTrue(dev.names_tests(["tests/test_tree.py"]))
        self.assertFalse(dev.names_tests(["-j2", "--reporter=verbose"]))

    def test_unknown_command(self) -> None:
        """An unknown command is answered with those there are."""
        self.assertEqual(dev.main(["tets"]), 2)
        self.assertIn("run, test, lint", self.said[0])

    def test_stray_argument(self) -> None:
        """A command without arguments refuses them, before it does anything."""
        self.assertEqual(dev.main(["clean", "--everything"]), 2)
        self.assertIn("'--everything'", self.said[0])

    def test_old_python(self) -> None:
        """An old Python is told apart, with what is needed and what to do."""
        self.patch(dev.sys, "version_info", (3, 9, 2, "final", 0))
        self.patch(dev.shutil, "which", {"python3.12": "/usr/bin/python3.12"}.get)
        self.assertEqual(dev.main(["run"]), 2)
        self.assertIn("3.11 or newer", self.said[0])
        self.assertIn("python3.12 dev.py", self.said[0])

    def test_interrupted(self) -> None:
        """Ctrl-C ends with the customary code and without a traceback."""

        def interrupt(arguments: list[str]) -> int:
            raise KeyboardInterrupt

        self.patch(dev, "COMMANDS", {"test": interrupt})
        self.assertEqual(dev.main(["test"]), 130)


class PrepareTests(Quiet):
    """The environment is made and filled once, and again when what it rests on changes."""

    def setUp(self) -> None:
        super().setUp()
        here = Path(self.mktemp())
        here.mkdir(parents=True)
        for name in ("setup.py", "pyproject.toml"):
            (here / name).write_text(f"# {name}\n", encoding="utf-8")
        self.here, self.done = here, []
        self.usable = False
        self.patch(dev, "HERE", here)
        self.patch(dev, "VENV", here / ".venv")
        self.patch(dev, "make_environment", self.make_environment)
        self.patch(dev, "is_usable", lambda: self.usable)
        self.patch(dev, "install", self.install)

    def make_environment(self) -> None:
        self.done.append("make")
        (self.here / ".venv").mkdir(exist_ok=True)
        self.usable = True

    def install(self, extra: str) -> None:
        self.done.append(f"install {extra}")
        dev.stamp_for(extra).write_text(dev.wanted(), encoding="utf-8")

    def test_first_call(self) -> None:
        """The first call makes and installs; the next has nothing to do."""
        dev.prepare()
        dev.prepare()
        self.assertEqual(self.done, ["make", "install "])

    def test_dev_after_base(self) -> None:
        """What the tests need comes on top, and serves running as well."""
        dev.prepare()
        dev.prepare("dev")
        dev.prepare()
        self.assertEqual(self.done, ["make", "install ", "install dev"])

    def test_changed_declaration(self) -> None:
        """A change of setup.py is installed into the environment there is."""
        dev.prepare("dev")
        (self.here / "setup.py").write_text("# other requirements\n", encoding="utf-8")
        dev.prepare()
        self.assertEqual(self.done, ["make", "install dev", "install "])

    def test_changed_python(self) -> None:
        """Another Python needs another environment."""
        dev.prepare()
        self.patch(dev.sys, "version", "3.99.0")
        self.usable = False
        dev.prepare()
        self.assertEqual(self.done, ["make", "install "] * 2)


class EnvironmentTests(Quiet):
    """What stands in the way of an environment is noticed and named."""

    def test_no_ensurepip(self) -> None:
        """A Python without the parts that make environments is named, with the cure."""
        self.patch(dev.importlib.util, "find_spec", {"venv": "present"}.get)
        trouble = self.assertRaises(dev.Trouble, dev.make_environment)
        self.assertIn("`ensurepip`", str(trouble))
        self.assertIn("-venv", str(trouble))

    def test_python_that_is_gone(self) -> None:
        """An environment whose Python was uninstalled is not usable."""
        self.patch(dev, "PYTHON", Path(self.mktemp()) / "bin" / "python")
        self.assertFalse(dev.is_usable())

    def test_python_that_is_ours(self) -> None:
        """An environment of the same Python, with pip, is."""
        self.patch(dev, "PYTHON", Path(sys.executable))
        self.assertTrue(dev.is_usable())

    def test_pip_fails(self) -> None:
        """What pip could not do is said with the settings that may help, and not stamped."""
        venv = Path(self.mktemp())
        venv.mkdir(parents=True)
        self.patch(dev, "VENV", venv)
        self.patch(dev, "PYTHON", Path("/bin/false"))
        trouble = self.assertRaises(dev.Trouble, dev.install, "dev")
        self.assertIn("PIP_INDEX_URL", str(trouble))
        self.assertEqual(list(venv.iterdir()), [])
