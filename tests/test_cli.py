"""``mcptwist.cli``: the commands a person types, and how they end."""

from __future__ import annotations

import json
import os
import sys
from io import StringIO
from pathlib import Path

from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from mcptwist import cli
from mcptwist.config import Loaded
from mcptwist.configuration.withoutfile import BUILTIN_NAME
from mcptwist.servingcommands import ConnectOptions, RunOptions


class CommandCase(SynchronousTestCase):
    """Commands, run in this process as far as they go without a reactor."""

    def setUp(self) -> None:
        self.out, self.err = StringIO(), StringIO()
        self.patch(sys, "stdout", self.out)
        self.patch(sys, "stderr", self.err)

    def run_command(self, *words: str) -> object:
        """The exit status."""
        return self.assertRaises(SystemExit, cli.main, list(words)).code

    def file(self, value: object) -> str:
        path = Path(self.mktemp() + ".json")
        path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
        return str(path)


class UsageTests(CommandCase):
    """Wrong usage ends with 2, and says what is right."""

    def test_wrong(self) -> None:
        """Nothing, an unknown command or option, too little, too much, what does not fit."""
        for words in (
            [],
            ["nonsense"],
            ["--nonsense"],
            ["check"],
            ["check", "a", "b"],
            ["run", "--name", "x"],
            ["run", "--config", "x", "--", "cat"],
            ["run", "--log-level", "loud"],
            ["call", "s"],
            ["call", "s", "t", "{"],
            ["call", "s", "t", "[]"],
            ["list", "--header", "no colon"],
            ["list", "--config", "x", "--url", "http://localhost"],
        ):
            self.err.seek(0)
            self.err.truncate()
            self.assertEqual(self.run_command(*words), 2, words)
            known = bool(words) and words[0] in cli.COMMANDS
            called = f"mcptwist {words[0]}" if known else "mcptwist"
            problem, advice = self.err.getvalue().splitlines()
            self.assertTrue(problem.startswith(f"{called}: "), problem)
            self.assertEqual(advice, f"try '{called} --help'")
        self.assertEqual(self.out.getvalue(), "")

    def test_unknown_option(self) -> None:
        """Every command ends so with an option that it has not, and those below it, too."""
        below = (["authorize", "list"], ["key", "show"], ["hostkey", "rotate"])
        for words in (*([name] for name in cli.COMMANDS), *below):
            self.err.seek(0)
            self.err.truncate()
            self.assertEqual(self.run_command(*words, "--nonsense"), 2, words)
            called = " ".join(["mcptwist", *words])
            self.assertEqual(
                self.err.getvalue(),
                f"{called}: option --nonsense not recognized\ntry '{called} --help'\n",
            )

    def test_short_help(self) -> None:
        """``-h`` is ``--help``, everywhere."""
        for words in ([], ["logins"], ["authorize"], ["authorize", "add"]):
            said = []
            for option in ("-h", "--help"):
                self.out.seek(0)
                self.out.truncate()
                self.assertEqual(self.run_command(*words, option), 0)
                said.append(self.out.getvalue())
            self.assertTrue(said[0].startswith("Usage: mcptwist"), said)
            self.assertEqual(*said)

    def test_miscounted(self) -> None:
        """Where there is too little or too much, it is said how the command is written."""
        self.assertEqual(self.run_command("check"), 2)
        self.assertIn("for mcptwist check FILE\n", self.err.getvalue())

    def test_which(self) -> None:
        """What has commands below it names them."""
        self.assertEqual(self.run_command("authorize"), 2)
        self.assertIn("which command: add, list, rm, rotate?", self.err.getvalue())

    def test_found_out_later(self) -> None:
        """What is wrong may show only when the command does its work."""
        self.assertEqual(self.run_command("keyscan", "::"), 2)
        said = "mcptwist keyscan: that is no HOST:PORT\ntry 'mcptwist keyscan --help'\n"
        self.assertEqual(self.err.getvalue(), said)

    def test_help(self) -> None:
        """Every command explains itself."""
        for words in ([], ["run"], ["check"], ["call"], ["list"]):
            self.assertEqual(self.run_command(*words, "--help"), 0, words)
        self.assertIn("mcptwist run", self.out.getvalue())

    def test_imported(self) -> None:
        """Every command is where the table says, and explains itself."""
        for name in cli.COMMANDS:
            self.assertEqual(self.run_command(name, "--help"), 0, name)
            self.assertIn(f"mcptwist {name}", self.out.getvalue())

    def test_nobody_reads_on(self) -> None:
        """Who reads what is printed may stop reading, as ``head`` does; that is no traceback."""
        reading, writing = os.pipe()
        os.close(reading)
        for words in (["run", "--help"], ["--version"], ["check", "/nowhere/x.json"]):
            with open(os.dup(writing), "w", encoding="utf-8") as out:
                self.patch(sys, "stdout", out)
                self.assertEqual(self.run_command(*words), 1, words)
        os.close(writing)
        self.assertEqual(self.err.getvalue(), "")

    def test_version(self) -> None:
        """Of the daemon, not of Twisted, wherever it stands."""
        for words in (["--version"], ["run", "--version"]):
            self.assertEqual(self.run_command(*words), 0)
        self.assertEqual(self.out.getvalue().count("mcptwist "), 2)


