"""``mcptwist.config``: a whole file, what comes of it, and what is said about it."""

import json
import os
import re
import stat
import textwrap
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.catalog.selection import NamedSelection
from mcptwist.config import (
    CLIENT_SECTIONS,
    FILE_BYTES,
    SERVER_SECTIONS,
    Catalog,
    Config,
    Cors,
    Group,
    Http,
    Http2,
    Http2Client,
    Limits,
    Loaded,
    Log,
    Mistake,
    PythonServer,
    Sse,
    StdioServer,
    StreamableHttp,
    Tls,
    WebSocket,
    command_config,
    default_config,
    exit_code,
    load,
    override_listen,
    read,
    report,
)
from mcptwist.configuration.gateconfig import Auth
from mcptwist.configuration.gatelimits import GateLimits, PenaltyRules
from mcptwist.configuration.listening import DEFAULT_ENDPOINT
from mcptwist.configuration.peopleconfig import People
from mcptwist.configuration.reach import Keys
from mcptwist.configuration.serverconfig import CLIENT_KEYS, Breaker, RemoteServer, Restart, Server
from mcptwist.configuration.settings import Ledger, keys_of
from mcptwist.configuration.withoutfile import BUILTIN_NAME
from tests.configuration.test_settings import WILD

PAGE = Path(__file__).resolve().parent.parent / "docs" / "configuration.rst"
TIME = {"command": "uvx", "args": ["mcp-server-time"]}


def loaded(value: Any, **environ: str) -> Loaded:
    return load(json.dumps(value), "mcp.json", environ)


def paths(found: Loaded) -> list[str]:
    return [mistake.path for mistake in found.mistakes]


class Good(SynchronousTestCase):
    """For files that can be used."""

    def config(self, found: Loaded) -> Config:
        assert found.config is not None, found.mistakes
        return found.config


class LoadTests(Good):
    """Files as people have them."""

    def test_defaults(self) -> None:
        """A client's file needs nothing of ours."""
        config = self.config(loaded({"mcpServers": {"time": TIME}}))
        time = StdioServer(name="time", command="uvx", args=("mcp-server-time",))
        self.assertEqual(config, Config(servers=(time,)))
        self.assertEqual(config.listen, (DEFAULT_ENDPOINT,))

    def test_toml_is_json(self) -> None:
        """Both formats say the same things."""
        toml = """
            listen = ["tcp:0:interface=127.0.0.1"]
            allowed_hosts = ["Example.com"]
            [limits]
            sessions = 5
            session_idle = "5m"
            [http]
            idle_timeout = 9
            [cors]
            methods = "POST"
            headers = ["X-Trace"]
            [log]
            format = "json"
            [servers.time]
            command = "uvx"
            args = ["mcp-server-time"]
            restart = { policy = "never" }
        """
        same = {
            "listen": "tcp:0:interface=127.0.0.1",
            "allowed_hosts": ["example.com"],
            "limits": {"sessions": 5, "session_idle": 300},
            "http": {"idle_timeout": 9},
            "cors": {"methods": ["POST"], "headers": "X-Trace"},
            "log": {"format": "json"},
            "mcpServers": {"time": TIME | {"restart": "never"}},
        }
        config = self.config(load(toml, "mcpd.toml", {}))
        self.assertEqual(config, self.config(loaded(same)))
        self.assertEqual(config.limits, Limits(sessions=5, session_idle=300))
        self.assertEqual(config.http, Http(idle_timeout=9))
        self.assertEqual(config.cors, Cors(methods=("POST",), headers=("X-Trace",)))
        self.assertEqual(config.log, Log(format="json"))

    def test_order_and_both_sections(self) -> None:
        """Servers keep their order; both sections may be there."""
        config = self.config(loaded({"servers": {"c": TIME}, "mcpServers": {"b": TIME, "a": TIME}}))
        self.assertEqual([server.name for server in config.servers], ["b", "a", "c"])
        self.assertEqual(config.server("a"), config.servers[1])
        self.assertIsNone(config.server("d"))

    def test_clients_sections(self) -> None:
        """What else clients keep in the file is noted; comments are not."""
        found = loaded({"inputs": [], "$schema": "x", "_comment": 1, "mcpServers": {"time": TIME}})
        self.assertEqual([note.path for note in self.config(found).notes], ["inputs"])
        self.assertEqual(found.mistakes, ())

    def test_no_server(self) -> None:
        """It may be meant."""
        for value in ({}, {"mcpServers": {}}):
            config = self.config(loaded(value))
            self.assertEqual([note.text for note in config.notes], ["configures no server"])

    def test_keepalive(self) -> None:
        """Any is allowed, and one that proxies dislike is noted."""
        for wait, notes in ((15, 0), (25, 0), (14.9, 1), (26, 1)):
            config = self.config(loaded({"limits": {"keepalive": wait}, "servers": {"t": TIME}}))
            self.assertEqual((config.limits.keepalive, len(config.notes)), (wait, notes))

    def test_secrets_others_can_read(self) -> None:
        """A note for secrets in a file that is not its owner's alone."""
        secret = json.dumps({"mcpServers": {"a": {"command": "b", "env": {"API_KEY": "abcd"}}}})
        named = secret.replace("abcd", "${K}")
        for text, mode, notes in (
            (secret, 0o644, 1), (secret, 0o640, 1), (secret, 0o600, 0), (secret, 0, 0),
            (named, 0o644, 0),
        ):  # fmt: skip
            found = load(text, "mcp.json", {"K": "abcd"}, mode=stat.S_IFREG | mode)
            self.assertEqual(len(self.config(found).notes), notes, (text, oct(mode)))


