"""What servers offer, and calling it from a form made of its schema."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from mcptwist.console import keymap
from mcptwist.console.model import Offer, clean
from mcptwist.console.screen import CannotDo, TableScreen, TextScreen
from mcptwist.console.tables import Column, Markup, Table
from mcptwist.console.widgets import json_lines
from mcptwist.watching.figures import span

if TYPE_CHECKING:
    from mcptwist.console.app import Console

_ASKED = {"tool": "tools/call", "prompt": "prompts/get", "resource": "resources/read"}
_PLAIN = {"string", "number", "integer", "boolean"}


class ToolsScreen(TableScreen):
    """Tools, resources and prompts of all servers."""

    place = title = keymap.TOOLS

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        columns = [
            Column("server", "SERVER", 16, lambda o: o.server, lambda o: clean(o.server)),
            Column("kind", "KIND", 8, lambda o: o.kind, lambda o: o.kind),
            Column("name", "NAME", 28, lambda o: o.name, lambda o: clean(o.name)),
            Column("description", "DESCRIPTION", 0, lambda o: o.description,
                   lambda o: clean(o.description)),
        ]  # fmt: skip
        self.table = Table(columns, lambda offer: (offer.server, offer.kind, offer.name))

    def entered(self) -> None:
        """Ask every server once; each is started by that, if it was not."""
        if not self.world.offers:
            self.do_refresh()

    def rows(self) -> Sequence[Any]:
        """What was told so far."""
        return self.world.offers

    def empty(self) -> str:
        """Nothing has come yet."""
        return "the servers are being asked; ctrl-r asks them again"

    def words(self) -> Iterable[str]:
        """The columns."""
        return [column.name for column in self.table.columns]

    def do_refresh(self) -> None:
        self.console.browse()

    def do_open(self) -> None:
        if self.table.row is not None:
            self.console.push(OfferScreen(self.console, self.table.row))

    def do_call(self) -> None:
        if self.table.row is not None:
            begin_call(self.console, self.table.row)


class OfferScreen(TextScreen):
    """One tool, resource or prompt."""

    def __init__(self, console: Console, offer: Offer) -> None:
        super().__init__(console, offer.name, place=keymap.OFFER)
        self.offer = offer

    def lines(self, width: int) -> Sequence[Markup]:
        """All that its server says of it."""
        offer = self.offer
        text = msgspec.json.encode(offer.told).decode()
        return [
            [("head", "Server      "), clean(offer.server)],
            [("head", f"{offer.kind.capitalize():12}"), clean(offer.name)],
            "",
            *(clean(line) for line in offer.description.splitlines()),
            "",
            *json_lines(text),
        ]

    def do_call(self) -> None:
        begin_call(self.console, self.offer)


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


# --- calling --------------------------------------------------------------------------


def begin_call(console: Console, offer: Offer) -> None:
    """Show the form of what is offered, or ask at once where there is nothing to fill in."""
    if console.read_only:
        raise CannotDo("this console only looks (--read-only)")
    if offer.kind == "template":
        raise CannotDo("templates cannot be read from here; ask for one of their resources")
    fields = _fields_to_ask(offer)

    def ask(values: dict[str, Any]) -> None:
        Call(console, offer, _params(offer, values)).begin()

    if fields:
        console.push(FormScreen(console, f"call {offer.name}", fields, ask))
    else:
        ask({})


def _fields_to_ask(offer: Offer) -> list[Field]:
    if offer.kind == "tool":
        return fields_of(offer.told.get("inputSchema"))
    arguments = offer.told.get("arguments") if offer.kind == "prompt" else None
    if not isinstance(arguments, list):
        return []
    return [
        Field(
            str(a.get("name")), "string", bool(a.get("required")), str(a.get("description") or "")
        )
        for a in arguments
        if isinstance(a, dict)
    ]


def _params(offer: Offer, values: dict[str, Any]) -> dict[str, Any]:
    if offer.kind == "resource":
        return {"uri": offer.told.get("uri")}
    return {"name": offer.name, "arguments": values}


class Call:
    """One call from the console: its progress, what it asks back, its answer."""

    def __init__(self, console: Console, offer: Offer, params: dict[str, Any]) -> None:
        self.console = console
        self.offer = offer
        self.params = params
        self.progress: list[str] = []
        self.screen: TextScreen | None = None
        self.answer: dict[str, Any] | None = None
        self.problem = ""

    def begin(self) -> None:
        """Ask, and show what comes."""
        if self.screen is None:
            title = f"answer of {self.offer.name}"
            self.screen = TextScreen(self.console, title, self._lines)
            self.console.push(self.screen)
        asking = {
            "server": self.offer.server,
            "method": _ASKED[self.offer.kind],
            "params": self.params,
            "capabilities": {"elicitation": {"form": {}}},
        }
        self.answer, self.problem = None, ""
        self.console.call("ask", asking, self._came, self._failed, self._heard)

    def _heard(self, text: str) -> None:
        self.progress.append(clean(text))
        del self.progress[:-20]
        self.console.world.changed()

    def _failed(self, why: str) -> None:
        self.problem = why
        self.console.world.changed()

    def _came(self, answer: dict[str, Any]) -> None:
        inner = answer.get("answer")
        if isinstance(inner, dict) and inner.get("resultType") == "input_required":
            self._asked(inner)
        else:
            self.answer = answer
        self.console.world.changed()

    def _asked(self, inner: dict[str, Any]) -> None:
        """The server asks the person something; the forms come one after another."""
        requests = inner.get("inputRequests")
        waiting = list(requests.items()) if isinstance(requests, dict) else []
        responses: dict[str, Any] = {}

        def next_form() -> None:
            if not waiting:
                state = inner.get("requestState")
                more = {"inputResponses": responses, "requestState": state}
                self.params = {**self.params, **{k: v for k, v in more.items() if v is not None}}
                self.begin()
                return
            key, request = waiting.pop(0)
            self._ask_person(key, request, responses, next_form)

        next_form()

    def _ask_person(
        self, key: str, request: Any, responses: dict[str, Any], then: Callable[[], None]
    ) -> None:
        params = request.get("params", {}) if isinstance(request, dict) else {}
        if not isinstance(request, dict) or request.get("method") != "elicitation/create":
            self.problem = "the server asks for something that a console cannot answer"
            return

        def filled(values: dict[str, Any]) -> None:
            responses[key] = {"action": "accept", "content": values}
            self.console.pop()
            then()

        fields = fields_of(params.get("requestedSchema"))
        message = clean(params.get("message", "the server asks"))
        self.console.push(FormScreen(self.console, message, fields, filled, "answer"))

    def _lines(self, width: int) -> Sequence[Markup]:
        lines: list[Markup] = [
            [("head", "Asked     "), clean(self.offer.server), " ", clean(self.offer.name)]
        ]
        lines += [[("head", "Progress  "), text] for text in self.progress]
        if self.problem:
            return [*lines, ("bad", clean(self.problem))]
        if self.answer is None:
            return [*lines, ("busy", "waiting for the answer")]
        status = str(self.answer.get("status"))
        colour = "good" if status == "ok" else "bad"
        took = f" after {span(self.answer.get('seconds'))}"
        lines.append([("head", "Answer    "), (colour, status), took])
        inner = self.answer.get("answer")
        return [*lines, "", *_texts(inner), *json_lines(msgspec.json.encode(inner).decode())]


def _texts(answer: Any) -> list[Markup]:
    """The text blocks of a result, for they are hard to read as JSON."""
    blocks = answer.get("content") if isinstance(answer, dict) else None
    if not isinstance(blocks, list):
        return []
    texts = [str(b.get("text", "")) for b in blocks if isinstance(b, dict) and b.get("text")]
    lines = [("text", clean(line)) for text in texts for line in text.splitlines()]
    return [*lines, ""] if lines else []
