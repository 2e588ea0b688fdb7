"""The console: a stack of views, the keys that steer them, and the lines around them."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcptwist.console import keymap
from mcptwist.console.bans import BansScreen
from mcptwist.console.connections import ConnectionsScreen, SessionsScreen
from mcptwist.console.errands import Errands
from mcptwist.console.feed import Connect, Feed
from mcptwist.console.help import help_lines
from mcptwist.console.keymap import BadCommand, Command
from mcptwist.console.keys import KeysScreen
from mcptwist.console.log import AuditScreen, LogScreen
from mcptwist.console.logins import LoginsScreen
from mcptwist.console.metrics import MetricsScreen
from mcptwist.console.model import CONNECTING, LOST, World, clean
from mcptwist.console.palette import UNICODE, Signs
from mcptwist.console.prompt import Prompt
from mcptwist.console.screen import CannotDo, Screen, TableScreen, TextScreen
from mcptwist.console.servers import ServersScreen
from mcptwist.console.tools import ToolsScreen
from mcptwist.console.traffic import TrafficScreen
from mcptwist.console.window import Window
from mcptwist.watching.sieve import BadFilter

MAIN: Mapping[str, Callable[[Console], Screen]] = {
    keymap.SERVERS: ServersScreen,
    keymap.CONNECTIONS: ConnectionsScreen,
    keymap.SESSIONS: SessionsScreen,
    keymap.BANS: BansScreen,
    keymap.TRAFFIC: TrafficScreen,
    keymap.TOOLS: ToolsScreen,
    keymap.KEYS: KeysScreen,
    keymap.LOGINS: LoginsScreen,
    keymap.LOG: LogScreen,
    keymap.AUDIT: AuditScreen,
    keymap.METRICS: MetricsScreen,
}
"""The views at the bottom of the stack, each kept as it was left."""

TOLD_FOR = 6.0
"""Seconds that a message stays in its line."""

_REDRAW = 0.05


class Console(Errands):
    """All of it.

    :param connect: makes a client of the daemon's own server.
    :param where: the daemon's address, for people.
    :param redraw: has the terminal drawn anew.
    :param left: called when the person wants to leave.
    :param read_only: whether nothing of the daemon may be changed.
    :param interval: seconds between two pictures of it.
    :ivar top: the widget that is all of the screen.
    """

    log = Logger()

    def __init__(
        self,
        connect: Connect,
        clock: IReactorTime,
        where: str,
        *,
        redraw: Callable[[], None] = lambda: None,
        left: Callable[[], None] = lambda: None,
        signs: Signs = UNICODE,
        read_only: bool = False,
        interval: float = 1.0,
    ) -> None:
        self.world = World(where)
        self.signs = signs
        self.read_only = read_only
        self.feed = Feed(connect, clock, self.world, self.changed, interval)
        self.feed.told = lambda why: self.tell(why, "bad")
        self.prompt: Prompt | None = None
        self.message: tuple[str, str] | None = None
        self._clock = clock
        self._redraw = redraw
        self._left = left
        self._draw_call: IDelayedCall | None = None
        self._message_call: IDelayedCall | None = None
        self._commands: list[str] = []
        self._filters: list[str] = []
        self._mains: dict[str, Screen] = {}
        self._times = 0
        self._state = CONNECTING
        self.stack: list[Screen] = [self._main(keymap.SERVERS)]
        self.top = Window(self)

    def seconds(self) -> float:
        """The time by the clock that all goes by."""
        return self._clock.seconds()

    def start(self) -> None:
        """Connect."""
        self.feed.start()
        self._look()

    def stop(self) -> Any:
        """Leave the daemon."""
        for call in (self._draw_call, self._message_call):
            if call is not None and call.active():
                call.cancel()
        return self.feed.stop()

    # --- the stack --------------------------------------------------------------------

    @property
    def screen(self) -> Screen:
        """The view that is seen."""
        return self.stack[-1]

    def push(self, screen: Screen) -> None:
        """See another view, and come back later."""
        self.stack.append(screen)
        self._look()

    def pop(self) -> None:
        """Go back to the view before."""
        if len(self.stack) > 1:
            self.stack.pop().left()
            self._look()

    def show(self, name: str) -> None:
        """See one of the main views."""
        self.stack = [self._main(name)]
        self._look()

    def _main(self, name: str) -> Screen:
        if name not in self._mains:
            self._mains[name] = MAIN[name](self)
        return self._mains[name]

    def _look(self) -> None:
        self.feed.want(set().union(*(screen.wants() for screen in self.stack)))
        self.screen.entered()
        self.changed()

    # --- drawing ----------------------------------------------------------------------

    def changed(self) -> None:
        """Have it drawn anew soon; many changes are drawn once."""
        if self.world.link.times > self._times:
            self._times = self.world.link.times
            self._connected_again()
        if self.world.link.state == LOST != self._state:
            self.message = None  # what was said before matters less than why it is lost
        self._state = self.world.link.state
        if self._draw_call is None:
            self._draw_call = self._clock.callLater(_REDRAW, self._draw)

    def _draw(self) -> None:
        self._draw_call = None
        self._redraw()

    def _connected_again(self) -> None:
        self.feed.want(set().union(*(screen.wants() for screen in self.stack)))
        if self._times > 1:
            self.tell("connected again")
        if isinstance(self.screen, ToolsScreen):
            self.screen.entered()

    def tell(self, text: str, colour: str = "good") -> None:
        """Say something for a while."""
        self.message = (colour, clean(text))
        if self._message_call is not None and self._message_call.active():
            self._message_call.cancel()
        self._message_call = self._clock.callLater(TOLD_FOR, self._untell)
        self.changed()

    def _untell(self) -> None:
        self.message = None
        self.changed()

    # --- commands ---------------------------------------------------------------------

    def key(self, key: str, width: int = 80) -> None:
        """A key was pressed."""
        if self.prompt is not None:
            self._typed(self.prompt, key, width)
            return
        binding = keymap.bound(self.screen.place, key)
        if binding is not None:
            self.execute(binding.line)
        elif isinstance(self.screen, TableScreen) and key in self.screen.table.letters:
            self.execute(f"sort {self.screen.table.letters[key].name}")
        elif key == "ctrl c":
            self.execute("quit")

    def _typed(self, prompt: Prompt, key: str, width: int) -> None:
        outcome = prompt.key(key, width)
        if outcome == "go":
            self.prompt = None
            self._try(prompt.taken, prompt.text)
        elif outcome == "leave":
            self.prompt = None
        elif outcome:
            self.tell(outcome, "quiet")
        self.changed()

    def execute(self, line: str) -> None:
        """Do what a line says, or ask first, or say why not."""
        self._try(self._execute, line)

    def _try(self, function: Callable[[str], None], text: str) -> None:
        try:
            function(text)
        except (BadCommand, BadFilter, CannotDo) as problem:
            self.tell(str(problem), "bad")
        except Exception:
            self.log.failure("the console broke at {text}", text=text)
            self.tell(f"the console failed: {Failure().getErrorMessage()}", "bad")
        self.changed()

    def _execute(self, line: str) -> None:
        if not line.strip():
            return
        command, words = keymap.parse(line)
        screen = self.screen
        screen.fresh()
        if command.places and screen.place not in command.places:
            raise CannotDo(f"{command.name} means nothing here; it does in {_or(command.places)}")
        if command.changes and self.read_only:
            raise CannotDo("this console only looks (--read-only)")
        method = screen.method(command.name) or getattr(self, f"_do_{command.name}", None)
        if command.name in MAIN:
            self.show(command.name)
        elif method is None:
            raise CannotDo(f"{command.name} means nothing here")
        elif not _takes(method, words):
            takes = f"{command.name} {command.takes}".strip()
            raise CannotDo(f"that cannot be understood: {line.strip()}; it is {takes}")
        elif command.asks:
            self._confirm(command, words, lambda: self._perform(screen, command, method, words))
        else:
            self._perform(screen, command, method, words)

    def _perform(
        self, screen: Screen, command: Command, method: Callable[..., Any], words: Sequence[str]
    ) -> None:
        used = method(*words)
        if command.name == "back" and not used:
            self.pop()
        if command.changes and isinstance(screen, TableScreen):
            screen.table.marks.clear()

    def _confirm(self, command: Command, words: Sequence[str], act: Callable[[], None]) -> None:
        screen = self.screen
        what = screen.what(command.name, words)
        if not what and "{what}" in command.asks:
            raise CannotDo("there is nothing here to do that to")
        needed = getattr(screen, "answer_to", lambda name: "")(command.name) or "y"
        question = command.asks.format(what=what)

        def answered(text: str) -> None:
            if text.strip().lower() in ({"y", "yes"} if needed == "y" else {needed}):
                act()
            else:
                self.tell("nothing was done", "quiet")

        hint = " [y/N] " if needed == "y" else " "
        self.prompt = Prompt(question + hint, answered)

    def prompt_for(self, caption: str, text: str, taken: Callable[[str], None]) -> None:
        """Have a line typed."""
        self.prompt = Prompt(caption, taken, text)

    # --- commands that mean the same everywhere ---------------------------------------

    def _do_quit(self) -> None:
        if len(self.stack) > 1:
            self.pop()
        else:
            self._left()

    def _do_help(self) -> None:
        if self.screen.place != keymap.HELP:
            screen = self.screen
            letters = screen.table.letters if isinstance(screen, TableScreen) else {}
            lines = help_lines(screen.place, letters)
            self.push(TextScreen(self, "help", lambda width: lines, keymap.HELP))

    def _do_command(self) -> None:
        self.prompt = Prompt(":", self._execute, "", self._commands, self._completions)

    def _completions(self, line: str) -> list[str]:
        return keymap.complete(line, self.screen.place, sorted(set(self.screen.words())))

    def _do_search(self) -> None:
        sieve = getattr(getattr(self.screen, "table", None), "sieve", None)
        filtering = getattr(self.screen, "do_filter", None)
        if filtering is None:
            raise CannotDo("there is nothing to filter here")
        text = sieve.text if sieve else ""
        self.prompt = Prompt("/", filtering, text, self._filters, self.screen.completions)

    def _do_interval(self, text: str) -> None:
        now = self.feed.interval
        try:
            wanted = {"/2": now / 2, "*2": now * 2}.get(text) or float(text)
        except ValueError:
            raise CannotDo(f"{text} is no number of seconds") from None
        self.feed.interval = min(60.0, max(0.2, wanted))
        self.tell(f"looking every {self.feed.interval:g} s")

    def _do_refresh(self) -> None:
        self.feed.look_soon()

    def _do_export(self, path: str) -> None:
        target = os.path.expanduser(path)
        lines = self.screen.text()
        try:
            with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write("\n".join(lines) + "\n")
        except OSError as problem:
            raise CannotDo(f"{target}: {problem.strerror}") from None
        self.tell(f"{len(lines)} lines are in {target}")

    def _do_level(self, level: str) -> None:
        self.act("set_log_level", {"level": level})

    def _do_reload(self) -> None:
        self.act("reload_configuration", {})

    def _do_lift(self, *hosts: str) -> None:
        if not hosts:
            raise CannotDo("lift HOST; :bans shows them")
        self.act("lift_ban", *({"host": host} for host in hosts))


def _takes(method: Callable[..., Any], words: Sequence[str]) -> bool:
    """Whether a command can be done with so many words."""
    try:
        inspect.signature(method).bind(*words)
    except TypeError:
        return False
    return True


def _or(words: Sequence[str]) -> str:
    return " or ".join(words)
