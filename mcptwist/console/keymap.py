"""Every command of the console, and every key.

Keys are data: each stands for a command that can be typed as well, help and footer
are made from the same table, and nothing happens by a key that no command does. Pure.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Sequence

import msgspec

ANYWHERE = ""
SERVERS, CONNECTIONS, SESSIONS = "servers", "connections", "sessions"
TRAFFIC, TOOLS, KEYS, LOG, METRICS = "traffic", "tools", "keys", "log", "metrics"
BANS, AUDIT, LOGINS = "bans", "audit", "logins"
SERVER, CONNECTION, SESSION = "server", "connection", "session"
MESSAGE, OFFER, FORM, CALL = "message", "offer", "form", "call"
TEXT, HELP = "text", "help"

MAIN = (SERVERS, CONNECTIONS, TRAFFIC, TOOLS, KEYS, LOG, METRICS)
"""The views that a number leads to."""


class Command(msgspec.Struct, frozen=True):
    """Something the console can do.

    :ivar takes: what follows its name, for people; ``[…]`` if it may be left out.
    :ivar places: the views where it means something; empty for all.
    :ivar changes: whether the daemon is another afterwards; not with ``--read-only``.
    :ivar asks: what is asked before it is done; ``{what}`` is what it is done to.
    """

    name: str
    help: str
    takes: str = ""
    places: tuple[str, ...] = ()
    changes: bool = False
    asks: str = ""


class Binding(msgspec.Struct, frozen=True):
    """A key and its command.

    :ivar keys: as urwid calls them; the first is shown.
    :ivar line: the command, with what follows it.
    :ivar place: the view where it is so; empty for all.
    :ivar short: for the footer; empty to leave it out there.
    """

    keys: tuple[str, ...]
    line: str
    place: str = ANYWHERE
    short: str = ""


_ROWS = (SERVERS, SERVER)
_CLIENTS = (CONNECTIONS, CONNECTION)
COMMANDS = (
    *(Command(view, f"show the {view}") for view in MAIN),
    Command("sessions", "show the sessions of legacy clients"),
    Command("bans", "show from where nobody may connect"),
    Command("logins", "show who is logged in"),
    Command("audit", "show who came in, and who did not"),
    Command("help", "show what can be done here"),
    Command("quit", "leave the console"),
    Command("back", "go back, or drop the filter"),
    Command("open", "look at what is marked by the cursor"),
    Command("down", "move down", "[LINES]"),
    Command("up", "move up", "[LINES]"),
    Command("page", "move by pages", "[PAGES]"),
    Command("top", "go to the first line"),
    Command("bottom", "go to the last line"),
    Command("mark", "mark this line for what is done next"),
    Command("unmark", "drop all marks"),
    Command("filter", "show only lines with these words and field:value tokens", "[TEXT]"),
    Command("sort", "sort by a column; by the same once more, the other way round", "COLUMN"),
    Command("command", "type a command"),
    Command("search", "type a filter"),
    Command("interval", "look at the daemon every so many seconds", "SECONDS"),
    Command("start", "start servers", "[NAME…]", _ROWS, True),
    Command("stop", "stop servers at once", "[NAME…]", _ROWS, True, "Stop {what}?"),
    Command("restart", "restart servers", "[NAME…]", _ROWS, True, "Restart {what}?"),
    Command("drain", "finish what is open, then stop or close", "[NAME…]", (
        *_ROWS, *_CLIENTS), True, "Drain {what}?"),
    Command("offers", "show the tools of a server", "[NAME]", _ROWS),
    Command("passing", "show the traffic of a server", "[NAME]", _ROWS),
    Command("close", "close connections, or end sessions", "[ID…]", (
        *_CLIENTS, SESSIONS, SESSION), True, "Close {what}?"),
    Command("ban", "close connections and keep their addresses out for an hour", "[ID…]",
            _CLIENTS, True, "Ban {what} for an hour?"),
    Command("revoke", "revoke keys; whoever came in with them has to leave", "[FINGERPRINT…]",
            (KEYS,), True, "Revoke the keys of {what}? That stays so:"),
    Command("end", "end logins, with all that came of them; their keys stay good", "[ID…]",
            (LOGINS,), True, "End {what}?"),
    Command("lift", "let addresses in again", "[HOST…]", (), True),
    Command("kick-all", "close every connection that is shown", "", (
        CONNECTIONS,), True, "This closes {what}. Type their number to do it:"),
    Command("pause", "let messages stand still, or go on", "", (TRAFFIC, LOG, AUDIT)),
    Command("follow", "stay at the newest line, or do not", "", (TRAFFIC, LOG, AUDIT)),
    Command("clear", "forget the messages that are shown", "", (TRAFFIC,)),
    Command("replay", "make a call again", "[NUMBER]", (TRAFFIC, MESSAGE), True,
            "Make this call again: {what}?"),
    Command("export", "write what is shown to a file", "PATH"),
    Command("refresh", "ask for what is shown once more"),
    Command("call", "call the tool, fill in the prompt, or read the resource", "", (
        TOOLS, OFFER, FORM), True),
    Command("set", "fill in a field", "FIELD VALUE", (FORM,)),
    Command("decline", "tell a server that asks that it gets no answer", "", (FORM,), True),
    Command("cancel", "wait for the answer no more", "", (CALL,), True),
    Command("reload", "read the configuration again", "", (), True,
            "Read the configuration again, and restart servers that changed?"),
    Command("level", "log from a level on: debug, info, warn, error, critical", "LEVEL", (), True),
)  # fmt: skip

BINDINGS = (
    *(Binding((str(n),), view) for n, view in enumerate(MAIN, 1)),
    Binding(("?", "f1"), "help", short="help"),
    Binding((":",), "command", short="command"),
    Binding(("/",), "search", short="filter"),
    Binding(("enter", "l", "right"), "open", short="open"),
    Binding(("esc", "h", "left"), "back", short="back"),
    Binding(("q",), "quit", short="quit"),
    Binding(("j", "down"), "down"),
    Binding(("k", "up"), "up"),
    Binding(("ctrl f", "page down"), "page 1"),
    Binding(("ctrl b", "page up"), "page -1"),
    Binding(("g", "home"), "top"),
    Binding(("G", "end"), "bottom"),
    Binding((" ",), "mark"),
    Binding(("ctrl r",), "refresh"),
    Binding(("s",), "start", SERVERS, "start"),
    Binding(("x",), "stop", SERVERS, "stop"),
    Binding(("r",), "restart", SERVERS, "restart"),
    Binding(("d",), "drain", SERVERS, "drain"),
    Binding(("s",), "start", SERVER, "start"),
    Binding(("x",), "stop", SERVER, "stop"),
    Binding(("r",), "restart", SERVER, "restart"),
    Binding(("d",), "drain", SERVER, "drain"),
    *(Binding(("t",), "offers", place, "tools") for place in _ROWS),
    *(Binding(("w",), "passing", place, "watch") for place in _ROWS),
    Binding(("c",), "close", CONNECTIONS, "close"),
    Binding(("d",), "drain", CONNECTIONS, "drain"),
    Binding(("b",), "ban", CONNECTIONS, "ban"),
    Binding(("tab",), "sessions", CONNECTIONS, "sessions"),
    Binding(("c",), "close", CONNECTION, "close"),
    Binding(("d",), "drain", CONNECTION, "drain"),
    Binding(("b",), "ban", CONNECTION, "ban"),
    Binding(("c",), "close", SESSIONS, "close"),
    Binding(("tab",), "bans", SESSIONS, "bans"),
    Binding(("c",), "close", SESSION, "close"),
    Binding(("x",), "lift", BANS, "lift"),
    Binding(("tab",), "connections", BANS, "connections"),
    Binding(("x",), "revoke", KEYS, "revoke"),
    Binding(("tab",), "logins", KEYS, "logins"),
    Binding(("x",), "end", LOGINS, "end"),
    Binding(("tab",), "keys", LOGINS, "keys"),
    Binding(("p",), "pause", TRAFFIC, "pause"),
    Binding(("f",), "follow", TRAFFIC, "follow"),
    Binding(("r",), "replay", TRAFFIC, "replay"),
    Binding(("c",), "clear", TRAFFIC, "clear"),
    Binding(("r",), "replay", MESSAGE, "replay"),
    Binding(("p",), "pause", LOG, "pause"),
    Binding(("f",), "follow", LOG, "follow"),
    Binding(("tab",), "audit", LOG, "audit"),
    Binding(("p",), "pause", AUDIT, "pause"),
    Binding(("f",), "follow", AUDIT, "follow"),
    Binding(("tab",), "log", AUDIT, "log"),
    Binding(("c",), "call", TOOLS, "call"),
    Binding(("c",), "call", OFFER, "call"),
    Binding(("c",), "call", FORM, "send"),
    Binding(("d",), "decline", FORM, "decline"),
    Binding(("x",), "cancel", CALL, "cancel"),
    Binding(("+",), "interval /2", METRICS, "faster"),
    Binding(("-",), "interval *2", METRICS, "slower"),
)

_NAMES = {"enter": "enter", "esc": "esc", " ": "space", "ctrl f": "ctrl-f", "ctrl b": "ctrl-b",
          "ctrl r": "ctrl-r", "page down": "PgDn", "page up": "PgUp"}  # fmt: skip


def key_name(key: str) -> str:
    """What is printed on it."""
    return _NAMES.get(key, key)


class BadCommand(ValueError):
    """A line that is no command; the message says why."""


def command(name: str) -> Command:
    """The command of that name, or of the only one that begins so.

    :raises BadCommand: there is none, or several.
    """
    exact = [each for each in COMMANDS if each.name == name]
    found = exact or [each for each in COMMANDS if each.name.startswith(name)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise BadCommand(f"there is no command {name!r}; ? shows them")
    raise BadCommand(f"{name} may be {', '.join(each.name for each in found)}")


def parse(line: str) -> tuple[Command, list[str]]:
    """The command of a line, and what follows it.

    :raises BadCommand: it is none.
    """
    name, _, rest = line.strip().partition(" ")
    if not name:
        raise BadCommand("no command")
    found = command(name)
    if found.name in ("filter", "export", "set"):  # what follows is theirs to read
        return found, [rest.strip()] if rest.strip() else []
    try:
        return found, shlex.split(rest)
    except ValueError as problem:
        raise BadCommand(f"{str(problem).lower()}: {line}") from None


def bound(place: str, key: str) -> Binding | None:
    """What a key does in a place: what it does there, or else anywhere."""
    for where in (place, ANYWHERE):
        for binding in BINDINGS:
            if binding.place == where and key in binding.keys:
                return binding
    return None


def at(place: str) -> list[Command]:
    """The commands that mean something in a place."""
    return [each for each in COMMANDS if not each.places or place in each.places]


def footer(place: str) -> list[tuple[str, str]]:
    """Keys and what they do, for the line at the bottom; the place's own come first."""
    own = [b for b in BINDINGS if b.place == place and place and b.short]
    every = [b for b in BINDINGS if b.place == ANYWHERE and b.short]
    shown = [(key_name(binding.keys[0]), binding.short) for binding in (*own, *every)]
    return [*shown[: len(own)], (f"1-{len(MAIN)}", "views"), *shown[len(own) :]]


