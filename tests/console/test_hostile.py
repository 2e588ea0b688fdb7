"""What comes from servers, clients and files cannot steer the terminal, whatever it is."""

from __future__ import annotations

import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from urwid.testing import render_text

from mcptwist.client import Client
from mcptwist.console.app import Console
from mcptwist.console.model import Offer
from mcptwist.watching.events import Events
from mcptwist.watching.journal import Line
from mcptwist.watching.reports import KeyStatus, LoginStatus, WaitingStatus
from mcptwist.watching.status import (
    ConnectionStatus,
    Gauge,
    Outcome,
    ProcessStatus,
    ServerStatus,
    SessionStatus,
    Status,
    ToolStatus,
)
from mcptwist.watching.traffic import Frame

SIZE = (140, 30)
TURNING = ("LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI")
NASTY = "\x1b[2J\x1b]0;owned\x07\x9b31m\r\n\x00\u202e\u2028 日本 e\u0301 🧨"


def nobody() -> Client:
    raise AssertionError("nobody is asked")


def console_of(text: str) -> Console:
    """A console that knows of nothing but that text."""
    console = Console(nobody, Clock(), text)  # type: ignore[arg-type]
    world = console.world
    server = ServerStatus(
        name=text,
        state="failing",
        scope=text,
        reason=text,
        processes=(
            ProcessStatus(state="up", era="legacy", wire=text, reason=text, stderr=(text,)),
        ),
        tools=(ToolStatus(name=text, calls=Outcome()),),
    )
    world.connected()
    world.saw(Status(version=text, servers=(server,), gauges={"x": Gauge(used=1)}))
    world.saw_server(server)
    world.saw_connections(
        [ConnectionStatus(id="c1", wire="h2", peer=text, client=text, principal=text)], 1, 0.0
    )
    world.saw_sessions([SessionStatus(id="s1", wire=text, server=text, client=text)], 1)
    waiting = WaitingStatus(text, text, text, text, text, (text,), text, 1.0)
    world.saw_keys([KeyStatus(text, text, "good", (text,))], [waiting])
    login = LoginStatus(text, text, text, text, text, text, (text,), 1.0, 2.0, None, text)
    world.saw_logins([login], 1)
    world.saw_offers(text, [offer_of(text)])
    request = Frame(1, 0.0, "request", text, text, text, text, text, 10, text=text)
    answer = Frame(2, 0.0, "answer", text, text, text, of=1, status="ok", text=text)
    said = Frame(3, 0.0, "notification", text, text, text=text)
    world.heard(Events(frames=(request, answer, said), log=(Line(1, 0.0, "warn", text, text),)))
    return console


def offer_of(text: str) -> Offer:
    schema = {"type": "object", "properties": {text: {"type": "string", "description": text}}}
    return Offer(text, "tool", text, text, {"inputSchema": schema, "name": text})


class HostileTests(SynchronousTestCase):
    """Every view, with one text for everything."""

    def check(self, console: Console) -> None:
        for line in render_text(console.top, SIZE, focus=True):
            bad = [s for s in line if unicodedata.category(s) in ("Cc", "Cs", "Zl", "Zp")]
            bad += [s for s in line if unicodedata.bidirectional(s) in TURNING]
            self.assertEqual(bad, [])

    def walk(self, text: str) -> None:
        console = console_of(text)
        console.tell(text)
        for view in ("1", "2", "tab", "3", "4", "5", "6", "7"):
            console.key(view)
            self.check(console)
            console.key("enter")
            self.check(console)
            for key in ("r", "c", "?"):
                console.key(key)
                self.check(console)
                console.key("enter")
                self.check(console)
                console.key("esc")
            console.show("servers")

    def check_completed(self, console: Console, *keys: str) -> None:
        for key in (*keys, "tab", "tab"):
            console.key(key)
            self.check(console)
        self.assertIsNotNone(console.prompt)
        console.key("esc")

    def test_completions(self) -> None:
        """What is completed for who types is names of others, too."""
        console = console_of(NASTY)
        console.show("tools")
        console.key("c")
        self.check_completed(console, ":", *"set ")
        console.show("traffic")
        self.check_completed(console, "/", *"tool:")
        console.show("servers")
        self.check_completed(console, ":", *"stop ")

    def test_nasty(self) -> None:
        """Escape sequences, controls, what turns text around."""
        self.walk(NASTY)

    @settings(deadline=None, max_examples=15)
    @given(st.text(max_size=30))
    def test_any(self, text: str) -> None:
        """Any text at all."""
        self.walk(text)
