"""What passes between the daemon and its servers, live."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from mcptwist.console import keymap
from mcptwist.console.following import FollowingScreen
from mcptwist.console.gist import gist
from mcptwist.console.model import Message, clean
from mcptwist.console.screen import CannotDo, TextScreen
from mcptwist.console.tables import Column, Markup, Table
from mcptwist.console.widgets import json_lines
from mcptwist.watching.figures import octets, span
from mcptwist.watching.traffic import FIELDS, REQUEST, Frame

if TYPE_CHECKING:
    from mcptwist.console.app import Console

STATUS_COLOURS = {"ok": "good", "failed": "busy", "error": "bad", "open": "busy"}


class TrafficScreen(FollowingScreen):
    """Messages, a request and its answer on one line."""

    place = title = keymap.TRAFFIC

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        columns = [
            Column("number", "NO", 6, lambda m: m.frame.number, lambda m: str(m.frame.number),
                   right=True, falls=True),
            Column("time", "TIME", 8, lambda m: m.frame.time, lambda m: _clock(m.frame.time)),
            Column("server", "SERVER", 12, lambda m: m.frame.server,
                   lambda m: clean(m.frame.server)),
            Column("client", "CLIENT", 16, lambda m: m.frame.client,
                   lambda m: clean(m.frame.client), from_width=130),
            Column("method", "METHOD", 18, lambda m: m.frame.method,
                   lambda m: clean(_method(m.frame))),
            Column("tool", "TOOL", 14, lambda m: m.frame.tool, lambda m: clean(m.frame.tool)),
            Column("status", "STATUS", 9, lambda m: m.status, lambda m: m.status, _colour),
            Column("latency", "TOOK", 6, _seconds, lambda m: span(_seconds(m)), right=True,
                   falls=True),
            Column("bytes", "SIZE", 6, _size, lambda m: octets(_size(m)), right=True, falls=True,
                   from_width=90),
            Column("what", "MESSAGE", 0, lambda m: m.frame.text,
                   lambda m: clean(gist(m, self.signs.to))),
        ]  # fmt: skip
        self.table = Table(
            columns,
            lambda m: m.key,
            fields=Message.fields,
            names=(*FIELDS, "text"),
            settled=lambda m: m.is_settled,
        )

    def rows(self) -> Sequence[Any]:
        """Those that were heard."""
        return list(self.world.messages.values())

    def empty(self) -> str:
        """Nothing has passed yet."""
        return "nothing has passed since this view was opened"

    def wants(self) -> set[str]:
        """The traffic, as far as the filter lets it through."""
        return {"traffic"}

    def badge(self) -> str:
        """Whether it stands still, and what was missed."""
        parts = [super().badge()]
        if self.world.paused:
            parts.append(f"PAUSED, {self.world.held} came since")
        if self.world.missed:
            parts.append(f"{self.world.missed} missed")
        return "  ".join(part for part in parts if part)

    def hint(self) -> str:
        """What it is about, for which its column is too narrow."""
        return "" if self.table.row is None else gist(self.table.row, self.signs.to)

    def words(self) -> Iterable[str]:
        """The columns."""
        return [column.name for column in self.table.columns]

    def what(self, command: str, words: Sequence[str]) -> str:
        """The call."""
        return _call(self._meant(words)) if command == "replay" else super().what(command, words)

    def _meant(self, words: Sequence[str]) -> Message:
        row: Message | None = self.table.row
        if words:
            number = int(words[0]) if words[0].isdecimal() else 0
            row = self.world.messages.get((self.world.link.times, number))
        if row is None:
            raise CannotDo("there is no such message")
        return row

    def do_open(self) -> None:
        if self.table.row is not None:
            self.console.push(MessageScreen(self.console, self.table.row))

    def do_pause(self) -> None:
        self.world.pause(not self.world.paused)

    def do_clear(self) -> None:
        self.world.forget_messages()

    def do_replay(self, *words: str) -> None:
        replay(self.console, self._meant(words))

    def do_filter(self, text: str = "") -> None:
        super().do_filter(text)
        self.console.filter_traffic(text)

    def text(self) -> list[str]:
        """The messages that are shown, as JSON lines."""
        self.fresh()
        return [_line(message) for message in self.table.shown()]


class MessageScreen(TextScreen):
    """One message, or a request and its answer."""

    def __init__(self, console: Console, message: Message) -> None:
        super().__init__(console, f"message {message.frame.number}", place=keymap.MESSAGE)
        self.message = message
        self._whole: dict[int, str] = {}
        for frame in (message.frame, message.answer):
            if frame is not None and not is_whole(frame) and message.run == self.world.link.times:
                console.fetch_frame(frame.number, self._came)

    def _came(self, number: int, text: str) -> None:
        self._whole[number] = text
        self.world.changed()

    def what(self, command: str, words: Sequence[str]) -> str:
        """The call."""
        return _call(self.message)

    def do_replay(self, *words: str) -> None:
        replay(self.console, self.message)

    def lines(self, width: int) -> Sequence[Markup]:
        """When, who, what, and the JSON of both."""
        frame, answer = self.message.frame, self.message.answer
        lines: list[Markup] = [
            [("head", "Server    "), clean(frame.server)],
            [("head", "Client    "), clean(frame.client or "-")],
            [("head", "Method    "), clean(f"{frame.method} {frame.tool}".strip())],
            [("head", "At        "), _moment(frame.time)],
            "",
            ("head", f"{frame.kind.capitalize()} {frame.id}".strip()),
            *self._json(frame),
        ]
        if answer is not None:
            colour = STATUS_COLOURS.get(answer.status, "bad")
            took = f" after {span(answer.seconds)}"
            lines += ["", [("head", "Answer "), (colour, answer.status), took], *self._json(answer)]
        elif frame.kind == REQUEST:
            lines += ["", ("busy", "not answered yet")]
        return lines

    def _json(self, frame: Frame) -> list[Markup]:
        text = self._whole.get(frame.number, frame.text)
        lines = json_lines(text)
        if frame.number not in self._whole and not is_whole(frame):
            lines.append(("quiet", f"(the first {octets(len(text))} of {octets(frame.size)})"))
        return lines


def replay(console: Console, message: Message) -> None:
    """Make that call again and show its answer.

    What is here whole is asked anew; what is longer the daemon has, for a while.
    """
    frame = message.frame
    if frame.kind != REQUEST:
        raise CannotDo("only requests can be made again")
    title = f"{frame.tool or frame.method} again"
    if is_whole(frame):
        params = msgspec.json.decode(frame.text or "{}")
        asking = {"server": frame.server, "method": frame.method, "params": params}
        console.ask(title, "ask", asking)
    elif message.run == console.world.link.times:
        console.ask(title, "replay", {"number": frame.number})
    else:
        raise CannotDo("it is longer than what was shown, and the daemon has forgotten it")


def is_whole(frame: Frame) -> bool:
    """Whether all of a message is in its frame."""
    return len(frame.text.encode()) == frame.size


def _call(message: Message) -> str:
    frame = message.frame
    return f"{frame.method} {frame.tool}".strip() + f" of {frame.server}"


def _method(frame: Frame) -> str:
    return frame.method if frame.kind == REQUEST else f"<{frame.method}"


def _colour(message: Message) -> str:
    return STATUS_COLOURS.get(message.status, "bad" if message.status else "")


def _seconds(message: Message) -> float | None:
    return None if message.answer is None else message.answer.seconds


def _size(message: Message) -> int:
    return message.frame.size + (0 if message.answer is None else message.answer.size)


def _clock(moment: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(moment))


def _moment(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment)) + f".{moment % 1:.3f}"[2:]


def _line(message: Message) -> str:
    return msgspec.json.encode({"request": message.frame, "answer": message.answer}).decode()
