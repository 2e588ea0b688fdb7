"""``mcptwist.configuration.serverconfig``: one server's table, and what it says."""

from collections.abc import Mapping
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.catalog.selection import NamedSelection
from mcptwist.configuration.configtext import Table
from mcptwist.configuration.serverconfig import (
    CLIENT_KEYS,
    INHERITED,
    SERVER_KINDS,
    Breaker,
    PythonServer,
    RemoteServer,
    Restart,
    ServerConfig,
    StdioServer,
    is_switched_off,
    read_server,
)
from mcptwist.configuration.settings import Ledger, keys_of
from tests.configuration.test_settings import WILD


class Reading(SynchronousTestCase):
    """One table read as the server ``x``; what it was read into, or what is wrong with it."""

    def ledger(self, table: Any, environ: Mapping[str, str]) -> tuple[ServerConfig | None, Ledger]:
        ledger = Ledger(environ, "/etc/mcp", "x")
        return read_server(ledger.place("x"), "x", table), ledger

    def good(self, table: Any, **environ: str) -> Any:
        server, ledger = self.ledger(table, environ)
        self.assertEqual(ledger.mistakes, [])
        assert server is not None
        return server

    def bad(self, table: Any, **environ: str) -> list[str]:
        server, ledger = self.ledger(table, environ)
        self.assertIsNone(server)
        return [str(mistake) for mistake in ledger.mistakes]

    def notes(self, table: Any) -> list[str]:
        server, ledger = self.ledger(table, {})
        self.assertIsNotNone(server)
        return [str(note) for note in ledger.notes]


class KindTests(Reading):
    """Which of the three kinds a server is."""

    def test_kinds(self) -> None:
        """One key tells."""
        self.assertEqual(self.good({"command": "a"}), StdioServer(name="x", command="a"))
        url = "http://a/mcp"
        self.assertEqual(self.good({"url": url}), RemoteServer(name="x", url=url))
        self.assertEqual(self.good({"python": "a.b:c"}), PythonServer(name="x", python="a.b:c"))

    def test_none_or_two(self) -> None:
        """Without that key nothing can be done, and with two nobody knows what."""
        self.assertEqual(
            self.bad({}),
            ["x: says nowhere what to run or to reach; expected one of command, url and python"],
        )
        self.assertEqual(
            self.bad({"command": "a", "url": "http://a"}),
            ["x: has command and url; expected one of command, url and python"],
        )

    def test_no_table(self) -> None:
        """A server is a table."""
        self.assertEqual(len(self.bad("uvx mcp-server-time")), 1)

    def test_types(self) -> None:
        """Clients' words for what is spoken at a URL."""
        said = {
            "http": "http", "streamable-http": "http", "streamableHttp": "http",
            "streamable_http": "http", "sse": "sse", "SSE": "sse",
        }  # fmt: skip
        for word, wire in said.items():
            self.assertEqual(self.good({"url": "http://a", "type": word}).wire, wire)
        for word in ("ws", "websocket", "WebSocket"):
            self.assertEqual(self.good({"url": "ws://a", "type": word}).wire, "websocket")
        self.assertEqual(self.good({"command": "a", "type": "stdio"}).KIND, "stdio")

    def test_type_from_address(self) -> None:
        """An address that says it needs no type."""
        self.assertEqual(self.good({"url": "http://a"}).wire, "auto")
        self.assertEqual(self.good({"url": "${A}"}, A="wss://a").wire, "websocket")

    def test_type_against_address(self) -> None:
        """A type and a scheme that say different things."""
        for url, word in (("http://a", "ws"), ("ws://a", "http"), ("wss://a", "sse")):
            mistakes = self.bad({"url": url, "type": word})
            self.assertEqual(len(mistakes), 1)
            self.assertIn("x.type: does not go with the scheme", mistakes[0])

    def test_ca(self) -> None:
        """A file, where something is encrypted."""
        self.assertEqual(self.good({"url": "https://a", "ca": "/b/../c.pem"}).ca, "/c.pem")
        self.assertEqual(self.good({"url": "wss://a", "ca": "/c.pem"}).ca, "/c.pem")
        self.assertEqual(
            self.bad({"url": "http://a", "ca": "/c.pem"}),
            ["x.ca: means nothing where nothing is encrypted; expected https:// or wss://"],
        )

    def test_signing(self) -> None:
        """With a key, and not beside a header that says who is calling."""
        server = self.good({"url": "https://a", "key": "/k", "sign_requests": True})
        self.assertTrue(server.reach.sign)
        self.assertFalse(self.good({"url": "https://a"}).reach.sign)
        headers = {"authorization": "Bearer x"}
        self.assertEqual(
            self.bad({"url": "https://a", "headers": headers, "sign_requests": True}),
            ["x.sign_requests: is not done beside an Authorization; expected one of the two"],
        )

    def test_wrong_type(self) -> None:
        """A type unknown, of another kind, or no string."""
        self.assertTrue(
            self.bad({"url": "http://a", "type": "grpc"})[0].startswith('x.type: is "grpc"')
        )
        self.assertEqual(
            self.bad({"command": "a", "type": "http"}),
            ["x.type: does not go with command; expected url, or another type"],
        )
        self.assertEqual(len(self.bad({"url": "http://a", "type": "stdio"})), 1)
        self.assertEqual(len(self.bad({"url": "http://a", "type": 5})), 1)

    def test_aliases(self) -> None:
        """Other clients' names for the same keys, but not both."""
        self.assertEqual(self.good({"serverUrl": "http://a", "transport": "sse"}).wire, "sse")
        self.assertEqual(self.good({"httpUrl": "http://a"}).url, "http://a")
        self.assertEqual(
            self.bad({"url": "http://a", "httpUrl": "http://b"}),
            ['x.httpUrl: says the same as "url"; expected one of the two'],
        )


