"""Calling what a server offers: the form, the progress, what it asks back, the answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from twisted.internet.defer import Deferred

from mcptwist.console import keymap
from mcptwist.console.forms import Field, FormScreen, fields_of
from mcptwist.console.model import Offer, clean
from mcptwist.console.screen import CannotDo, TextScreen
from mcptwist.console.tables import Markup
from mcptwist.console.widgets import json_lines
from mcptwist.watching.figures import span

if TYPE_CHECKING:
    from mcptwist.console.app import Console

_ASKED = {"tool": "tools/call", "prompt": "prompts/get", "resource": "resources/read"}
_PROGRESS = 20


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
    """One call from the console: its progress, what it asks back, its answer.

    :ivar is_over: whether it is answered, has failed, or was given up.
    """

    def __init__(self, console: Console, offer: Offer, params: dict[str, Any]) -> None:
        self.console = console
        self.offer = offer
        self.params = params
        self.progress: list[str] = []
        self.answer: dict[str, Any] | None = None
        self.problem = ""
        self._screen = CallScreen(console, self)
        self._began = console.seconds()
        self._asking: Deferred[Any] | None = None

    @property
    def is_over(self) -> bool:
        """Whether there is an answer, or a reason why there is none."""
        return bool(self.answer or self.problem)

    def begin(self) -> None:
        """Ask, and show what comes."""
        self.console.push(self._screen)
        self._ask()

    def cancel(self) -> None:
        """Wait no more."""
        if not self.is_over:
            self.problem = "given up"
            if self._asking is not None:
                self._asking.cancel()
            self.console.tell(f"{self.offer.name} was cancelled", "quiet")

    def _ask(self) -> None:
        asking = {
            "server": self.offer.server,
            "method": _ASKED[self.offer.kind],
            "params": self.params,
            "capabilities": {"elicitation": {"form": {}}},
        }
        self._asking = self.console.call("ask", asking, self._came, self._failed, self._heard)

    def _heard(self, text: str) -> None:
        self.progress.append(clean(text))
        del self.progress[:-_PROGRESS]
        self.console.world.changed()

    def _failed(self, why: str) -> None:
        if not self.is_over:
            self.problem = why
            self._told(why, "bad")

    def _came(self, answer: dict[str, Any]) -> None:
        inner = answer.get("answer")
        if isinstance(inner, dict) and inner.get("resultType") == "input_required":
            self._asked(inner)
            return
        self.answer = answer
        good = answer.get("status") == "ok"
        self._told(f"{answer.get('status')} after {span(self._took())}", _colour(good))

    def _took(self) -> float:
        return self.console.seconds() - self._began

    def _told(self, text: str, colour: str) -> None:
        """It is over; whoever looks elsewhere meanwhile is told."""
        if not self._is_seen():
            self.console.tell(f"{self.offer.name}: {text}", colour)
        self.console.world.changed()

    def _is_seen(self) -> bool:
        return self._screen in self.console.stack

    # --- what is asked back -----------------------------------------------------------

    def _asked(self, inner: dict[str, Any]) -> None:
        """The server asks the person something; the forms come one after another."""
        requests = inner.get("inputRequests")
        waiting = list(requests.items()) if isinstance(requests, dict) else []
        responses: dict[str, Any] = {}

        def next_form() -> None:
            if self.is_over:
                return
            if waiting:
                key, request = waiting.pop(0)
                self._ask_person(key, request, responses, next_form)
                return
            more = {"inputResponses": responses, "requestState": inner.get("requestState")}
            self.params = {**self.params, **{k: v for k, v in more.items() if v is not None}}
            self._ask()

        next_form()
        self.console.world.changed()

    def _ask_person(
        self, key: str, request: Any, responses: dict[str, Any], then: Callable[[], None]
    ) -> None:
        if not isinstance(request, dict) or request.get("method") != "elicitation/create":
            self._failed("the server asks for something that a console cannot answer")
            return

        def respond(action: str, values: dict[str, Any] | None) -> None:
            responses[key] = {"action": action} | ({} if values is None else {"content": values})
            then()

        if not self._is_seen():
            self.console.tell(f"{self.offer.name} asked something when nobody looked", "bad")
            respond("cancel", None)
            return
        params = request.get("params")
        params = params if isinstance(params, dict) else {}
        self.console.push(Question(self.console, self.offer.server, params, respond))


class Question(FormScreen):
    """What a server asks the person, as a form.

    :param respond: gets ``accept`` with the values, ``decline`` or ``cancel``.
    """

    def __init__(
        self,
        console: Console,
        server: str,
        params: dict[str, Any],
        respond: Callable[[str, dict[str, Any] | None], None],
    ) -> None:
        fields = fields_of(params.get("requestedSchema"))
        super().__init__(console, f"{server} asks", fields, self._filled, "answer")
        self.message = clean(params.get("message", ""))
        self._respond = respond
        self._action = "cancel"
        self._values: dict[str, Any] | None = None

    def badge(self) -> str:
        """What can be done."""
        return "enter fills in, c answers, d declines, esc gives the server nothing"

    def _filled(self, values: dict[str, Any]) -> None:
        self._action, self._values = "accept", values
        self.console.pop()

    def do_decline(self) -> None:
        self._action = "decline"
        self.console.pop()

    def left(self) -> None:
        """However it was left, the server is told."""
        self._respond(self._action, self._values)


class CallScreen(TextScreen):
    """How a call goes; who goes back before it is answered cancels it."""

    def __init__(self, console: Console, call: Call) -> None:
        super().__init__(console, f"answer of {call.offer.name}", place=keymap.CALL)
        self.call = call

    def left(self) -> None:
        """Nobody waits any more."""
        self.call.cancel()

    def do_cancel(self) -> None:
        if self.call.is_over:
            raise CannotDo("there is nothing to wait for any more")
        self.call.cancel()

    def lines(self, width: int) -> Sequence[Markup]:
        """What was asked, what was heard, and the answer."""
        call = self.call
        lines: list[Markup] = [
            [("head", "Asked     "), clean(call.offer.server), " ", clean(call.offer.name)]
        ]
        lines += [[("head", "Progress  "), text] for text in call.progress]
        if call.problem:
            return [*lines, ("bad", clean(call.problem))]
        if call.answer is None:
            return [*lines, ("busy", "waiting for the answer; x gives it up")]
        status = str(call.answer.get("status"))
        took = f" after {span(call.answer.get('seconds'))}"
        lines.append([("head", "Answer    "), (_colour(status == "ok"), status), took])
        inner = call.answer.get("answer")
        return [*lines, "", *_texts(inner), *json_lines(msgspec.json.encode(inner).decode())]


def _colour(good: bool) -> str:
    return "good" if good else "bad"


def _texts(answer: Any) -> list[Markup]:
    """The text blocks of a result, for they are hard to read as JSON."""
    blocks = answer.get("content") if isinstance(answer, dict) else None
    if not isinstance(blocks, list):
        return []
    texts = [str(b.get("text", "")) for b in blocks if isinstance(b, dict) and b.get("text")]
    lines = [("text", clean(line)) for text in texts for line in text.splitlines()]
    return [*lines, ""] if lines else []
