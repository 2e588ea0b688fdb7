"""MCP servers that are child processes, spoken to over their pipes.

:class:`Launcher` starts them and :class:`ChildWire` is the wire to one. Its
promises beyond :class:`~mcptwist.interfaces.IWire`:

- The child starts with exactly the environment it was given, in a session of
  its own, without a shell. It gets neither the daemon's terminal nor its Ctrl-C.
- stderr is always drained, also while the wire is paused; its end is kept.
- The wire is lost when the child has exited and its pipes are drained, or a
  second after the exit when a grandchild holds them open. The reason tells the
  exit status or signal and the last lines of stderr.
- Nobody is left behind, nor a zombie (:mod:`~mcptwist.protocols.family`).

A child that closes its stdin or stdout can never answer again: it is stopped
as if that had been asked for.

``Popen`` rather than ``reactor.spawnProcess``, which forks when it is given a
directory and cannot make a session: half a millisecond however large the daemon
is, against 1 to 26.

MCP 2026-07-28, *stdio*: framing, stderr, and *Shutdown*: stdin is closed,
then SIGTERM, then SIGKILL.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from zope.interface import implementer

from mcptwist.errors import ClientError, ServerExited, ServerStartFailed
from mcptwist.interfaces import IConnector, ITransferable, IWire, IWireReader
from mcptwist.messages import Message, decode, pieces
from mcptwist.moment import Moment
from mcptwist.protocols.exitwatch import ExitWatch
from mcptwist.protocols.family import Exit, Family, household
from mcptwist.protocols.lines import LINE_LIMIT, LineSplitter, LineTooLong
from mcptwist.protocols.notstarted import why_not_started
from mcptwist.protocols.openfiles import open_files
from mcptwist.protocols.pipes import IPipeReactor, PipeReader, PipeWriter
from mcptwist.protocols.processes import bearing, new_mark
from mcptwist.protocols.tail import STDERR_BYTES, STDERR_LINES, WIDEST, Blotter, Tail

if TYPE_CHECKING:
    from twisted.python.failure import Failure

DRAIN = 1.0
COMPLAIN_EVERY = 10.0
_POLL_EVERY = 0.05
_EXCERPT = 120


class ChildLimits(NamedTuple):
    """The bounds of one child.

    :ivar line_limit: bytes a line of stdout may have; a longer one is dropped.
    :ivar stderr_lines: lines of stderr that are kept.
    :ivar stderr_bytes: bytes of stderr that are kept.
    :ivar stop_grace: seconds to exit by itself once its stdin is closed.
    :ivar kill_grace: seconds to exit after SIGTERM.
    """

    line_limit: int = LINE_LIMIT
    stderr_lines: int = STDERR_LINES
    stderr_bytes: int = STDERR_BYTES
    stop_grace: float = 2.0
    kill_grace: float = 2.0


@implementer(IConnector)
class Launcher:
    """A way to a server that is started as a child process, as often as it is wanted.

    :param command: the program and its arguments; no shell is asked.
    :param env: the child's whole environment. Its ``PATH`` is searched for the program.
    :param cwd: the directory to start in, ``None`` for the daemon's.
    :param reactor: watches the pipes and knows the time.
    :param name: what the server is called, for people and logs.
    :param limits: the bounds of each child.
    :param secrets: values that are blotted out of whatever is shown of the child.
    :param watcher: told each line of stderr as it comes, with the pid; secrets blotted out.
    """

    log = Logger()

    def __init__(
        self,
        command: Sequence[str],
        env: Mapping[str, str],
        cwd: str | None = None,
        *,
        reactor: IPipeReactor,
        name: str = "",
        limits: ChildLimits = ChildLimits(),  # noqa: B008 (immutable)
        secrets: Collection[str] = (),
        watcher: Callable[[int, str], None] | None = None,
    ) -> None:
        self._command = list(command)
        self._env = dict(env)
        self._cwd = cwd
        self._reactor = reactor
        self._name = name or os.path.basename(self._command[0])
        self._limits = limits
        self._blotter = Blotter(secrets)
        self._watcher = watcher
        self.description = self._shown(" ".join(map(self._shown, self._command)), 200)

    def connect(self, reader: IWireReader) -> Deferred[IWire]:
        """Start a child; see :class:`~mcptwist.interfaces.IConnector`."""
        household.prepare()
        mark = new_mark()
        try:
            with bearing(mark):
                process = self._start()
        except (OSError, ValueError) as problem:
            return fail(self._start_failed(problem))
        open_files.give_back(process.pid)
        self.log.debug("{server} started as pid {pid}", server=self._name, pid=process.pid)
        family = Family(process, mark)
        wire = ChildWire(
            process,
            family,
            reader,
            self._reactor,
            name=self._name,
            limits=self._limits,
            blotter=self._blotter,
            watcher=self._watcher,
        )
        return succeed(wire)

    def _start(self) -> subprocess.Popen[bytes]:
        # The command is the user's own, and it is started without a shell.
        return subprocess.Popen(  # noqa: S603
            self._command,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self._env,
            cwd=self._cwd,
            start_new_session=True,
        )

    def _start_failed(self, problem: OSError | ValueError) -> ServerStartFailed:
        command = self._command[0]
        why = why_not_started(problem, command, self._cwd, self._env.get("PATH", os.defpath))
        return ServerStartFailed(self._shown(why), command=self._shown(command))

    def _shown(self, text: str, width: int = WIDEST) -> str:
        return self._blotter.clean(text.encode(errors="replace"), width)


@implementer(ITransferable)
class ChildWire:
    """The wire to one child, just started.

    :param process: whose pipes are read and written, and nothing else.
    :param family: the child and its descendants, which are seen to their end.
    :ivar pid: the child's process id.
    :ivar malformed: how many lines of stdout held no message.
    :ivar dropped: how many were too long.
    """

    log = Logger()

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        family: Family,
        reader: IWireReader,
        reactor: IPipeReactor,
        *,
        name: str,
        limits: ChildLimits,
        blotter: Blotter,
        watcher: Callable[[int, str], None] | None = None,
    ) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self.pid = process.pid
        self.description = f"{name} (pid {process.pid})"
        self.malformed = 0
        self.dropped = 0
        self._reader = reader
        self._reactor = reactor
        self._limits = limits
        self._blotter = blotter
        self._family = family
        self._paused = False
        self._deaf = False
        self._asked = False
        self._forced = False
        self._cause = ""
        self._next_complaint = 0.0
        self._resumed = Moment(reactor)
        self._ending = Moment(reactor)
        self._exited = Moment(reactor)
        self._drained = Moment(reactor)
        self._gone = Moment(reactor)
        self._splitter = LineSplitter(self._line, self._too_long, limits.line_limit)
        self._tail = Tail(blotter, limits.stderr_lines, limits.stderr_bytes, self._watch(watcher))
        self._stdin = PipeWriter(reactor, process.stdin, self._stdin_broken)
        self._stdout = PipeReader(reactor, process.stdout, self._read, self._stdout_ended)
        self._stderr = PipeReader(reactor, process.stderr, self._tail.feed, self._stderr_ended)
        self._exit_watch = ExitWatch(reactor, self._family, self._exit_seen)
        self._stdout.start()
        self._stderr.start()
        self._exit_watch.start()
        Deferred.fromCoroutine(self._life()).addErrback(self._life_failed)

    @property
    def backlog(self) -> int:
        """Bytes that the child has not taken yet."""
        return self._stdin.backlog

    def send(self, message: Message) -> None:
        """Write *message* as one line."""
        parts = pieces(message)
        parts.append(b"\n")
        self._stdin.write(parts)

    def hand_over(self, reader: IWireReader) -> None:
        """Tell *reader* from now on what the child says."""
        self._reader = reader

    def pause(self) -> None:
        """Stop reading stdout; the child is held up when its pipe is full."""
        if not self._paused and not self._asked:
            self._paused = True
            self._resumed = Moment(self._reactor)
            self._stdout.stop()

    def resume(self) -> None:
        """Read stdout again."""
        if self._paused:
            self._paused = False
            self._stdout.start()
            self._resumed.happen()

    def close(self) -> Deferred[None]:
        """Stop the child and all that descends from it."""
        if not self._asked:
            self._asked = True
            # What nobody wants to hear must still be read, or the child could not exit.
            self._deaf = self._paused
            self.resume()
            self._ending.happen()
        return self._gone.within().addCallback(lambda _: None)

    def stderr_tail(self) -> list[str]:
        """The last lines of stderr, oldest first, secrets blotted out."""
        return self._tail.lines()

    # -- what the child does -------------------------------------------------------------

    def _read(self, data: bytes) -> None:
        self._stdin.eager = True
        self._splitter.feed(data)

    def _line(self, line: bytes) -> None:
        if self._deaf:
            return
        try:
            message = decode(line)
        except ClientError as problem:
            if line.strip():
                self.malformed += 1
                self._complain(problem, line)
            return
        self._tell(self._reader.received, message)

    def _tell(self, told: Callable[..., None], *what: object) -> None:
        """Tell somebody, whose mistakes must not keep the pipes from being read."""
        try:
            told(*what)
        except Exception:
            self.log.failure("what {child} said was not taken", child=self.description)

    def _too_long(self, problem: LineTooLong) -> None:
        self.dropped += 1
        self._complain(problem, b"")

    def _complain(self, problem: ClientError, line: bytes) -> None:
        now = self._reactor.seconds()
        if now >= self._next_complaint:
            self._next_complaint = now + COMPLAIN_EVERY
            self.log.warn(
                "{child} wrote to stdout what is no message ({count} so far): {problem} {excerpt}",
                child=self.description,
                count=self.malformed + self.dropped,
                problem=problem.message,
                excerpt=self._blotter.clean(line, _EXCERPT),
            )
        if not self._deaf:
            self._tell(self._reader.malformed, problem)

    def _watch(self, watcher: Callable[[int, str], None] | None) -> Callable[[str], None] | None:
        if watcher is None:
            return None
        return lambda line: self._tell(watcher, self.pid, line)

    def _stdout_ended(self) -> None:
        self._splitter.end()
        self._pipe_ended("stdout")

    def _stderr_ended(self) -> None:
        self._tail.end()
        if self._stdout.closed:
            self._drained.happen()

    def _pipe_ended(self, name: str) -> None:
        self._cause = self._cause or f"closed its {name}"
        self._ending.happen()
        if self._stdout.closed and self._stderr.closed:
            self._drained.happen()

    def _stdin_broken(self) -> None:
        self._pipe_ended("stdin")

    def _exit_seen(self) -> None:
        self._exited.happen()
        self._ending.happen()
        if self._gone.happened:  # it was given up
            self._family.reap()

    # -- its life ------------------------------------------------------------------------

    async def _life(self) -> None:
        await self._ending.within()
        if self._family.exit() is None:
            await self._stop()
        await self._drain()
        self._tell(self._reader.lost, self._reason(self._family.exit()))
        await self._sweep()
        self._family.reap()
        if self._family.exit() is not None:
            self._exit_watch.stop()
        self._gone.happen()

    async def _stop(self) -> None:
        self._stdin.finish()
        if await self._exited.within(self._limits.stop_grace):
            return
        self._forced = True
        self._stdin.close()
        self._family.signal(signal.SIGTERM)
        if await self._exited.within(self._limits.kill_grace):
            return
        self._family.signal(signal.SIGKILL)
        if not await self._exited.within(self._limits.kill_grace):
            self.log.error("{child} does not end, not even by SIGKILL", child=self.description)

    async def _drain(self) -> None:
        self._stdin.close()
        # What it said last waits in the pipe for a paused reader as long as that takes.
        while self._paused:
            await self._resumed.within()
        await self._drained.within(DRAIN)
        self._stdout.close()
        self._stderr.close()

    async def _sweep(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            if not self._family.anyone_left():
                return
            self._family.signal(number)
            await self._emptied(self._limits.kill_grace)
        if self._family.anyone_left():
            self.log.error("{child} left processes that do not end", child=self.description)

    async def _emptied(self, seconds: float) -> None:
        until = self._reactor.seconds() + seconds
        while self._family.anyone_left() and self._reactor.seconds() < until:
            await Moment(self._reactor).within(_POLL_EVERY)

    def _reason(self, exit: Exit | None) -> ServerExited:
        stderr = self._tail.lines()
        status, killed_by = exit or (None, None)
        told = "does not end" if exit is None else str(exit)
        if self._asked:
            told = f"was stopped and {told}"
        elif self._forced:
            told = f"{self._cause} and {told}"
        elif killed_by == "SIGKILL":
            told += ", perhaps by the system for want of memory"
        last = self._tail.last()
        return ServerExited(
            f"{self.description} {told}" + (f"; it last said: {last[:200]}" if last else ""),
            exitStatus=status,
            signal=killed_by,
            stderr=stderr,
            pid=self.pid,
        )

    def _life_failed(self, failure: Failure) -> None:
        self.log.failure("{child} was not seen to its end", failure, child=self.description)
        self._family.signal(signal.SIGKILL)
        self._family.reap()
        self._gone.happen()