class KeysTests(Reading):
    """Keys that are for this server, for another kind, for clients, or for nobody."""

    def test_unknown(self) -> None:
        """With the one it resembles, beside all other mistakes."""
        mistakes = self.bad({"command": "a", "arg": [], "lazy": "no", "era": "old"})
        self.assertEqual(
            [each.partition(":")[0] for each in mistakes], ["x.arg", "x.lazy", "x.era"]
        )
        self.assertIn('"args"', mistakes[0])

    def test_repeated(self) -> None:
        """A key that is there twice."""
        table = Table({"command": "a"})
        table.repeated = ("command",)
        self.assertEqual(
            self.bad(table), ["x.command: is written more than once; expected each key once"]
        )

    def test_another_kind(self) -> None:
        """Arguments go nowhere beside a URL; empty ones hurt nobody."""
        self.assertEqual(
            self.bad({"url": "http://a", "args": ["b"]}),
            ["x.args: does not go with this server; expected it beside command"],
        )
        self.good({"url": "http://a", "args": [], "env": {}})
        self.assertEqual(len(self.bad({"command": "a", "headers": {"A": "b"}})), 1)

    def test_clients(self) -> None:
        """What is for clients is noted."""
        for key in CLIENT_KEYS:
            notes = self.notes({"command": "a", key: ["b"]})
            self.assertEqual(len(notes), 1)
            self.assertTrue(notes[0].startswith(f"x.{key}: is for clients"))

    def test_tools_of_clients(self) -> None:
        """What clients say of tools is heeded where it is plain, under whichever name."""
        for key in ("disabledTools", "excludeTools"):
            server = self.good({"command": "a", key: ["b"], "tools": {"deny": "c", "hide": ["d"]}})
            self.assertEqual(server.tools, NamedSelection(deny=("c", "b"), hide=("d",)))
        for key in ("enabledTools", "includeTools", "tools"):
            server = self.good({"command": "a", key: ["b", "c*"]})
            self.assertEqual(server.tools, NamedSelection(allow=("b", "c*")))
        self.assertEqual(
            self.notes({"command": "a", "disabledTools": ["b"]}),
            ["x.disabledTools: counts as tools.deny"],
        )

    def test_tools_said_twice(self) -> None:
        """Two lists of what is served are one too many."""
        table = {"command": "a", "tools": ["b"], "enabledTools": ["c"]}
        self.assertEqual(
            self.bad(table), ['x.enabledTools: says the same as "tools"; expected one of the two']
        )

    def test_tools_nobody_consents_to(self) -> None:
        """What some clients mean otherwise is only noted."""
        table = {"command": "a", "allowedTools": ["b"]}
        self.assertIn("ask no leave", self.notes(table)[0])
        self.assertTrue(self.good(table).selections.everything())

    def test_selections(self) -> None:
        """Tools and prompts can have new names, resources cannot."""
        server = self.good(
            {"command": "a", "prompts": {"rename": {"b": "c"}}, "resources": {"allow": "x:*"}}
        )
        self.assertEqual(server.selections.prompts.rename, (("b", "c"),))
        self.assertEqual(server.selections.resources.allow, ("x:*",))
        self.assertFalse(server.selections.everything())
        self.assertEqual(len(self.bad({"command": "a", "resources": {"rename": {"b": "c"}}})), 1)
        self.assertEqual(
            self.bad({"command": "a", "tools": {"rename": {"b": "x", "c": "x", "d": 3}}}),
            [
                'x.tools.rename.c: is given the same name as "b"; expected another name',
                "x.tools.rename.d: is a number; expected a string",
            ],
        )

    def test_no_key_means_two_things(self) -> None:
        """A client's key is never one of ours."""
        ours = {key for kind in SERVER_KINDS for key in keys_of(kind)}
        self.assertEqual(ours & CLIENT_KEYS.keys(), set())

    def test_env_file(self) -> None:
        """Variables that would silently be missing are a mistake."""
        self.assertIn("env", self.bad({"command": "a", "envFile": ".env"})[0])

    def test_null(self) -> None:
        """Programs write null for what is not there."""
        table = {"command": "a", "url": None, "env": None, "type": None, "timeout": None}
        self.assertEqual(self.good(table), StdioServer(name="x", command="a"))

    def test_name(self) -> None:
        """A server with a bad name is a broken server, whatever its table says."""
        ledger = Ledger({})
        self.assertIsNone(read_server(ledger.place("a b"), "a b", {"command": "a"}))
        self.assertEqual(len(ledger.mistakes), 1)