class BrokenServerTests(Good):
    """A mistake in one server never stops the others."""

    def test_others_go_on(self) -> None:
        """The good are there, the broken are there with all that is wrong with them."""
        servers = {"bad": {"comand": "x", "args": [5]}, "time": TIME, "none": {"command": "${NO}"}}
        found = loaded({"mcpServers": servers})
        config = self.config(found)
        self.assertEqual([server.name for server in config.servers], ["time"])
        self.assertEqual(
            [(broken.name, len(broken.mistakes)) for broken in config.broken],
            [("bad", 3), ("none", 1)],
        )
        self.assertEqual(
            found.mistakes,
            tuple(mistake for broken in config.broken for mistake in broken.mistakes),
        )
        self.assertEqual({mistake.server for mistake in found.mistakes}, {"bad", "none"})

    def test_bad_name(self) -> None:
        """A server whose name will not do is broken too."""
        config = self.config(loaded({"mcpServers": {"My Server": TIME, "time": TIME}}))
        self.assertEqual([broken.name for broken in config.broken], ["My Server"])
        self.assertEqual(config.broken[0].mistakes[0].path, 'mcpServers["My Server"]')

    def test_clashes(self) -> None:
        """The later of two servers with one name, or with one prefix, is broken."""
        found = loaded({"mcpServers": {"a.b": TIME, "a_b": TIME}, "servers": {"a.b": TIME}})
        self.assertEqual(paths(found), ["mcpServers.a_b", 'servers["a.b"]'])
        self.assertEqual(len(self.config(found).servers), 1)
        self.assertIn('mcpServers["a.b"]', found.mistakes[0].problem)

    def test_repeated(self) -> None:
        """Which of the two was meant?"""
        text = (
            '{"mcpServers": {"a": {"command": "x"}, "a": {"command": "y"}, "b": {"command": "z"}}}'
        )
        found = load(text, "mcp.json", {})
        self.assertEqual(paths(found), ["mcpServers.a"])
        self.assertEqual([server.name for server in self.config(found).servers], ["b"])

    def test_disabled(self) -> None:
        """A server that is not to be used is not there; what is wrong with it is only noted."""
        servers = {
            "off": {"command": "${NO}", "disabled": True}, "out": {"url": "x", "enabled": False},
            "time": TIME | {"disabled": False}, "of.f": TIME | {"disabled": True},
        }  # fmt: skip
        found = loaded({"mcpServers": servers, "servers": {"off": TIME}})
        config = self.config(found)
        self.assertEqual(found.mistakes, ())
        self.assertEqual(config.disabled, ("off", "out", "of.f"))
        self.assertEqual([server.name for server in config.servers], ["time", "off"])
        self.assertEqual([note.server for note in config.notes], ["off", "out"])
        self.assertIn("names the variable NO", config.notes[0].text)


