"""``twistd mcpd``: its options, and the service they make."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from twisted.application.service import IService, MultiService
from twisted.python import usage

from mcptwist import config as configuration
from mcptwist import logs
from mcptwist.auth.denials import CannotStart
from mcptwist.collecting import spare_what_stays
from mcptwist.configuration.commandline import load
from mcptwist.configuration.listening import is_socket
from mcptwist.daemon import CannotListen
from mcptwist.hangup import Hangup
from mcptwist.protocols.openfiles import open_files
from mcptwist.services import make_daemon
from mcptwist.stopping import Stopping


class Unusable(usage.UsageError):
    """The command line is as it should be; what is wrong is in the file that it names."""


class Options(usage.Options):
    """What may follow ``twistd mcpd``."""

    synopsis = "[--config FILE] [--listen ENDPOINT]…"
    longdesc = "Run MCP servers as one supervised daemon and serve them over HTTP."
    optParameters = [
        ["config", "c", None, "mcpServers JSON or TOML file; without one, the built-in server."],
    ]

    optFlags = [
        [
            "without-keys",
            None,
            "Let in whoever is on this machine, as auth = false does.",
        ],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["listen"] = []
        self.loaded: configuration.Loaded | None = None

    def opt_listen(self, endpoint: str) -> None:
        """Answer here, not where the file says: tcp:8808:interface=127.0.0.1, say. Repeatable."""
        self["listen"].append(endpoint)

    opt_l = opt_listen

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Called with the rest of the command line; twistd ends with a line on what is wrong there.

        :raises UsageError: what is wrong, where it was not twistd that called.
        """
        try:
            super().parseOptions(options)
        except usage.UsageError as problem:
            if not _is_twistd(getattr(self, "parent", None)):
                raise
            advice = "" if isinstance(problem, Unusable) else "\ntry 'twistd mcpd --help'"
            raise SystemExit(f"twistd mcpd: {problem}{advice}") from None

    def parseArgs(self, *words: str) -> None:
        """Called with what follows the options, which is nothing."""
        if words:
            raise usage.UsageError(f"{words[0]!r} is no option; a file is named with --config")

    def postOptions(self) -> None:
        """Called when all options are there: read the file."""
        loaded = load(self["config"], self["listen"])
        if loaded.config is None:
            raise Unusable(configuration.report(loaded).rstrip())
        self._refuse_silence(loaded, loaded.config)
        self.loaded = loaded
        twistd = getattr(self, "parent", None)
        if twistd is not None and _log_is_ours(twistd):
            _chosen.make = _logger(twistd, loaded.config.log)
            twistd["logger"] = f"{__name__}.chosen_log"

    def _refuse_silence(self, loaded: configuration.Loaded, config: configuration.Config) -> None:
        """Serving without keys has to be said; a file that says nothing may have been forgotten.

        :raises Unusable: nobody said it.
        """
        is_said = config.keyless or self["without-keys"] or self["config"] is None
        ports = [entry for entry in config.endpoints.values() if not is_socket(entry)]
        if config.auth is None and ports and not is_said:
            table, setting = loaded.table("auth"), loaded.setting("auth", "false")
            raise Unusable(
                f"{self['config']} has no {table}, and whoever is on this machine could come in "
                f"at {ports[0]}. If that is meant, say {setting} in the file, or --without-keys; "
                "if not, see the guide about keys."
            )


def _is_twistd(caller: object) -> bool:
    """Whether that ends with the whole help on wrong usage; ``twist`` and tests have other ways."""
    from twisted.application.app import ServerOptions

    return isinstance(caller, ServerOptions)


class _Chosen:
    """What the options made of the log; twistd asks for it later, by name."""

    make: Callable[[], Any]


_chosen = _Chosen()


def chosen_log() -> Any:
    """Called by twistd: the log observer that the configuration describes."""
    return _chosen.make()


def _log_is_ours(twistd: Any) -> bool:
    """Whether twistd was told nothing of its own about the form of the log.

    A daemon that is to log to standard output is left to twistd, which refuses that.
    """
    background = not twistd.get("nodaemon") and twistd.get("logfile") == "-"
    return not (twistd.get("logger") or twistd.get("syslog") or background)


def _logger(twistd: Any, log: configuration.Log) -> Callable[[], Any]:
    """Makes the observer of the ``[log]`` section, which writes where twistd was told to."""

    def make() -> Any:
        path = twistd.get("logfile") or ""
        try:
            file = logs.log_file(path, bool(twistd.get("nodaemon")))
        except OSError as problem:
            where = os.path.abspath(path or logs.LOG_FILE)
            raise SystemExit(
                f"mcptwist: the log {where} cannot be written: {problem.strerror}; give another "
                "with twistd --logfile FILE, or start it where it may write"
            ) from None
        if hasattr(file, "rotate") and not signal.getsignal(signal.SIGUSR1):
            signal.signal(signal.SIGUSR1, lambda *_: _rotate(file))
        return logs.observer(log.level, log.format, file)

    return make


def _rotate(file: Any) -> None:
    from twisted.internet import reactor

    running: Any = reactor
    running.callFromThread(file.rotate)


def makeService(options: Options) -> IService:
    """Called by twistd: the daemon that the options describe."""
    from twisted.internet import reactor

    assert options.loaded is not None
    assert options.loaded.config is not None
    _say_mistakes(options.loaded)
    running: Any = reactor
    running.callWhenRunning(Stopping(running).heed)
    running.callWhenRunning(spare_what_stays)
    running.callWhenRunning(open_files.suffice, options.loaded.config.limits.connections)
    try:
        service: Any = make_daemon(options.loaded.config, running)
    except CannotStart as problem:
        raise SystemExit(f"mcptwist: {problem}") from None
    if options["config"] is not None:
        service.reread = partial(load, options["config"], options["listen"])
    running.callWhenRunning(Hangup(running, service.reload).heed)
    twistd = getattr(options, "parent", None)
    if twistd is not None and twistd.get("nodaemon"):
        return InForeground(service, twistd.get("pidfile"))
    return service  # type: ignore[no-any-return]


class InForeground(MultiService):
    """A daemon that ends with a line, not with a traceback, where it cannot listen.

    In the background it is twistd that tells the terminal why, for which it has to hear of it.

    :param pidfile: what twistd has written already, if anything.
    """

    def __init__(self, daemon: IService, pidfile: str | None) -> None:
        super().__init__()
        daemon.setServiceParent(self)
        self._pidfile = pidfile

    def privilegedStartService(self) -> None:
        """Called before privileges are shed."""
        try:
            super().privilegedStartService()
        except CannotListen as problem:
            if self._pidfile:
                with suppress(OSError):
                    os.unlink(self._pidfile)
            raise SystemExit(f"mcptwist: {problem}") from None


def _say_mistakes(loaded: configuration.Loaded) -> None:
    from twisted.logger import Logger

    log = Logger()
    for mistake in loaded.mistakes:
        log.error("{mistake}", mistake=str(mistake))