class CheckTests(CommandCase):
    """``mcptwist check FILE``."""

    def test_good(self) -> None:
        """Ends with 0."""
        path = self.file({"mcpServers": {"cat": {"command": "/bin/cat"}}})
        self.assertEqual(self.run_command("check", path), 0)
        self.assertIn("cat", self.out.getvalue())

    def test_mistakes(self) -> None:
        """Ends with 1 and tells all of them, each with its path."""
        servers = {"a": {"command": 5}, "b": {"comand": "x"}}
        self.assertEqual(self.run_command("check", self.file({"mcpServers": servers})), 1)
        for path in ("mcpServers.a.command", "mcpServers.b.comand"):
            self.assertIn(path, self.out.getvalue())

    def test_no_file(self) -> None:
        """A file that is not there, or is none."""
        for path in ("/nowhere/x.json", os.curdir, self.file("{")):
            self.assertEqual(self.run_command("check", path), 1, path)


class RunTests(CommandCase):
    """``mcptwist run``: what it would serve."""

    def loaded(self, *words: str) -> Loaded:
        options = RunOptions()
        options.parseOptions(list(words))
        return options.loaded()

    def test_default(self) -> None:
        """Without anything: the built-in server."""
        config = self.loaded().config
        assert config is not None
        self.assertEqual([s.name for s in config.servers], [BUILTIN_NAME])

    def test_file(self) -> None:
        """A file alone is what ``--config`` names; a command of that name comes after ``--``."""
        path = self.file({"mcpServers": {"a": {"command": "a"}}})
        config = self.loaded(path).config
        assert config is not None
        self.assertEqual([s.name for s in config.servers], ["a"])
        self.assertRaises(usage.UsageError, self.loaded, "--config", path, path)

    def test_help(self) -> None:
        """What is said of an option is one paragraph, however it is written down; no default is
        nothing."""
        self.assertIn("port 0 takes a free one", RunOptions().getUsage(200))
        usage_of_connect = ConnectOptions().getUsage(200)
        self.assertIn("[default: error]", usage_of_connect)
        self.assertNotIn("[default: ]", usage_of_connect)

    def test_command(self) -> None:
        """A command after ``--``, its own options untouched, under a name made from it or given."""
        config = self.loaded(
            "--listen",
            "tcp:0:interface=127.0.0.1",
            "--",
            "mcp-server-time",
            "--local-timezone",
            "UTC",
        ).config
        assert config is not None
        (server,) = config.servers
        self.assertEqual(
            (server.command, server.args), ("mcp-server-time", ("--local-timezone", "UTC"))
        )  # type: ignore[union-attr]
        self.assertEqual((server.name, config.listen), ("time", ("tcp:0:interface=127.0.0.1",)))
        config = self.loaded("--name", "clock", "--", "mcp-server-time").config
        assert config is not None
        self.assertEqual(config.servers[0].name, "clock")

    def test_unusable(self) -> None:
        """What cannot be used ends with 1, and nothing is started."""
        self.assertEqual(self.run_command("run", "--config", "/nowhere/x.json"), 1)
        self.assertEqual(self.run_command("run", "--listen", "nonsense"), 1)
        self.assertIn("nonsense", self.err.getvalue())