class StdioTests(Reading):
    """Child processes."""

    def test_command(self) -> None:
        """Command, arguments, variables, folder, with everything filled in."""
        server = self.good(
            {
                "command": "${RUN:-uvx}",
                "args": ["mcp-server-time", "--tz=${TZ}"],
                "env": {"A": "${TZ}", "N": 5, "F": 0.5},
                "cwd": "~/work",
            },
            TZ="UTC",
            HOME="/home/me",
        )
        self.assertEqual((server.command, server.args), ("uvx", ("mcp-server-time", "--tz=UTC")))
        self.assertEqual(server.env, (("A", "UTC"), ("N", "5"), ("F", "0.5")))
        self.assertEqual(server.cwd, "/home/me/work")

    def test_bad_command(self) -> None:
        """Empty, also after filling in, or with its arguments in one list."""
        self.assertEqual(len(self.bad({"command": ""})), 1)
        self.assertEqual(len(self.bad({"command": "${A}"}, A="")), 1)
        self.assertIn("args", self.bad({"command": ["npx", "-y"]})[0])
        self.assertIn("args", self.notes({"command": "npx -y foo"})[0])

    def test_args_in_one_string(self) -> None:
        """It would be one argument with spaces in it, which nobody means."""
        for args in ("x y", "x", ""):
            (mistake,) = self.bad({"command": "a", "args": args})
            self.assertIn("x.args: is a string; expected a list with each argument", mistake)

    def test_relative_folder(self) -> None:
        """It begins where the file is."""
        self.assertEqual(self.good({"command": "a", "cwd": "../b"}).cwd, "/etc/b")
        self.assertEqual(len(self.bad({"command": "a", "cwd": ""})), 1)

    def test_bad_env(self) -> None:
        """Names no process has, values no process gets; no value is repeated."""
        mistakes = self.bad(
            {"command": "a", "env": {"A=B": "secret", "": "secret", "C": True, "D": ["secret"]}}
        )
        self.assertEqual(
            [each.partition(":")[0] for each in mistakes],
            ['x.env["A=B"]', 'x.env[""]', "x.env.C", "x.env.D"],
        )
        self.assertNotIn("secret", "".join(mistakes))
        self.assertEqual(len(self.bad({"command": "a", "env": ["A=B"]})), 1)

    def test_missing_variable(self) -> None:
        """Named, with the place that wants it."""
        self.assertEqual(
            self.bad({"command": "a", "env": {"KEY": "${MY_KEY}"}}),
            [
                "x.env.KEY: names the variable MY_KEY, which is not set; expected MY_KEY in the"
                " daemon's environment, or a default as in ${MY_KEY:-default}"
            ],
        )

    def test_environment(self) -> None:
        """A child gets what it may inherit, and its own variables before all."""
        environ = {"PATH": "/bin", "LC_TIME": "C", "AWS_KEY": "k", "HOME": "/root"}
        server = self.good({"command": "a", "env": {"HOME": "/tmp"}})
        self.assertEqual(server.env_inherit, INHERITED)
        self.assertEqual(
            server.environment(environ), {"PATH": "/bin", "LC_TIME": "C", "HOME": "/tmp"}
        )
        server = self.good({"command": "a", "env_inherit": ["AWS_*"]})
        self.assertEqual(server.environment(environ), {"AWS_KEY": "k"})
        server = self.good({"command": "a", "env_inherit": "*"})
        self.assertEqual(server.environment(environ), environ)
        server = self.good({"command": "a", "env_inherit": []})
        self.assertEqual(server.environment(environ), {})