def keys_of(name: str, place: str) -> list[str]:
    """The keys that do a command in a place."""
    found: list[str] = []
    for binding in BINDINGS:
        if binding.line.split(" ")[0] == name and binding.place in (ANYWHERE, place):
            found += [key_name(key) for key in binding.keys]
    return found


def complete(line: str, place: str, words: Iterable[str]) -> list[str]:
    """How a line may go on.

    :param words: what may follow a command's name there, such as names of servers.
    """
    head, space, last = line.rpartition(" ")
    if not space:
        return sorted(each.name for each in at(place) if each.name.startswith(line))
    return sorted(f"{head} {_quoted(word)}" for word in words if word.startswith(last))


def _quoted(word: str) -> str:
    return shlex.quote(word) if word else word


def common(words: Sequence[str]) -> str:
    """What all of them begin with."""
    if not words:
        return ""
    low, high = min(words), max(words)
    for position, sign in enumerate(low):
        if position >= len(high) or high[position] != sign:
            return low[:position]
    return low


def help_table(places: Collection[str] = ()) -> list[tuple[str, str, str]]:
    """Rows of place, keys and meaning, for the page in the documentation.

    :param places: by default all of them.
    """
    rows = []
    for place in places or (ANYWHERE, *dict.fromkeys(b.place for b in BINDINGS if b.place)):
        for binding in BINDINGS:
            if binding.place == place:
                keys = ", ".join(key_name(key) for key in binding.keys)
                name, _, rest = binding.line.partition(" ")
                rows.append((place or "everywhere", keys, _meaning(name, rest)))
    return rows


def _meaning(name: str, rest: str) -> str:
    known = command(name)
    if name == "page":
        return f"{known.help}, {'down' if rest == '1' else 'up'}"
    if name == "interval":
        return "look at the daemon " + ("twice as often" if rest == "/2" else "half as often")
    return known.help