class FatalTests(SynchronousTestCase):
    """A mistake outside the servers: who knows what was meant?"""

    def fatal(self, value: Any) -> list[str]:
        found = loaded(value)
        self.assertIsNone(found.config)
        return [str(mistake) for mistake in found.mistakes]

    def test_everything_at_once(self) -> None:
        """The daemon's own mistakes and those of servers, in one go."""
        found = loaded(
            {
                "lisen": 1, "listen": ["8080"], "limits": {"sessions": 0, "sesions": 1},
                "log": "debug", "mcpServers": {"a": {"command": 5}},
            }
        )  # fmt: skip
        self.assertIsNone(found.config)
        self.assertEqual(
            paths(found),
            [
                "lisen",
                "listen[0]",
                "limits.sesions",
                "limits.sessions",
                "log",
                "mcpServers.a.command",
            ],
        )
        self.assertEqual([mistake.server for mistake in found.mistakes], [None] * 5 + ["a"])

    def test_near_misses(self) -> None:
        """Unknown sections are answered with the known."""
        self.assertEqual(
            self.fatal({"mcpservers": {}}),
            ['mcpservers: is not a key we know; expected "mcpServers"'],
        )

    def test_server_outside(self) -> None:
        """Servers without their section are a common slip."""
        self.assertEqual(
            self.fatal({"time": TIME}),
            ['time: is a server outside of any section; expected it inside of "mcpServers"'],
        )

    def test_sections_are_tables(self) -> None:
        """A list of servers, or nothing at all."""
        self.assertEqual(len(self.fatal({"mcpServers": [TIME]})), 1)
        self.assertEqual(len(self.fatal({"mcpServers": None})), 1)
        self.assertEqual(
            self.fatal([]), ["the file: is a list; expected a JSON object with mcpServers in it"]
        )

    def test_repeated(self) -> None:
        """A section that is there twice."""
        self.assertEqual(paths(load('{"servers": {}, "servers": {}}', "", {})), ["servers"])

    def test_syntax(self) -> None:
        """Where, and which formats there are."""
        found = load('{"mcpServers": {,}}', "mcp.json", {})
        self.assertEqual((found.config, paths(found)), (None, ["line 1, column 17"]))
        self.assertEqual(paths(load("[a", "mcp.toml", {})), ["line 1, column 3"])
        self.assertEqual(paths(load(b"\xff\xfe", "mcp.json", {})), ["the file"])


class ReadTests(Good):
    """Files on the disk."""

    def file(self, content: bytes, name: str = "mcp.json", mode: int = 0o600) -> str:
        path = Path(self.mktemp())
        path.mkdir(parents=True)
        (path / name).write_bytes(content)
        (path / name).chmod(mode)
        return str(path / name)

    def test_good(self) -> None:
        """Relative folders begin where the file is; the environment fills in."""
        servers = {"a": {"command": "${RUN}", "cwd": "work"}}
        path = self.file(json.dumps({"mcpServers": servers}).encode())
        found = read(path, {"RUN": "uvx"})
        folder = os.path.join(os.path.dirname(os.path.abspath(path)), "work")
        self.assertEqual(
            self.config(found).servers, (StdioServer(name="a", command="uvx", cwd=folder),)
        )
        self.assertEqual(found.name, path)

    def test_mode(self) -> None:
        """The file's permissions are looked at."""
        text = b'{"mcpServers": {"a": {"command": "x", "env": {"API_KEY": "abcd"}}}}'
        for mode, notes in ((0o600, 0), (0o644, 1)):
            found = read(self.file(text, mode=mode), {})
            self.assertEqual(len(self.config(found).notes), notes)

    def test_no_file(self) -> None:
        """Not there, no file, no possible name."""
        for path in ("/nowhere/mcp.json", "/", "a\0b"):
            found = read(path, {})
            self.assertIsNone(found.config)
            self.assertEqual(paths(found), ["the file"])
            self.assertIn("cannot be read: ", found.mistakes[0].problem)

    def test_too_long(self) -> None:
        """No more is read than the longest file has; the longest is read."""
        self.assertIsNone(read(self.file(b" " * (FILE_BYTES + 1)), {}).config)
        self.assertIsNotNone(read(self.file(b"{}" + b" " * (FILE_BYTES - 2)), {}).config)