class RemoteTests(Reading):
    """Servers somewhere else."""

    def test_good(self) -> None:
        """Address and headers, with everything filled in."""
        server = self.good(
            {"url": "https://${HOST}/mcp", "headers": {"Authorization": "Bearer ${T}"}},
            HOST="a.b",
            T="t",
        )
        self.assertEqual(
            (server.url, server.headers), ("https://a.b/mcp", (("Authorization", "Bearer t"),))
        )

    def test_socket(self) -> None:
        """A UNIX socket has a path and nothing else."""
        server = self.good({"url": "unix:/run/a.sock"})
        self.assertEqual((server.url, server.wire), ("unix:/run/a.sock", "auto"))
        self.assertEqual(len(self.bad({"url": "unix:/a", "type": "http"})), 1)
        for url in ("unix:", "unix:a", "unix:path=/a"):
            self.assertEqual(len(self.bad({"url": url})), 1)

    def test_bad_address(self) -> None:
        """Nothing that only looks like an address; and it is not repeated."""
        for url in (
            "", "a.b/mcp", "ftp://a", "http://", "http:///mcp", "http://a b", "http://a\n", "http://é",
            "http://a:b", "http://a:99999", "http://[::1", "file:///etc/passwd", "http://a:0",
        ):  # fmt: skip
            mistakes = self.bad({"url": url})
            self.assertEqual(len(mistakes), 1, url)
            self.assertTrue(mistakes[0].endswith("expected a URL such as https://example.com/mcp"))

    def test_bad_headers(self) -> None:
        """Names and values that would be another header, and those that are ours."""
        mistakes = self.bad(
            {
                "url": "http://a",
                "headers": {
                    "A b": "c",
                    "": "c",
                    "Host": "c",
                    "X": "a\r\nY: b",
                    "Z": "\u20ac",
                    "N": 5,
                },
            }
        )
        self.assertEqual(len(mistakes), 6)
        self.assertEqual(len(self.bad({"url": "http://a", "headers": {"X-a": "b", "x-A": "c"}})), 1)


