"""``configuration.servernames``: what a server may be called, and the name of a command."""

from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.configuration.servernames import check_name, name_of_command
from mcptwist.configuration.settings import Ledger


def problems(name: str) -> list[str]:
    ledger = Ledger({})
    check_name(ledger.place("x"), name)
    return [str(mistake) for mistake in ledger.mistakes]


class CheckNameTests(SynchronousTestCase):
    """Names are segments of URLs and prefixes of tools."""

    def test_good(self) -> None:
        """Letters, digits, dash, dot and underscore, up to 64."""
        for name in ("time", "Time-2", "a.b", "_x", "a_b", "x" * 64, "..a"):
            self.assertEqual(problems(name), [], name)

    def test_bad(self) -> None:
        """Nothing that would be another path, or make a tool's owner unclear."""
        for name in ("", ".", "..", "a/b", "a b", "a__b", "a_", "é", "x" * 65, "a\n", "%41"):
            self.assertEqual(len(problems(name)), 1, name)

    def test_better(self) -> None:
        """A name that would do is offered."""
        self.assertIn('such as "My-Server-2"', problems("My Server (2)")[0])
        self.assertNotIn("such as", problems("//")[0])


class NameOfCommandTests(SynchronousTestCase):
    """A name for ``mcptwist run -- COMMAND``."""

    def names(self, *commands: str) -> list[str]:
        return [name_of_command(command.split()) for command in commands]

    def test_launchers(self) -> None:
        """What is launched counts, not what launches it or its options."""
        found = self.names(
            "uvx mcp-server-time",
            "npx -y @modelcontextprotocol/server-everything@1.2 stdio",
            "python3.11 -m mcp_server_git -r .",
            "uvx --from git+https://example.com/x weather-mcp",
            "uv --directory /srv/w run forecast.py",
            "docker run -i --rm -e TOKEN mcp/fetch:latest",
            "sudo npx postgres-mcp-server",
        )
        expected = ["time", "everything", "git", "weather", "forecast", "fetch", "postgres"]
        self.assertEqual(found, expected)

    def test_programs(self) -> None:
        """A path's first telling part from the end."""
        found = self.names("/opt/mcp-github", "node /opt/notes/dist/index.js", "C:\\bin\\files.exe")
        self.assertEqual(found, ["github", "notes", "files"])

    def test_nothing_left(self) -> None:
        """A command that says nothing is a server."""
        self.assertEqual(self.names("", "npx", "./server.py", "uv run"), ["server"] * 4)

    @settings(deadline=None, max_examples=100)
    @given(some.lists(some.text(max_size=12) | some.sampled_from(["npx", "-m", "run"]), max_size=4))
    def test_always_legal(self, argv: list[str]) -> None:
        """The name of any command is one that a server may have."""
        self.assertEqual(problems(name_of_command(argv)), [])