class WithoutFileTests(Good):
    """``mcptwist run``."""

    def test_default(self) -> None:
        """Our own server alone."""
        config = default_config()
        self.assertEqual([server.name for server in config.servers], [BUILTIN_NAME])
        self.assertIsInstance(config.servers[0], PythonServer)
        self.assertEqual(config.listen, (DEFAULT_ENDPOINT,))

    def test_command(self) -> None:
        """The command's server alone, with the person's own environment."""
        config = self.config(command_config(None, ["uvx", "mcp-server-time"]))
        (server,) = config.servers
        assert isinstance(server, StdioServer)
        self.assertEqual(
            (server.name, server.command, server.args), ("time", "uvx", ("mcp-server-time",))
        )
        self.assertEqual(server.environment({"ANY": "1"}), {"ANY": "1"})

    def test_arguments_are_not_filled_in(self) -> None:
        """The shell has done that."""
        (server,) = self.config(command_config("x", ["sh", "-c", "echo ${HOME}"])).servers
        self.assertEqual(server.args, ("-c", "echo ${HOME}"))  # type: ignore[union-attr]

    def test_name(self) -> None:
        """Given, or wrong."""
        self.assertEqual(
            self.config(command_config("clock", ["uvx", "x"])).servers[0].name, "clock"
        )
        self.assertEqual(paths(command_config("a b", ["uvx", "x"])), ["--name"])

    def test_no_command(self) -> None:
        """Nothing, or an empty word."""
        self.assertEqual(paths(command_config(None, [])), ["--"])
        self.assertEqual(paths(command_config(None, [""])), ["--"])

    def test_listen(self) -> None:
        """The command line's endpoints."""
        found = command_config(None, ["x"], ["tcp:0:interface=127.0.0.1"])
        self.assertEqual(self.config(found).listen, ("tcp:0:interface=127.0.0.1",))
        self.assertEqual(paths(command_config(None, ["x"], ["unix:/a", "8080"])), ["--listen[1]"])

    def test_override(self) -> None:
        """They take the place of the file's, and of what was noted about those."""
        file = {"listen": ["tcp:1", "unix:/a"], "auth": {}, "mcpServers": {"a": {"command": 5}}}
        found = loaded(file)
        self.assertEqual([note.path for note in self.config(found).notes], ["listen[0]"])
        over = override_listen(found, ["tcp:2"])
        self.assertEqual(self.config(over).listen, ("tcp:2",))
        self.assertEqual([note.path for note in self.config(over).notes], ["--listen[0]"])
        self.assertEqual(over.mistakes, found.mistakes)
        self.assertEqual(override_listen(found, []), found)
        self.assertEqual(
            paths(override_listen(found, ["x"])), ["mcpServers.a.command", "--listen[0]"]
        )

    def test_open_without_keys(self) -> None:
        """A daemon that a network can reach must know who is calling; where it is said is shown."""
        there = {"mcpServers": {"a": TIME}}
        found = loaded({"listen": ["unix:/a", "tcp:1"], **there})
        self.assertEqual(paths(override_listen(found, [])), ["listen[1]"])
        self.assertEqual(override_listen(found, ["unix:/a"]).mistakes, ())
        closed = loaded(there)
        self.assertEqual(paths(override_listen(closed, ["unix:/a", "https:1"])), ["--listen[1]"])
        with_keys = loaded({"auth": {}, **there})
        self.assertEqual(override_listen(with_keys, ["tcp:1"]).mistakes, ())

    def test_certificates_without_keys(self) -> None:
        """Asking for certificates is nothing without keys to hold them against."""
        there = {"mcpServers": {"a": TIME}}
        entry = "mtls:1:interface=127.0.0.1"
        self.assertEqual(paths(override_listen(loaded(there), [entry])), ["--listen[0]"])
        self.assertEqual(
            paths(override_listen(loaded({"listen": entry, **there}), [])), ["listen[0]"]
        )
        with_keys = loaded({"auth": {}, **there})
        self.assertEqual(override_listen(with_keys, [entry]).mistakes, ())

    def test_override_fatal(self) -> None:
        """What cannot be used cannot be used elsewhere either."""
        found = loaded({"listn": []})
        self.assertEqual(override_listen(found, ["unix:/a"]), found)


