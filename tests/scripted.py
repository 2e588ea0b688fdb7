"""A server that answers from a script, and whoever asks it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from zope.interface import implementer

from mcptwist.errors import McpTwistError, MethodNotFound
from mcptwist.exchange import Exchange
from mcptwist.interfaces import IBackChannel, ICatalogued, IReply, ISource
from mcptwist.messages import Answer, Error, Message, Notification, Request, Result, encode_json
from mcptwist.negotiation import Envelope, modern_meta
from mcptwist.session import Session, Visit, visit

Script = Mapping[str, Any]


def opened(json: Any) -> Any:
    """JSON, opened all the way down."""
    return msgspec.json.decode(json) if json else {}


@implementer(ICatalogued)
class ScriptedServer:
    """Answers each method with what its script says: a result, an error of ours, or what a
    function makes of the exchange; ``None`` is to say nothing yet.

    :ivar asked: the exchanges it was asked, in order.
    :ivar resting: whether it would have to be started.
    """

    def __init__(self, script: Script | None = None) -> None:
        self.script = dict(script or {})
        self.asked: list[Exchange] = []
        self.overheard: list[tuple[Any, Notification]] = []
        self.detached: list[Any] = []
        self.watchers: list[Any] = []
        self.followers: list[Any] = []
        self.announced: list[Notification] = []
        self.name = "scripted"
        self.resting = False
        self.brought_up = 0

    def enquire(self, exchange: Exchange) -> None:
        self.begin(exchange)

    def answers_in(self, stay: Any) -> str:
        return stay.era

    def is_alone(self, stay: Any) -> bool:
        return False

    def rests(self, stay: Any) -> bool:
        return self.resting

    def bring_up(self, stay: Any) -> None:
        self.brought_up += 1

    def follow(self, session: Session) -> None:
        self.followers.append(session)

    def announce(self, notification: Notification) -> None:
        self.announced.append(notification)

    def begin(self, exchange: Exchange) -> None:
        self.asked.append(exchange)
        method = exchange.request.method
        answer = self.script.get(method, MethodNotFound(f"no {method} here"))
        if isinstance(answer, Callable):  # type: ignore[arg-type]
            answer = answer(exchange)
        if isinstance(answer, McpTwistError):
            exchange.fail(answer)
        elif answer is not None:
            exchange.succeed(answer)

    def overhear(self, session: Session, notification: Notification) -> None:
        self.overheard.append((session, notification))

    def detach(self, session: Session) -> None:
        self.detached.append(session)

    def asked_for(self, method: str) -> list[Any]:
        """The params of every request of that method."""
        return [opened(e.request.params) for e in self.asked if e.request.method == method]

    def open(self, method: str) -> Exchange:
        """The last request of that method that waits for its answer."""
        return [e for e in self.asked if e.request.method == method and not e.over][-1]


def tools(*names: str, **more: Any) -> dict[str, Any]:
    """A page of tools."""
    return {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in names], **more}


@implementer(IReply)
class Heard:
    """A reply that remembers.

    :ivar said: what was said before the answer, opened.
    :ivar answer: the result or error, opened; ``None`` until there is one.
    """

    def __init__(self) -> None:
        self.said: list[tuple[str, Any]] = []
        self.questions: list[Exchange] = []
        self.answer: Any = None
        self.error: Any = None
        self.answers = 0
        self.gone: str | None = None

    def notified(self, exchange: Exchange, notification: Notification) -> None:
        self.said.append((notification.method, opened(notification.params)))

    def asked(self, exchange: Exchange, question: Exchange) -> None:
        self.questions.append(question)

    def answered(self, exchange: Exchange, answer: Answer) -> None:
        self.answers += 1
        if isinstance(answer, Result):
            self.answer = opened(answer.result)
        else:
            assert isinstance(answer, Error)
            self.error = opened(answer.error)

    def cancelled(self, exchange: Exchange, reason: str) -> None:
        self.gone = reason


@implementer(IBackChannel)
class Back:
    """A back channel that remembers."""

    def __init__(self) -> None:
        self.said: list[Message] = []

    def say(self, message: Message) -> bool:
        self.said.append(message)
        return True


@implementer(ISource)
class Source:
    """A source that remembers how it was asked to flow."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def hold(self, exchange: Exchange) -> None:
        self.told.append("hold")

    def release(self, exchange: Exchange) -> None:
        self.told.append("release")


HELLO = {
    "protocolVersion": "2025-06-18",
    "capabilities": {"elicitation": {}},
    "clientInfo": {"name": "tester", "version": "1"},
}
CLIENT = {"name": "tester", "version": "1"}


def modern_visit(principal: str = "") -> Visit:
    """The stay of a modern client's request."""
    raw = msgspec.Raw
    return visit(Envelope("2026-07-28", raw(b"{}"), raw(encode_json(CLIENT))), principal)


def modern_request(method: str, params: Mapping[str, Any] | None = None, id: Any = 1) -> Request:
    """A modern client's request."""
    return Request(id, method, encode_json({**(params or {}), "_meta": modern_meta(CLIENT)}))
