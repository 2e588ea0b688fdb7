"""Calling what a server offers: the form, the progress, what it asks back, the answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from mcptwist.console.forms import Field, FormScreen, fields_of
from mcptwist.console.model import Offer, clean
from mcptwist.console.screen import CannotDo, TextScreen
from mcptwist.console.tables import Markup
from mcptwist.console.widgets import json_lines
from mcptwist.watching.figures import span

if TYPE_CHECKING:
    from mcptwist.console.app import Console

_ASKED = {"tool": "tools/call", "prompt": "prompts/get", "resource": "resources/read"}


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