class ReportTests(SynchronousTestCase):
    """What ``mcptwist check`` says."""

    def test_good(self) -> None:
        """A verdict, every server in a line, where it listens."""
        servers = {
            "time": TIME, "notes": {"python": "a:b", "scope": "pool", "lazy": False},
            "off": {"command": "x", "disabled": True},
        }  # fmt: skip
        found = loaded({"mcpServers": servers})
        expected = """\
            mcp.json: good (2 servers)

            servers:
              time   stdio     uvx mcp-server-time  (shared, when first called)
              notes  python    a:b  (pool of 4, started with the daemon)
              off    disabled

            listens on:
              tcp:8808:interface=127.0.0.1
            """
        self.assertEqual(report(found), textwrap.dedent(expected))
        self.assertEqual(exit_code(found), 0)

    def test_groups(self) -> None:
        """Each group with its servers."""
        groups = {"all": {"servers": ["time", "other"]}, "one": {"servers": ["time"]}}
        found = loaded({"mcpServers": {"time": TIME, "other": TIME}, "groups": groups})
        lines = report(found).splitlines()
        at = lines.index("groups:")
        self.assertEqual(lines[at + 1 : at + 3], ["  all  time, other", "  one  time"])

    def test_fatal(self) -> None:
        """All mistakes; nothing about servers, as none will run."""
        found = loaded({"log": {"level": "loud"}, "mcpServers": {"a": {"command": 5}}})
        expected = """\
            mcp.json: cannot be used (2 mistakes)

            mistakes:
              log.level: is "loud"; expected one of "debug", "info", "warn", "error", "critical"
              mcpServers.a.command: is a number; expected a string
            """
        self.assertEqual(report(found), textwrap.dedent(expected))
        self.assertEqual(exit_code(found), 1)

    def test_some(self) -> None:
        """A broken server is a mistake, for scripts too."""
        found = loaded({"mcpServers": {"a": {"command": 5}}})
        self.assertTrue(report(found).startswith("mcp.json: 1 mistake; no servers can be used"))
        self.assertEqual(exit_code(found), 1)

    def test_what_a_terminal_would_act_on(self) -> None:
        """Escape sequences from a file are shown, not sent."""
        servers = {"a": {"command": "\x1b[2J\x9b"}, "\x1b[31m": TIME}
        for text in (report(loaded({"mcpServers": servers})), report(loaded({"\x1b[c": 1}))):
            self.assertTrue(text.replace("\n", "").isprintable(), text)

    def test_no_secrets(self) -> None:
        """Neither in what is good nor in what is not."""
        servers = {
            "a": {
                "command": "x",
                "args": ["--token", "s3cret"],
                "env": {"A": "s3cret", "B": ["s3cret"]},
            },
            "b": {"command": "x", "args": ["--token", "s3cret"]},
            "c": {"url": "s3cret", "headers": {"A": "s3cret\n"}},
        }
        self.assertNotIn("s3cret", report(loaded({"mcpServers": servers})))


SECTIONS = [*SERVER_SECTIONS, *keys_of(Config), "inputs"]


class AnyFileTests(SynchronousTestCase):
    """What loading promises, whatever the file."""

    @settings(deadline=None, max_examples=150)
    @given(
        some.dictionaries(
            some.sampled_from(SECTIONS),
            WILD | some.dictionaries(some.text(max_size=4), WILD | some.just(TIME), max_size=3),
        )
        | WILD
    )
    def test_config_or_mistakes(self, value: Any) -> None:
        """Values or mistakes, and a report that any terminal takes; never an exception."""
        found = loaded(value)
        fatal = [mistake for mistake in found.mistakes if mistake.server is None]
        self.assertEqual(found.config is None, bool(fatal))
        self.assertTrue(report(found).replace("\n", "").isprintable())
        report(found).encode()

    @settings(deadline=None, max_examples=100)
    @given(some.binary(max_size=60), some.sampled_from(["a.json", "a.toml", "a"]))
    def test_any_bytes(self, content: bytes, name: str) -> None:
        """Also what is no configuration at all."""
        found = load(content, name, {})
        self.assertEqual(found.config is None, bool(found.mistakes))


class GroupTests(SynchronousTestCase):
    """Some servers as one."""

    def groups(self, groups: Any, **servers: Any) -> Loaded:
        return loaded({"mcpServers": {"time": TIME, **servers}, "groups": groups})

    def test_groups(self) -> None:
        """Names of servers, in an order; one name will do."""
        found = self.groups({"a": {"servers": ["web", "time"]}, "b": {"servers": "time"}}, web=TIME)
        assert found.config is not None
        self.assertEqual(
            found.config.groups,
            (Group(name="a", servers=("web", "time")), Group(name="b", servers=("time",))),
        )

    def test_mistakes(self) -> None:
        """A group is outside of servers, so what is wrong with it is fatal."""
        for groups, path in (
            ([], "groups"),
            ({"a": []}, "groups.a"),
            ({"a": {}}, "groups.a"),
            ({"a": {"servers": []}}, "groups.a"),
            ({"a": {"servers": ["nobody"]}}, "groups.a.servers"),
            ({"a": {"servers": ["time", "time"]}}, "groups.a.servers"),
            ({"a": {"servers": [3]}}, "groups.a.servers[0]"),
            ({"a": {"server": "time", "servers": "time"}}, "groups.a.server"),
            ({"a/b": {"servers": "time"}}, 'groups["a/b"]'),
        ):
            found = self.groups(groups)
            self.assertIsNone(found.config, groups)
            self.assertEqual(paths(found), [path], groups)

    def test_broken(self) -> None:
        """A group goes on without a server that cannot be used."""
        found = self.groups({"a": {"servers": ["time", "odd"]}}, odd={"command": 3})
        assert found.config is not None
        self.assertIn("broken", "".join(map(str, found.config.notes)))


