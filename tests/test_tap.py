"""``mcptwist.tap``: the options of ``twistd mcpd``, and what it makes of twistd's own."""

from __future__ import annotations

import errno
import json
import os
import signal
from pathlib import Path
from typing import Any

from twisted.application.service import IService
from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogLevel
from twisted.python import usage
from twisted.python.reflect import namedAny
from twisted.scripts.twistd import ServerOptions
from twisted.trial.unittest import SynchronousTestCase

from mcptwist import tap
from mcptwist.configuration.withoutfile import BUILTIN_NAME
from mcptwist.daemon import Daemon
from mcptwist.gateway import Gateway, NoServers
from mcptwist.protocols.listener import Listener
from mcptwist.services import make_daemon
from mcptwist.tap import InForeground

TIME = {"mcpServers": {"time": {"command": "mcp-server-time"}}}


class TapCase(SynchronousTestCase):
    """Options as twistd would read them."""

    def file(self, text: str, suffix: str = ".json") -> str:
        path = Path(self.mktemp() + suffix)
        path.write_text(text, encoding="utf-8")
        return str(path)

    def options(self, *words: str, **twistd: Any) -> tap.Options:
        """What comes of the words after ``mcpd``, with twistd's own options before."""
        return self.said("--without-keys", *words, **twistd)

    def said(self, *words: str, **twistd: Any) -> tap.Options:
        """The same, with nothing said of keys but what the words and the file say."""
        options = tap.Options()
        options.parent = twistd  # type: ignore[attr-defined]
        options.parseOptions(list(words))
        return options


class OptionsTests(TapCase):
    """What may follow ``twistd mcpd``."""

    def names(self, options: tap.Options) -> list[str]:
        assert options.loaded is not None
        assert options.loaded.config is not None
        return [server.name for server in options.loaded.config.servers]

    def test_no_file(self) -> None:
        """Without a file there is the built-in server."""
        self.assertEqual(self.names(self.options()), [BUILTIN_NAME])

    def test_file(self) -> None:
        """The servers of the file."""
        path = self.file(json.dumps(TIME))
        for words in (["--config", path], ["-c", path]):
            self.assertEqual(self.names(self.options(*words)), ["time"])

    def test_listen(self) -> None:
        """Endpoints of the command line replace those of the file."""
        options = self.options("--listen", "unix:/a", "-l", "unix:/b")
        assert options.loaded is not None
        assert options.loaded.config is not None
        self.assertEqual(options.loaded.config.listen, ("unix:/a", "unix:/b"))

    def test_mistakes(self) -> None:
        """What cannot be used is told at once, every mistake of it."""
        for words in (
            ["--config", "/nowhere/at/all.json"],
            ["--config", self.file("{")],
            ["--listen", "nonsense"],
            ["word"],
        ):
            self.assertRaises(usage.UsageError, self.options, *words)

    def test_told_by_twistd(self) -> None:
        """twistd says what is wrong, and where to read on; in a file, that is all there is."""
        for words, told in (
            (["--nonsense"], "option --nonsense not recognized\ntry 'twistd mcpd --help'"),
            (["word"], "'word' is no option; a file is named with --config"),
            (["--config", "/nowhere/at/all.json"], "/nowhere/at/all.json: cannot be used"),
        ):
            twistd = ServerOptions()
            ended = self.assertRaises(SystemExit, twistd.parseOptions, ["mcpd", *words])
            self.assertTrue(str(ended.code).startswith(f"twistd mcpd: {told}"), ended.code)
            self.assertEqual("--help" in str(ended.code), not words[0].startswith("--config"))
            self.assertNotIn("Usage:", str(ended.code))

    def test_nothing_said_of_keys(self) -> None:
        """Whoever is on this machine may come in only if that was said."""
        silent = self.file(json.dumps(TIME))
        told = str(self.assertRaises(usage.UsageError, self.said, "-c", silent))
        self.assertIn('has no "auth"', told)
        self.assertIn('say "auth": false in', told)
        toml = self.file('[mcpServers.time]\ncommand = "x"', ".toml")
        told = str(self.assertRaises(usage.UsageError, self.said, "-c", toml))
        self.assertIn("has no [auth] section", told)
        self.assertIn("say auth = false in", told)
        self.assertIn("tcp:8808:interface=127.0.0.1", told)
        for words in (
            ["--without-keys", "-c", silent],
            ["-c", self.file(json.dumps({**TIME, "auth": False}))],
            ["-c", self.file(json.dumps({**TIME, "auth": {}}))],
            ["-c", self.file('auth = false\n[mcpServers.time]\ncommand = "x"', ".toml")],
            ["-c", silent, "-l", "unix:/a", "-l", "lines:unix:/b"],
            [],
        ):
            self.assertEqual(len(self.names(self.said(*words))), 1, words)

    def test_open_to_a_network(self) -> None:
        """No word of anybody's opens it to more than this machine."""
        path = self.file(json.dumps({**TIME, "auth": False}))
        words = ("--without-keys", "-c", path, "-l", "tcp:1")
        self.assertRaises(usage.UsageError, self.said, *words)

    def test_one_bad_server(self) -> None:
        """A mistake in one server does not stop the others; it is logged."""
        servers = {**TIME["mcpServers"], "bad": {"command": 5}}
        options = self.options("--config", self.file(json.dumps({"mcpServers": servers})))
        self.assertEqual(self.names(options), ["time"])


