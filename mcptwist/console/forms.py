"""Forms, made of what a schema asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from mcptwist.console import keymap
from mcptwist.console.model import clean
from mcptwist.console.screen import CannotDo, TableScreen
from mcptwist.console.tables import Column, Markup, Table
from mcptwist.console.widgets import wrapped

if TYPE_CHECKING:
    from mcptwist.console.app import Console

_PLAIN = {"string", "number", "integer", "boolean"}


class Field(msgspec.Struct):
    """One field of a form.

    :ivar kind: the type its schema names; ``json`` for whatever has no line of its own.
    :ivar text: what was typed; ``None`` for nothing.
    """

    name: str
    kind: str = "string"
    required: bool = False
    about: str = ""
    choices: tuple[str, ...] = ()
    text: str | None = None

    def value(self) -> Any:
        """What was typed, as JSON has it.

        :raises CannotDo: it is no such value.
        """
        text = self.text or ""
        if self.kind == "string":
            return text
        if self.kind == "boolean" and text.lower() in ("y", "yes", "n", "no"):
            return text.lower().startswith("y")
        try:
            kind: Any = {"integer": int, "number": float, "boolean": bool}.get(self.kind, Any)
            return msgspec.json.decode(text, type=kind)
        except msgspec.DecodeError:
            raise CannotDo(f"{self.name}: {text} is no {self.kind}") from None

    def check(self) -> None:
        """Is what was typed a value?

        :raises CannotDo: it is not; the message says why.
        """
        if self.text is None:
            return
        if self.choices and self.text not in self.choices:
            raise CannotDo(f"{self.name}: one of {', '.join(self.choices)}")
        self.value()


def fields_of(schema: Any) -> list[Field]:
    """The fields that an object's schema asks for."""
    if not isinstance(schema, dict) or not isinstance(schema.get("properties"), dict):
        return []
    required = schema.get("required")
    needed = set(required) if isinstance(required, list) else set()
    return [_field(name, each, name in needed) for name, each in schema["properties"].items()]


def _field(name: str, schema: Any, required: bool) -> Field:
    if not isinstance(schema, dict):
        schema = {}
    kind = schema.get("type")
    choices = schema.get("enum")
    plain = isinstance(kind, str) and kind in _PLAIN
    words = tuple(map(str, choices)) if isinstance(choices, list) and plain else ()
    about = [str(schema.get("description") or schema.get("title") or "")]
    if words:
        about.append(f"one of {', '.join(words)}")
    if "default" in schema:
        about.append(f"default {msgspec.json.encode(schema['default']).decode()}")
    return Field(name, kind if plain else "json", required, "; ".join(filter(None, about)), words)


class FormScreen(TableScreen):
    """Fields to be filled in, and then something is done with them.

    :param done: gets the values by name.
    :ivar message: stands above the fields.
    """

    place = keymap.FORM

    def __init__(
        self,
        console: Console,
        title: str,
        fields: Sequence[Field],
        done: Callable[[dict[str, Any]], None],
        verb: str = "call",
    ) -> None:
        super().__init__(console)
        self.title = title
        self.form = list(fields)
        self.message = ""
        self._above = 0
        self._done = done
        self._verb = verb
        columns = [
            Column("field", "FIELD", 20, lambda f: f.name, lambda f: clean(f.name)),
            Column("type", "TYPE", 9, lambda f: f.kind, lambda f: f.kind + "*" * f.required),
            Column("value", "VALUE", 24, lambda f: f.text or "", _typed, _typed_colour),
            Column("about", "ABOUT", 0, lambda f: f.about, lambda f: clean(f.about)),
        ]
        self.table = Table(columns, lambda field: field.name)

    def rows(self) -> Sequence[Any]:
        """The fields."""
        return self.form

    def draw(self, width: int, height: int) -> list[Markup]:
        """The message, and the fields below it."""
        above: list[Markup] = [*wrapped(self.message, width), ""] if self.message else []
        self._above = len(above)
        return [*above, *super().draw(width, height - len(above))]

    def clicked(self, row: int, column: int) -> None:
        """A field was clicked, or what is above them."""
        if row >= self._above:
            super().clicked(row - self._above, column)

    def wait(self) -> str:
        """It waits for nobody."""
        return ""

    def empty(self) -> str:
        """There is nothing to fill in."""
        return f"nothing to fill in; c to {self._verb}"

    def badge(self) -> str:
        """What to do."""
        return f"enter fills in, c to {self._verb}; * must be filled in"

    def words(self) -> Iterable[str]:
        """The names of the fields."""
        return [field.name for field in self.form]

    def do_open(self) -> None:
        field = self.table.row
        if field is not None:
            self.console.prompt_for(
                f"{field.name} ({field.kind}): ", field.text or "", self._taker(field)
            )

    def _taker(self, field: Field) -> Callable[[str], None]:
        return lambda text: self._take(field, text)

    def _take(self, field: Field, text: str) -> None:
        before, field.text = field.text, text or None
        try:
            field.check()
        except CannotDo:
            field.text = before
            raise
        self.table.move(1)
        self.world.changed()

    def do_decline(self) -> None:
        raise CannotDo("nobody asks for this; esc goes back")

    def do_set(self, line: str) -> None:
        name, _, text = line.partition(" ")
        field = next((each for each in self.form if each.name == name), None)
        if field is None:
            raise CannotDo(f"there is no field {name}")
        self._take(field, text)

    def do_call(self) -> None:
        values: dict[str, Any] = {}
        for field in self.form:
            if field.text is not None:
                values[field.name] = field.value()
            elif field.required:
                self.table.focus = field.name
                raise CannotDo(f"{field.name} must be filled in")
        self._done(values)


def _typed(field: Field) -> str:
    return "-" if field.text is None else clean(field.text)


def _typed_colour(field: Field) -> str:
    return "quiet" if field.text is None else "text"
