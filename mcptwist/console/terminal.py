"""The console on a real terminal: urwid on the running reactor."""

from __future__ import annotations

from typing import Any

import msgspec
import urwid
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger, globalLogBeginner

from mcptwist.console.app import Console
from mcptwist.console.feed import Connect
from mcptwist.console.palette import UNICODE, Signs, palette

_SOON = 0.5


class Look(msgspec.Struct, frozen=True):
    """How the console looks, and what it may do.

    :ivar colours: whether it uses colours.
    :ivar read_only: whether nothing may be changed.
    :ivar interval: seconds between two looks at the daemon.
    """

    signs: Signs = UNICODE
    colours: bool = True
    read_only: bool = False
    interval: float = 1.0


class Terminal:
    """One console on one terminal.

    :param screen: the terminal, as urwid knows it; by default that of the process.
    :ivar loop: urwid's.
    """

    log = Logger()

    def __init__(
        self, connect: Connect, reactor: Any, where: str, look: Look, screen: Any = None
    ) -> None:
        clock: IReactorTime = reactor
        self.console = Console(
            connect,
            clock,
            where,
            redraw=self._draw,
            left=self._leave,
            signs=look.signs,
            read_only=look.read_only,
            interval=look.interval,
        )
        self._reactor = reactor
        self.loop = urwid.MainLoop(
            self.console.top,
            palette(look.colours),
            event_loop=urwid.TwistedEventLoop(reactor),
            handle_mouse=True,
            screen=screen,
        )
        self._leaving = False

    def run(self) -> int:
        """Until the person leaves, or the terminal goes away."""
        # Whatever is logged would be written over the screen.
        globalLogBeginner.beginLoggingTo([], redirectStandardIO=False, discardBuffer=True)
        self._reactor.callWhenRunning(self.console.start)
        try:
            self.loop.run()
        except KeyboardInterrupt:
            pass
        return 0

    def _draw(self) -> None:
        """Nothing draws itself but after keys; before the screen is there, it cannot be drawn."""
        if self.loop.screen.started:
            self.loop.draw_screen()

    def _leave(self) -> None:
        if self._leaving:
            return
        self._leaving = True
        leaving = self.console.stop()
        leaving.addTimeout(_SOON, self._reactor)
        leaving.addBoth(lambda _: self._reactor.callLater(0, self._stop))

    def _stop(self) -> None:
        self.loop.stop()
        if self._reactor.running:
            self._reactor.stop()


def open_console(connect: Connect, reactor: Any, where: str, look: Look) -> int:
    """Open a console and stay in it.

    :return: the exit status.
    """
    return Terminal(connect, reactor, where, look).run()