class LogTests(TapCase):
    """The ``[log]`` section holds under twistd, too, unless twistd was told otherwise."""

    def observer(self, section: str, **twistd: Any) -> Any:
        """What the section's observer writes, once an info and a debug event have come."""
        path = self.file(section, ".toml")
        options = self.options("--config", path, **twistd)
        return options.parent.get("logger")  # type: ignore[attr-defined]

    def written(self, section: str) -> str:
        handled = signal.getsignal(signal.SIGUSR1)
        self.addCleanup(signal.signal, signal.SIGUSR1, handled)
        path = self.mktemp()
        name = self.observer(section, logfile=path, nodaemon=True)
        observer = namedAny(name)()
        for level in (LogLevel.debug, LogLevel.info):
            observer({"log_level": level, "log_format": "it is {level}", "level": level.name,
                      "log_time": 0.0, "log_namespace": "x"})  # fmt: skip
        return Path(path).read_text(encoding="utf-8")

    def test_level_and_form(self) -> None:
        """Both count."""
        text = self.written("")
        self.assertEqual(("it is debug" in text, "it is info" in text), (False, True))
        self.assertEqual(self.written('[log]\nlevel = "debug"\n').count("\n"), 2)
        self.assertEqual(self.written('[log]\nlevel = "error"\n'), "")
        (line,) = self.written('[log]\nformat = "json"\n').splitlines()
        self.assertEqual(json.loads(line)["message"], "it is info")

    def test_twistd_was_told(self) -> None:
        """``--logger`` and ``--syslog`` stand; what twistd refuses is left to it."""
        self.assertEqual(self.observer("", logger="theirs", nodaemon=True), "theirs")
        self.assertIsNone(self.observer("", syslog=True))
        self.assertIsNone(self.observer("", logfile="-"))

    def test_cannot_be_written(self) -> None:
        """That is told in a line, with what to do."""
        name = self.observer("", logfile="/nowhere/twistd.log")
        ending = self.assertRaises(SystemExit, namedAny(name))
        self.assertIn("the log /nowhere/twistd.log cannot be written: ", str(ending.code))

    def test_alone(self) -> None:
        """Without twistd around it there is nothing to say about the log."""
        options = tap.Options()
        options.parseOptions([])
        self.assertIsNotNone(options.loaded)


class ServiceTests(TapCase):
    """What the options make."""

    def test_wired(self) -> None:
        """The whole daemon, from servers to endpoints; nothing is opened before it is started."""
        servers = {"time": {"command": "/bin/false"}, "bad": {"command": 5}}
        path = self.file(json.dumps({"mcpServers": servers}))
        options = self.options("-c", path, "-l", "tcp:0:interface=127.0.0.1")
        assert options.loaded is not None
        assert options.loaded.config is not None
        reactor = MemoryReactorClock()
        daemon = make_daemon(options.loaded.config, reactor, {"PATH": "/bin"})
        self.assertTrue(IService.providedBy(daemon))
        self.assertIsInstance(daemon, Daemon)
        self.assertEqual(
            (list(daemon.gateway.backends), list(daemon.gateway.broken)), (["time"], ["bad"])
        )
        self.assertEqual((reactor.tcpServers, reactor.getDelayedCalls()), ([], []))
        daemon.privilegedStartService()
        daemon.startService()
        self.assertEqual(len(reactor.tcpServers), 1)
        stopped = daemon.stopService()
        reactor.advance(2)
        self.successResultOf(stopped)
        self.assertEqual(reactor.getDelayedCalls(), [])

    def test_cannot_listen(self) -> None:
        """In the foreground that is told in a line, and twistd's file does not stay."""
        pidfile = self.file("4711", ".pid")
        reactor = MemoryReactorClock()
        daemon = Daemon(Gateway({}, NoServers("")), None, reactor)  # type: ignore[arg-type]
        daemon.listen(Listener("tcp:1", None, reactor))  # type: ignore[arg-type]

        def taken(*_: Any, **__: Any) -> None:
            raise CannotListenError("127.0.0.1", 1, OSError(errno.EADDRINUSE, "is in use"))

        reactor.listenTCP = taken  # type: ignore[method-assign]
        service = InForeground(daemon, pidfile)
        ending = self.assertRaises(SystemExit, service.privilegedStartService)
        self.assertTrue(str(ending.code).startswith("mcptwist: cannot listen on tcp:1: "), ending)
        self.assertIn("tcp:1: is in use; stop what listens there", str(ending.code))
        self.assertFalse(os.path.exists(pidfile))

    def test_limits_reach_their_places(self) -> None:
        """What is configured is what counts."""
        text = (
            "[limits]\nsessions = 7\nsession_age = 60\nbody_bytes = 5000\ndrain = 3\nbatch = 2\n"
            "keepalive = 15\nevent_log_events = 9\nstreams_per_session = 4\n"
        )
        options = self.options("-c", self.file(text, ".toml"))
        assert options.loaded is not None
        assert options.loaded.config is not None
        daemon = make_daemon(options.loaded.config, MemoryReactorClock(), {})
        bounds, table = daemon.concourse.settings, daemon.concourse.sessions
        self.assertEqual((bounds.body, bounds.batch, daemon._grace), (5000, 2, 3))
        streams = bounds.streams
        self.assertEqual((streams.keep_alive, streams.log_events, streams.streams), (15, 9, 4))
        self.assertEqual((table.limit, table._age), (7, 60))