class PythonTests(Reading):
    """Servers inside the daemon."""

    def test_names(self) -> None:
        """A module and an attribute, not a path and not a call."""
        for name in ("a:b", "a.b.c:d.e", "_a1:b"):
            self.assertEqual(self.good({"python": name}).python, name)
        for name in ("a", "a.b", ":b", "a:", "a/b:c", "a:b()", "1a:b", "a:b\n", 5):
            self.assertEqual(len(self.bad({"python": name})), 1, name)


class CommonTests(Reading):
    """What all kinds have."""

    def test_all(self) -> None:
        """Everything given."""
        server = self.good(
            {
                "python": "a:b", "scope": "pool", "pool": 2, "lazy": False, "restart": "never",
                "timeout": "2m", "timeout_max": "1h", "start_timeout": 5, "era": "legacy",
                "max_in_flight": 7, "description": "mine",
            }
        )  # fmt: skip
        expected = PythonServer(
            name="x", python="a:b", scope="pool", pool=2, lazy=False,
            restart=Restart(policy="never"), timeout=120, timeout_max=3600, start_timeout=5,
            era="legacy", max_in_flight=7,
        )  # fmt: skip
        self.assertEqual(server, expected)

    def test_pool(self) -> None:
        """A size for a pool that is none."""
        self.assertEqual(
            self.bad({"command": "a", "pool": 2}),
            ['x.pool: means nothing with this scope; expected scope = "pool"'],
        )

    def test_timeout_in_either_unit(self) -> None:
        """Small numbers are seconds, large ones milliseconds with a note, strings are exact."""
        said = {
            60: (60, 0),
            3600: (3600, 0),
            3601: (3.601, 1),
            60000: (60, 1),
            "60s": (60, 0),
            "2h": (7200, 0),
        }
        for value, (length, notes) in said.items():
            table = {"command": "a", "timeout": value}
            self.assertAlmostEqual(self.good(table).timeout, length)
            self.assertEqual(len(self.notes(table)), notes, value)
        for value in (0, -5, "60", True, 10**400):
            self.assertEqual(len(self.bad({"command": "a", "timeout": value})), 1)

    def test_timeout_max(self) -> None:
        """It grows with the timeout unless it was said to be less."""
        self.assertEqual(self.good({"command": "a"}).timeout_max, 3600)
        self.assertEqual(self.good({"command": "a", "timeout": "2h"}).timeout_max, 7200)
        self.assertEqual(self.good({"command": "a", "timeout": 5, "timeout_max": 9}).timeout_max, 9)
        mistakes = self.bad({"command": "a", "timeout": 5, "timeout_max": 4})
        self.assertEqual(
            mistakes, ["x.timeout_max: is below timeout; expected a longer time than timeout"]
        )

    def test_timeout_max_below_the_default(self) -> None:
        """A cap alone also caps the silence that is allowed."""
        server = self.good({"command": "a", "timeout_max": 60})
        self.assertEqual((server.timeout, server.timeout_max), (60, 60))

    def test_restart(self) -> None:
        """A policy, or a table with a breaker in it or without one."""
        self.assertEqual(self.good({"command": "a", "restart": "always"}).restart.policy, "always")
        table = {"backoff_min": 1, "breaker": {"starts": 3, "within": "10s"}}
        expected = Restart(backoff_min=1, breaker=Breaker(starts=3, within=10))
        self.assertEqual(self.good({"command": "a", "restart": table}).restart, expected)
        self.assertIsNone(
            self.good({"command": "a", "restart": {"breaker": "none"}}).restart.breaker
        )

    def test_bad_restart(self) -> None:
        """Every mistake with its place."""
        table = {"policy": "often", "backof_max": 1, "breaker": {"starts": 0, "for": 1}}
        places = [each.partition(":")[0] for each in self.bad({"command": "a", "restart": table})]
        expected = [
            "x.restart.backof_max",
            "x.restart.policy",
            "x.restart.breaker.for",
            "x.restart.breaker.starts",
        ]
        self.assertEqual(places, expected)
        self.assertEqual(len(self.bad({"command": "a", "restart": "often"})), 1)
        self.assertEqual(len(self.bad({"command": "a", "restart": {"backoff_min": 90}})), 1)


