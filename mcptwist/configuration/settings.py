"""One setting: where it is in the file, how its value is read, and what is said when it is wrong.

A :class:`Place` is a spot in the file. A reader takes a place and the raw value found there and
gives the value to use, or reports a :class:`Mistake` at that place and gives ``None``. Nothing
stops at the first mistake, so that a person sees all of them at once. A :class:`Key` beside a
struct's field says how that field is read, in what unit, and what it means: ``read_table`` works
from it, and the reference in the docs is held to it.

Pure: the environment is handed in. Values from the file are never put into a message, because any
of them may be a secret; only words out of a fixed list of choices are repeated.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar, get_type_hints

import msgspec

from mcptwist.configuration.redaction import looks_secret

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)


class Mistake(msgspec.Struct, frozen=True):
    """Something in the file that cannot be used as it is.

    :ivar path: where, as ``mcpServers.time.args[2]``.
    :ivar problem: what is there.
    :ivar expected: what would have been right; may be empty.
    :ivar server: the server which cannot be used because of it; None when nothing can.
    """

    path: str
    problem: str
    expected: str = ""
    server: str | None = None

    def __str__(self) -> str:
        expected = f"; expected {self.expected}" if self.expected else ""
        return f"{self.path}: {self.problem}{expected}"


class Note(msgspec.Struct, frozen=True):
    """Something in the file which is worth knowing, but stops nothing.

    :ivar is_doubtful: whether somebody should see if it is meant.
    """

    path: str
    text: str
    server: str | None = None
    is_doubtful: bool = True

    def __str__(self) -> str:
        return f"{self.path}: {self.text}"


class Ledger:
    """What one pass over one part of the file has found.

    :ivar environ: the variables that ``${VAR}`` may name.
    :ivar directory: the folder of the file, to which relative paths belong; "" when there is none.
    :ivar server: the server this part is about, or None.
    :ivar revealed: values of secret-looking variables which were put in.
    """

    def __init__(
        self, environ: Mapping[str, str], directory: str = "", server: str | None = None
    ) -> None:
        self.environ = environ
        self.directory = directory
        self.server = server
        self.mistakes: list[Mistake] = []
        self.notes: list[Note] = []
        self.revealed: set[str] = set()

    def place(self, *keys: str) -> Place:
        """A spot in the file, by the keys that lead to it."""
        place = Place(self, "")
        for key in keys:
            place = place.at(key)
        return place


_BARE_KEY = re.compile(r"[A-Za-z0-9_\-]+\Z")


class Place:
    """A spot in the file, and the ledger to write in about it."""

    def __init__(self, ledger: Ledger, path: str) -> None:
        self.ledger = ledger
        self.path = path

    def at(self, key: str) -> Place:
        """The value of a key of the table here."""
        if not _BARE_KEY.match(key):
            return Place(self.ledger, f"{self.path}[{shown(key)}]")
        return Place(self.ledger, f"{self.path}.{key}" if self.path else key)

    def item(self, index: int) -> Place:
        """One item of the list here."""
        return Place(self.ledger, f"{self.path}[{index}]")

    def mistake(self, problem: str, expected: str = "") -> None:
        """Report that what is here cannot be used."""
        self.ledger.mistakes.append(
            Mistake(self.path or "the file", problem, expected, self.ledger.server)
        )

    def note(self, text: str, is_doubtful: bool = True) -> None:
        """Report something worth knowing about what is here."""
        where = self.path or "the file"
        self.ledger.notes.append(Note(where, text, self.ledger.server, is_doubtful))


class Reader(Protocol):
    """How a raw value becomes one to use; None after a mistake was reported."""

    def __call__(self, place: Place, value: Any, /) -> Any: ...


class Key(NamedTuple):
    """What belongs to one key of a table; stands beside the field in ``Annotated``.

    :ivar read: how its value is read.
    :ivar meaning: one line for the reference.
    :ivar unit: "seconds", "bytes", or "" for what has none.
    """

    read: Reader
    meaning: str
    unit: str = ""


def keys_of(struct: type[msgspec.Struct]) -> dict[str, Key]:
    """The keys a table for this struct may have, in the order of its fields."""
    hints = get_type_hints(struct, include_extras=True)
    return {
        name: extra
        for name in struct.__struct_fields__
        for extra in getattr(hints[name], "__metadata__", ())
        if isinstance(extra, Key)
    }


# ── tables ──────────────────────────────────────────────────────────────────────────────────────


def read_table(place: Place, value: Any, struct: type[S]) -> S | None:
    """Read a table into the struct made for it. Keys which it has not are mistakes."""
    if not is_table(place, value):
        return None
    keys = keys_of(struct)
    report_repeated(place, value)
    report_unknown(place, value, keys)
    fields = read_fields(place, value, keys)
    return None if fields is None else struct(**fields)


def table_of(struct: type[msgspec.Struct]) -> Reader:
    """A reader of a table into this struct."""
    return lambda place, value: read_table(place, value, struct)


def read_fields(
    place: Place, table: Mapping[str, Any], keys: Mapping[str, Key]
) -> dict[str, Any] | None:
    """Read the values of the known keys of a table; None when any of them was wrong."""
    before = len(place.ledger.mistakes)
    fields = {
        name: key.read(place.at(name), table[name]) for name, key in keys.items() if name in table
    }
    return fields if len(place.ledger.mistakes) == before else None


def is_table(place: Place, value: Any) -> bool:
    """Is it a table? Otherwise that is reported."""
    if isinstance(value, dict):
        return True
    place.mistake(f"is {kind_of(value)}", "a table of keys and values")
    return False


def report_repeated(place: Place, table: Mapping[str, Any]) -> None:
    """Report the keys that were written twice, for only the last of them would have counted."""
    for key in getattr(table, "repeated", ()):
        place.at(key).mistake("is written more than once", "each key once")


def report_unknown(place: Place, table: Mapping[str, Any], known: Collection[str]) -> None:
    """Report the keys that mean nothing here, each with the known one it resembles."""
    unknown = [key for key in table if key not in known and not is_comment(key)]
    for number, key in enumerate(unknown):
        # Looking for the likest is slow; a file with more slips than that is no configuration.
        expected = resembling(key, known) if number < 50 else ""
        place.at(key).mistake("is not a key we know", expected)


def is_comment(key: str) -> bool:
    """Is this key how people write comments into JSON, as in ``"_comment"`` or ``"//"``?"""
    return key.startswith(("_", "//", "#")) or key == "$schema"


def resembling(word: str, known: Iterable[str]) -> str:
    """The known words that look like this one, as the end of a sentence; or all of them if few."""
    choices = sorted(known)
    by_folded = {choice.lower().replace("_", ""): choice for choice in choices}
    folded = word.lower().replace("_", "").replace("-", "")[:100]
    close = difflib.get_close_matches(folded, by_folded, n=1, cutoff=0.7)
    if close:
        return f'"{by_folded[close[0]]}"'
    return f"one of {', '.join(choices)}" if len(choices) <= 20 else ""


# ── readers ─────────────────────────────────────────────────────────────────────────────────────


def text(place: Place, value: Any) -> str | None:
    """A string that can be handed to the operating system."""
    if not isinstance(value, str):
        place.mistake(f"is {kind_of(value)}", "a string")
    elif "\0" in value:
        place.mistake("holds a NUL character", "a string without it")
    elif not _is_unicode(value):
        place.mistake("holds half of a surrogate pair", "a string of whole characters")
    else:
        return value
    return None


def full_text(place: Place, value: Any) -> str | None:
    """A string with something in it."""
    found = text(place, value)
    if found is not None and not found.strip():
        place.mistake("is empty", "a string with something in it")
        return None
    return found


def yes_or_no(place: Place, value: Any) -> bool | None:
    """true or false."""
    if isinstance(value, bool):
        return value
    place.mistake(f"is {kind_of(value)}", "true or false")
    return None


def choice(*words: str) -> Reader:
    """A reader of one of these words."""

    def read(place: Place, value: Any) -> str | None:
        if isinstance(value, str) and value in words:
            return value
        what = f"is {shown(value)}" if isinstance(value, str) else f"is {kind_of(value)}"
        place.mistake(what, "one of " + ", ".join(f'"{word}"' for word in words))
        return None

    return read


def count(place: Place, value: Any) -> int | None:
    """A whole number from 1 on."""
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 10**9:
        return value
    what = "is out of range" if is_number(value) else f"is {kind_of(value)}"
    place.mistake(what, "a whole number from 1 to 1000000000")
    return None


_UNITS_OF_TIME = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"\s*(\d{1,15}(?:\.\d{1,9})?)\s*(ms|s|min|m|h|d)\s*\Z", re.ASCII)
_A_DURATION = 'seconds as a number, or a string such as "500ms", "30s", "5m" or "1h"'
_LONGEST = 365 * 86400.0


def seconds(place: Place, value: Any) -> float | None:
    """A length of time above zero: a number of seconds, or a string with a unit."""
    number: Any = value
    if isinstance(value, str) and (match := _DURATION.match(value)):
        number = float(match[1]) * _UNITS_OF_TIME[match[2]]
    if not is_number(number):
        what = "is not a length of time" if isinstance(value, str) else f"is {kind_of(value)}"
        place.mistake(what, _A_DURATION)
        return None
    if not 0 < number <= _LONGEST:
        place.mistake("is out of range", "a length of time above zero and up to a year")
        return None
    return float(number)


KIB, MIB = 1 << 10, 1 << 20

_UNITS_OF_SIZE = {
    "b": 1, "": 1,
    "kb": 1000, "mb": 1000**2, "gb": 1000**3,
    "k": 1024, "kib": 1024, "m": 1024**2, "mib": 1024**2, "g": 1024**3, "gib": 1024**3,
}  # fmt: skip
_SIZE = re.compile(r"\s*(\d{1,15}(?:\.\d{1,9})?)\s*([a-z]*)\s*\Z", re.ASCII | re.IGNORECASE)
_LARGEST = 1024**4


def size(place: Place, value: Any) -> int | None:
    """A number of bytes above zero, or a string with a unit."""
    number: Any = value
    if isinstance(value, str) and (match := _SIZE.match(value)):
        factor = _UNITS_OF_SIZE.get(match[2].lower())
        number = value if factor is None else float(match[1]) * factor
    if not is_number(number):
        what = "is not a size" if isinstance(value, str) else f"is {kind_of(value)}"
        place.mistake(what, 'bytes as a number, or a string such as "64KiB" or "16MiB"')
        return None
    if not 1 <= number <= _LARGEST:
        place.mistake("is out of range", "a size from one byte to 1024GiB")
        return None
    return int(number)


def none_or(read: Reader) -> Reader:
    """A reader which also takes ``"none"``, for a bound that is not to be."""

    def read_or_none(place: Place, value: Any) -> Any:
        return None if value == "none" else read(place, value)

    return read_or_none


def many(read: Callable[[Place, Any], T | None]) -> Callable[[Place, Any], tuple[T, ...] | None]:
    """A reader of a list of such values; a single string stands for a list of one."""

    def read_many(place: Place, value: Any) -> tuple[T, ...] | None:
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list):
            place.mistake(f"is {kind_of(value)}", "a list")
            return None
        found = [read(place.item(number), item) for number, item in enumerate(items)]
        whole = tuple(item for item in found if item is not None)
        return whole if len(whole) == len(found) else None

    return read_many


# ── ${VAR} ──────────────────────────────────────────────────────────────────────────────────────

_REFERENCE = re.compile(r"\$?\$\{(?P<inside>[^}]*)(?P<end>\}?)")
_VARIABLE = re.compile(
    r"(?:env:)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>.*))?\Z", re.DOTALL
)


def expanded(place: Place, value: Any) -> str | None:
    """A string with its ``${VAR}`` and ``${VAR:-default}`` filled in from the environment.

    As in a shell, the default counts when the variable is unset or empty, and what is filled in is
    not looked at again. ``$${VAR}`` stands for ``${VAR}`` itself. ``${env:VAR}``, as VS Code writes
    it, is the same as ``${VAR}``, and ``${userHome}`` is the person's home.
    """
    raw = text(place, value)
    if raw is None or "${" not in raw:
        return raw
    before = len(place.ledger.mistakes)
    whole = _REFERENCE.sub(lambda match: _filled(place, match), raw)
    return whole if len(place.ledger.mistakes) == before else None


def _filled(place: Place, match: re.Match[str]) -> str:
    if match[0].startswith("$$"):
        return match[0][1:]
    if not match["end"]:
        place.mistake('has a "${" that is not closed', 'a "}", or "$${" for the characters "${"')
        return ""
    inside = "HOME" if match["inside"] == "userHome" else match["inside"]
    variable = _VARIABLE.match(inside)
    if variable is None or inside == "workspaceFolder":
        place.mistake(*_not_a_variable(inside))
        return ""
    return _looked_up(place, variable["name"], variable["default"])


def _looked_up(place: Place, name: str, default: str | None) -> str:
    found = place.ledger.environ.get(name)
    if default is not None and not found:
        return default
    if found is None:
        place.mistake(
            f"names the variable {name}, which is not set",
            f"{name} in the daemon's environment, or a default as in ${{{name}:-default}}",
        )
        return ""
    if looks_secret(name):
        place.ledger.revealed.add(found)
    return found


def _not_a_variable(inside: str) -> tuple[str, str]:
    if inside.startswith("input:"):
        problem = "asks for an input, and a daemon has nobody to ask"
    elif inside == "workspaceFolder":
        problem = "names an editor's folder, and a daemon has none"
    else:
        return 'has a "${…}" that does not name a variable', '${VAR}, or "$${" for the characters'
    return problem, "a variable of the environment, as in ${VAR}"


# ── words about values ──────────────────────────────────────────────────────────────────────────


def is_number(value: Any) -> bool:
    """Is it a number one can count with? JSON's ``true`` and Python's ``nan`` are not."""
    if isinstance(value, int):
        # TOML has whole numbers that are too long to be divided or written out.
        return not isinstance(value, bool) and abs(value) < 10**18
    return isinstance(value, float) and math.isfinite(value)


_KINDS: dict[type, str] = {
    bool: "true or false", int: "a number", float: "a number", str: "a string",
    list: "a list", type(None): "null",
}  # fmt: skip


def kind_of(value: Any) -> str:
    """What sort of value it is, in words; the value itself may be a secret."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, float) and not math.isfinite(value):
        return "not a finite number"
    return _KINDS.get(type(value), "a date or time")


def shown(word: str) -> str:
    """A word of the file, quoted, short, and in characters that any terminal takes."""
    short = word if len(word) <= 60 else word[:59] + "…"
    return json.dumps(short, ensure_ascii=not short.isprintable())


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
