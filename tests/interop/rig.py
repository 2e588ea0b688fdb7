"""What the interop tests stand on: programs with a time limit, and a daemon with servers behind it.

Every program a test starts, and every server its daemon starts, carries a mark of that test in its
environment. When the test is over, no process with the mark may be left.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall, IReactorProcess, IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest, TestCase

from tests.debian import in_ci
from tests.interop.install import CLIENTS, ENVIRONMENTS, obstacle
from tests.patience import SECONDS

MARK = "MCPTWIST_INTEROP_TEST"
#: Names a fixture server that runs already, such as ``fixture_server.py --http``, to tell a fault
#: of the rig from one of the daemon. No daemon is started then.
ELSEWHERE = "MCPTWIST_INTEROP_URL"

#: The fixture servers, by the eras they speak: the environment and the script of each.
FIXTURES = {
    "dual": ("python2", "fixture_server.py"),
    "legacy": ("python1", "legacy_server.py"),
    "modern": ("python2", "modern_server.py"),
}

Json = dict[str, Any]

#: What a daemon says when it listens: its URL, or Twisted's own line in the log.
LISTENING = r"(?:http://127\.0\.0\.1:|\w starting on )(\d+)"
#: The same of one that answers in plain text and encrypted.
BOTH_LISTENING = r"answering at (http://\S+:\d+)\s[\s\S]*answering at (https://\S+:\d+)\s"

# These are programs on a real machine, which may be busy: limits, not expectations.
SECONDS_TO_VANISH = SECONDS
SECONDS_TO_HANG_UP = 2.0


class Hurry(Exception):
    """A program did not do in time what was expected of it."""


@dataclass(frozen=True)
class Ending:
    """How a program ended: its exit code (or minus the signal's number) and what it said."""

    code: int
    out: str
    err: str

    def said(self) -> str:
        """The end of its output, for a failure message."""
        return f"exit {self.code}\n--- stdout\n{self.out[-3000:]}\n--- stderr\n{self.err[-6000:]}"


class Program(ProcessProtocol):
    """A running program, its output so far, and its end."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._out = bytearray()
        self._err = bytearray()
        self._awaited: list[tuple[re.Pattern[str], Deferred[re.Match[str]]]] = []
        self._ended: list[Deferred[Ending]] = []
        self._hang_up: IDelayedCall | None = None
        self.ending: Ending | None = None

    def outReceived(self, data: bytes) -> None:
        self._out += data
        self._look()

    def errReceived(self, data: bytes) -> None:
        self._err += data
        self._look()

    def processExited(self, reason: Failure) -> None:
        # Whoever it left behind may hold its pipes open: they are not waited for long.
        assert self.transport is not None
        self._hang_up = self._clock.callLater(SECONDS_TO_HANG_UP, self.transport.loseConnection)

    def processEnded(self, reason: Failure) -> None:
        if self._hang_up is not None and self._hang_up.active():
            self._hang_up.cancel()
        value: Any = reason.value
        code = 0 if isinstance(value, ProcessDone) else value.exitCode
        self.ending = Ending(-value.signal if code is None else code, *self._texts())
        for awaited in [done for _, done in self._awaited]:
            awaited.errback(Hurry(f"ended too early: {self.ending.said()}"))
        for ended in self._ended:
            ended.callback(self.ending)
        self._awaited, self._ended = [], []

    def when_said(self, pattern: str, within: float) -> Deferred[re.Match[str]]:
        """The first match of *pattern* in either output; ``Hurry`` after *within* seconds."""
        said: Deferred[re.Match[str]] = Deferred()
        if self.ending is not None:
            said.errback(Hurry(f"ended already: {self.ending.said()}"))
            return said
        entry = (re.compile(pattern), said)
        self._awaited.append(entry)
        self._look()
        return self._limited(said, within, f"did not say {pattern!r}")

    def when_ended(self, within: float) -> Deferred[Ending]:
        """The program's end; ``Hurry`` after *within* seconds, the program being killed then."""
        ended: Deferred[Ending] = Deferred()
        if self.ending is not None:
            ended.callback(self.ending)
            return ended
        self._ended.append(ended)
        return self._limited(ended, within, "did not end")

    def signal(self, name: str) -> None:
        if self.transport is not None and self.ending is None:
            try:
                self.transport.signalProcess(name)
            except ProcessExitedAlready:
                pass

    def _limited(self, wanted: Deferred[Any], within: float, failing: str) -> Deferred[Any]:
        def too_late(result: Any, _: float) -> Any:
            self._awaited = [entry for entry in self._awaited if entry[1] is not wanted]
            self._ended = [ended for ended in self._ended if ended is not wanted]
            self.signal("KILL")
            said = Ending(0, *self._texts()).said()
            return Failure(Hurry(f"{failing} within {within} s, so it was killed: {said}"))

        return wanted.addTimeout(within, self._clock, onTimeoutCancel=too_late)

    def _look(self) -> None:
        said = "".join(self._texts())
        for pattern, awaited in list(self._awaited):
            if match := pattern.search(said):
                self._awaited.remove((pattern, awaited))
                awaited.callback(match)

    def _texts(self) -> tuple[str, str]:
        return self._out.decode("utf-8", "replace"), self._err.decode("utf-8", "replace")


def marked(mark: str) -> Iterator[int]:
    """The ids of living processes whose environment has *mark*. Needs ``/proc``; else none."""
    wanted = f"{MARK}={mark}".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            environ = (entry / "environ").read_bytes()
        except OSError:
            continue  # ended meanwhile, or not ours to look at
        if wanted in environ.split(b"\0"):
            yield int(entry.name)


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return "?"


def python(environment: str) -> str:
    """The interpreter of one of the Python environments."""
    return str(ENVIRONMENTS[environment].home / "bin" / "python")


def binary(environment: str, name: str) -> str:
    """A program that was installed into *environment*."""
    home = ENVIRONMENTS[environment].home
    return str(home / ("bin" if environment.startswith("python") else "node_modules/.bin") / name)


def node(environment: str = "node") -> str:
    """Node 22, or that of another environment."""
    return binary(environment, "node")


def script(name: str, *, runs_in: str = "node") -> list[str]:
    """The command that runs a script of ``clients/``, whose name says in which environment.

    :param runs_in: the environment whose Node runs it; its packages are those of ``node``.
    """
    if name.endswith(".mjs"):
        # Node looks for packages beside the script, as the link says, not as the file is.
        linked = ENVIRONMENTS["node"].home / CLIENTS.name / name
        return [node(runs_in), "--preserve-symlinks", "--preserve-symlinks-main", str(linked)]
    return [python(Path(name).stem.partition("_")[0]), str(CLIENTS / name)]


class InteropCase(TestCase):
    """A test with real programs. Subclasses say which ``environments`` they need.

    :ivar environ: what programs that are started find in their environment besides our own.
    """

    environments: ClassVar[Sequence[str]] = ("python2",)
    timeout = 5 * SECONDS

    def setUp(self) -> None:
        for name in self.environments:
            self.require(name)
        self.mark = uuid.uuid4().hex
        # Not within the checkout, whose path may be longer than that of a socket can be.
        self.place = Path(tempfile.mkdtemp(prefix="mcptwist-")).resolve()
        self.addCleanup(shutil.rmtree, self.place, ignore_errors=True)
        self.programs: list[Program] = []
        self.environ: dict[str, str] = {}
        self.addCleanup(self.nothing_left)
        self.addCleanup(self.kill_all)

    def require(self, name: str) -> None:
        """Skip the test where *name* cannot be installed; fail where it only is not, or in CI."""
        reason = obstacle(name)
        if reason is None:
            return
        if in_ci() or ENVIRONMENTS[name].is_possible():
            self.fail(reason)
        raise SkipTest(reason)

    def start(self, argv: Sequence[str], env: Mapping[str, str] | None = None) -> Program:
        """Start a program, with the mark and *env* added to our own environment."""
        processes, clock = IReactorProcess(reactor), IReactorTime(reactor)
        program = Program(clock)
        homes = {"XDG_STATE_HOME": "state", "XDG_CONFIG_HOME": "config"}
        own = {MARK: self.mark, **{name: str(self.place / at) for name, at in homes.items()}}
        environ = {**os.environ, **own, **self.environ, **(env or {})}
        processes.spawnProcess(program, argv[0], argv, env=environ, path=str(self.place))
        self.programs.append(program)
        return program

    async def run_program(self, argv: Sequence[str], within: float = SECONDS) -> Ending:
        """Run a program to its end; ``Hurry`` if that takes more than *within* seconds."""
        program = self.start(argv)
        assert program.transport is not None
        program.transport.closeStdin()
        return await program.when_ended(within)

    async def report_of(self, argv: Sequence[str], within: float = SECONDS) -> Json:
        """Run a program that prints one JSON object; the test fails if it does anything else."""
        ending = await self.run_program(argv, within)
        if ending.code != 0:
            self.fail(f"{' '.join(argv)}: {ending.said()}")
        report: Json = json.loads(ending.out)
        return report

    async def kill_all(self) -> None:
        for program in self.programs:
            program.signal("KILL")
            await program.when_ended(SECONDS)

    async def nothing_left(self) -> None:
        clock = IReactorTime(reactor)
        patience = clock.seconds() + SECONDS_TO_VANISH
        while left := list(marked(self.mark)):
            if clock.seconds() > patience:
                lines = [f"{pid}: {command_line(pid)}" for pid in left]
                for pid in left:
                    os.kill(pid, 9)
                self.fail("left behind after the test:\n" + "\n".join(lines))
            await deferLater(clock, 0.05)

    async def daemon(self, servers: Mapping[str, Json], *endpoints: str) -> Daemon:
        """Start ``twistd -n mcpd`` with *servers*, and stop it when the test ends.

        :param endpoints: where it answers besides TCP and TLS.
        """
        if os.environ.get(ELSEWHERE):
            raise SkipTest(f"needs a daemon, but {ELSEWHERE} names a server to use instead")
        return await Daemon.start(self, servers, *endpoints)

    async def fixture(self, eras: str = "dual", **settings: Any) -> str:
        """Serve a fixture that speaks those *eras*, and return the base of its URLs."""
        if url := os.environ.get(ELSEWHERE):
            return url.removesuffix("/mcp")
        return (await self.daemon({"fixture": self.fixture_server(eras) | settings})).base

    def fixture_server(self, eras: str) -> Json:
        """How the daemon starts the fixture that speaks those *eras*."""
        environment, name = FIXTURES[eras]
        script = str(Path(__file__).with_name(name))
        journal = {"FIXTURE_JOURNAL": str(self.place / "journal")}
        return {"command": python(environment), "args": [script], "env": journal}

    def path_of(self, server: str) -> str:
        """Where *server* is under the base: always ``/mcp`` when there is no daemon."""
        return "/mcp" if os.environ.get(ELSEWHERE) else f"/servers/{server}/mcp"


class Daemon:
    """A running daemon.

    :ivar base: where it answers, ``http://127.0.0.1:PORT``.
    :ivar secure: where it answers over TLS, ``https://127.0.0.1:PORT``.
    :ivar certificate: the file with the certificate that it shows there.
    """

    def __init__(self, program: Program, base: str, secure: str, certificate: Path) -> None:
        self.program = program
        self.base = base
        self.secure = secure
        self.certificate = certificate

    @classmethod
    async def start(cls, case: InteropCase, servers: Mapping[str, Json], *endpoints: str) -> Daemon:
        """Start a daemon for *case* with these ``mcpServers``, on ports the system picks."""
        for server in servers.values():
            if "command" in server:
                server["env"] = {**server.get("env", {}), MARK: case.mark}
        config = case.place / "mcp.json"
        config.write_text(json.dumps({"mcpServers": dict(servers)}, indent=2))
        twistd = str(Path(sys.executable).with_name("twistd"))
        argv = [twistd, "-n", "--pidfile=", "mcpd", "--config", str(config)]
        argv.append("--without-keys")
        here = (f"{kind}:0:interface=127.0.0.1" for kind in ("tcp", "https"))
        for endpoint in (*here, *endpoints):
            argv += ["--listen", endpoint]
        program = case.start(argv)
        heard = await program.when_said(BOTH_LISTENING, SECONDS)
        case.addCleanup(cls.stop, case, program)
        certificate = case.place / "state" / "mcptwist" / "host_cert.pem"
        return cls(program, heard.group(1), heard.group(2), certificate)

    def trusted(self) -> dict[str, str]:
        """What makes programs trust it, in their environment: Node's, and those on OpenSSL."""
        return dict.fromkeys(("NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE"), str(self.certificate))

    @staticmethod
    async def stop(case: InteropCase, program: Program) -> None:
        """Ask the daemon to end, as systemd would; it must do so in time, and with exit code 0."""
        if program.ending is not None:
            case.fail(f"the daemon ended by itself: {program.ending.said()}")
        program.signal("TERM")
        ending = await program.when_ended(SECONDS)
        if ending.code != 0:
            case.fail(f"the daemon did not end well: {ending.said()}")