TABLES: tuple[type[msgspec.Struct], ...] = (
    Server, Restart, Breaker, NamedSelection, StdioServer, RemoteServer, PythonServer, Config,
    Limits, Http, Http2, Http2Client, StreamableHttp, WebSocket, Sse, Cors, Tls, Auth, GateLimits,
    PenaltyRules, People, Keys, Catalog, Group, Log,
)  # fmt: skip


class DocumentationTests(SynchronousTestCase):
    """``docs/configuration.rst`` says what is so."""

    def setUp(self) -> None:
        self.page = PAGE.read_text(encoding="utf-8")

    def blocks(self, language: str) -> list[str]:
        pattern = rf"^\.\. code-block:: {language}\n\n((?:   .*\n|\n)+)"
        return [textwrap.dedent(block) for block in re.findall(pattern, self.page, re.MULTILINE)]

    def test_examples(self) -> None:
        """Every example can be used as it is."""
        environ = {"HOME": "/root", "ISSUES_TOKEN": "abcd"}
        examples = [(form, text) for form in ("json", "toml") for text in self.blocks(form)]
        self.assertGreater(len(examples), 5)
        for form, text in examples:
            found = load(text, f"example.{form}", environ)
            self.assertEqual(found.mistakes, (), text)
            assert found.config is not None
            self.assertTrue(found.config.servers, text)

    def test_report(self) -> None:
        """The report that is shown is the report one gets."""
        found = loaded({"mcpServers": {"time": TIME, "web": {"comand": "x"}}})
        self.assertEqual([block.strip() for block in self.blocks("text")], [report(found).strip()])

    def test_reference(self) -> None:
        """The tables have every key, its default and its meaning, and no other key."""
        tables = self.page.split(".. list-table::")[1:]
        self.assertEqual(len(tables), len(TABLES))
        for struct, table in zip(TABLES, tables, strict=True):
            rows = re.findall(
                r"^   \* - ``(\w+)``\n     - (.+)\n     - (.+)\n", table, re.MULTILINE
            )
            written = {key: (default, meaning) for key, default, meaning in rows}
            self.check_table(struct, written)

    def check_table(
        self, struct: type[msgspec.Struct], written: dict[str, tuple[str, str]]
    ) -> None:
        inherited = keys_of(Server) if struct is not Server else {}
        keys = {name: key for name, key in keys_of(struct).items() if name not in inherited}
        defaults = {field.name: field.default for field in msgspec.structs.fields(struct)}
        self.assertEqual(list(written), list(keys), struct)
        for name, key in keys.items():
            default, meaning = written[name]
            self.assertEqual(meaning, key.meaning, (struct, name))
            self.check_default(default, defaults[name], key.read, (struct, name))

    def check_default(self, written: str, default: Any, reader: Any, where: Any) -> None:
        words = {msgspec.NODEFAULT: "required", None: "not set"}
        if isinstance(default, msgspec.Struct):
            self.assertEqual(written, "see below", where)
        elif not written.startswith("``"):
            self.assertEqual(written, words.get(default), where)
        else:
            raw = written.strip("`")
            value = json.loads(raw) if re.match(r'\d+$|true|false|["\[{]', raw) else raw
            ledger = Ledger({})
            self.assertEqual(reader(ledger.place(), value), default, where)
            self.assertEqual(ledger.mistakes, [], where)

    def test_keys_of_clients(self) -> None:
        """Every key that is accepted and not used is named."""
        part = self.page.partition("Keys of clients\n")[2].partition("The daemon's own")[0]
        named = set(re.findall(r"``([\w$]+)``", part))
        self.assertEqual({*CLIENT_KEYS, *CLIENT_SECTIONS} - named, set())


class MistakeTests(SynchronousTestCase):
    """The shape others rely on."""

    def test_shape(self) -> None:
        """Path, problem, what was expected, and whose it is."""
        found = loaded({"mcpServers": {"time": {"command": "x", "args": ["a", "b", 5]}}})
        expected = Mistake("mcpServers.time.args[2]", "is a number", "a string", "time")
        self.assertEqual(found.mistakes, (expected,))