class SecretsTests(Reading):
    """What nobody may see."""

    SECRET = "s3cr3t-0123456789"

    def test_repr(self) -> None:
        """No repr shows a secret, wherever it came from; environment and headers not at all."""
        for table in (
            {"command": "a", "env": {"A": self.SECRET, "MODE": "hidden"}},
            {"command": "a", "args": ["--token", self.SECRET]},
            {"command": "a", "args": ["--flag", "${MY_TOKEN}"]},
            {"url": "https://a/mcp", "headers": {"Authorization": f"Bearer {self.SECRET}"}},
            {"url": f"https://u:{self.SECRET}@a/mcp?key={self.SECRET}"},
            {"url": "https://a/${MY_TOKEN}/mcp"},
        ):
            server = self.good(table, MY_TOKEN=self.SECRET)
            for words in (repr(server), str(server), repr([server]), server.target):
                self.assertNotIn(self.SECRET, words)
                self.assertNotIn("hidden", words)
            self.assertIn(self.SECRET, server.secrets())

    def test_target(self) -> None:
        """The rest stays readable."""
        server = self.good({"command": "uvx", "args": ["time", "--key=abcd"]})
        self.assertEqual(server.target, "uvx time --key=***")
        self.assertEqual(repr(server), "<StdioServer x: uvx time --key=***>")

    def test_frozen(self) -> None:
        """Nobody changes a configuration that others have."""
        server = self.good({"command": "a"})
        self.assertRaises(AttributeError, setattr, server, "command", "b")
        self.assertEqual(hash(server), hash(msgspec.structs.replace(server)))


class SwitchTests(SynchronousTestCase):
    """``disabled`` and its like."""

    def read(self, table: Any) -> tuple[bool, int]:
        ledger = Ledger({})
        return is_switched_off(ledger.place("x"), table), len(ledger.mistakes)

    def test_switches(self) -> None:
        """Both spellings, neither, and null."""
        self.assertEqual(self.read({"disabled": True}), (True, 0))
        self.assertEqual(self.read({"enabled": False}), (True, 0))
        self.assertEqual(self.read({"isActive": False, "disabled": True}), (True, 0))
        for table in ({"disabled": False}, {"enabled": True}, {}, {"disabled": None}, []):
            self.assertEqual(self.read(table), (False, 0))

    def test_mistakes(self) -> None:
        """Both at once, or no switch at all."""
        self.assertEqual(self.read({"disabled": True, "enabled": True}), (False, 1))
        self.assertEqual(self.read({"disabled": "yes"}), (False, 1))


class AnyServerTests(SynchronousTestCase):
    """What reading promises."""

    KEYS = sorted({key for kind in SERVER_KINDS for key in keys_of(kind)} | {"type", "nonsense"})

    @settings(deadline=None, max_examples=150)
    @given(some.dictionaries(some.sampled_from(KEYS), WILD | some.just("a"), max_size=5) | WILD)
    def test_server_or_mistake(self, table: Any) -> None:
        """A server without a mistake, or none with at least one; never an exception."""
        ledger = Ledger({})
        server = read_server(ledger.place("x"), "x", table)
        self.assertEqual(server is None, bool(ledger.mistakes))
