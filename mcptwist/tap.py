"""``twistd mcpd``: its options, and the service they make."""

from __future__ import annotations

import os
from typing import Any

from twisted.application.service import IService
from twisted.python import usage

from mcptwist import config as configuration
from mcptwist.collecting import spare_what_stays
from mcptwist.services import make_daemon
from mcptwist.stopping import Stopping


class Options(usage.Options):
    """What may follow ``twistd mcpd``."""

    synopsis = "[--config FILE] [--listen ENDPOINT]…"
    longdesc = "Run MCP servers as one supervised daemon and serve them over HTTP."
    optParameters = [
        ["config", "c", None, "mcpServers JSON or TOML file; without one, the built-in server."],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["listen"] = []
        self.loaded: configuration.Loaded | None = None

    def opt_listen(self, endpoint: str) -> None:
        """A Twisted endpoint to answer on, such as tcp:8808:interface=127.0.0.1; may be given
        several times and replaces those of the file."""
        self["listen"].append(endpoint)

    opt_l = opt_listen

    def postOptions(self) -> None:
        """Called when all options are there: read the file."""
        loaded = load(self["config"], self["listen"])
        if loaded.config is None:
            raise usage.UsageError(configuration.report(loaded))
        self.loaded = loaded


def load(path: str | None, listen: list[str]) -> configuration.Loaded:
    """The configuration of the command line."""
    if path is None:
        loaded = configuration.Loaded("the built-in default", configuration.default_config())
    else:
        loaded = configuration.read(path, os.environ)
    return configuration.override_listen(loaded, listen)


def makeService(options: Options) -> IService:
    """Called by twistd: the daemon that the options describe."""
    from twisted.internet import reactor

    assert options.loaded is not None
    assert options.loaded.config is not None
    _say_mistakes(options.loaded)
    running: Any = reactor
    running.callWhenRunning(Stopping(running).heed)
    running.callWhenRunning(spare_what_stays)
    service: Any = make_daemon(options.loaded.config, running)
    return service  # type: ignore[no-any-return]


def _say_mistakes(loaded: configuration.Loaded) -> None:
    from twisted.logger import Logger

    log = Logger()
    for mistake in loaded.mistakes:
        log.error("{mistake}", mistake=str(mistake))
