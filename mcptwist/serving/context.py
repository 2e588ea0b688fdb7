"""What a function of a server's knows about who asks, and how it speaks with them.

A function gets a :class:`Context` by having a parameter of that type::

    @server.tool
    async def rename(old: str, ctx: Context) -> str: …

MCP 2026-07-28 and 2025-11-25: *Progress*, *Logging*, *Elicitation*, *Sampling*, *Roots*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Generic, Literal, TypeVar, overload

import msgspec
from msgspec import Raw
from twisted.internet.defer import Deferred

from mcptwist.errors import InvalidParams
from mcptwist.messages import Json
from mcptwist.serving.calls import Call
from mcptwist.serving.content import PromptMessage, present
from mcptwist.serving.question import Question
from mcptwist.serving.schema import form_of
from mcptwist.versions import LEGACY, MODERN

T = TypeVar("T")
R = TypeVar("R")

Level = Literal["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"]
LEVELS: tuple[str, ...] = Level.__args__  # type: ignore[attr-defined]


class Elicited(msgspec.Struct, Generic[R], frozen=True):
    """What the person said to a form.

    :ivar content: what was filled in; ``None`` unless accepted.
    """

    action: Literal["accept", "decline", "cancel"]
    content: R | None = None

    @property
    def accepted(self) -> bool:
        """Whether the person filled the form in and sent it."""
        return self.action == "accept"


class Sampled(msgspec.Struct, frozen=True, rename="camel"):
    """What the client's model said.

    :ivar content: a content block, or a list of them, as the protocol has it.
    """

    role: str
    content: dict[str, Any] | list[dict[str, Any]]
    model: str
    stop_reason: str | None = None

    @property
    def text(self) -> str:
        """The text of it, as one string."""
        blocks = self.content if isinstance(self.content, list) else [self.content]
        return "".join(block.get("text", "") for block in blocks if block.get("type") == "text")


class Root(msgspec.Struct, frozen=True):
    """A place in the client's file system that it lets the server know of."""

    uri: str
    name: str | None = None


class _Roots(msgspec.Struct):
    roots: list[Root]


class _Form(msgspec.Struct):
    action: Literal["accept", "decline", "cancel"]
    content: Raw = Raw(b"{}")


class Context:
    """Who asks, and the ways to speak with them while their request is open."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._progress: float | None = None

    @property
    def revision(self) -> str:
        """The protocol revision the client speaks, such as ``2025-11-25``."""
        return self._call.terms.revision

    @property
    def era(self) -> str:
        """``legacy`` or ``modern``."""
        return MODERN if self._call.terms.modern else LEGACY

    @property
    def client(self) -> Mapping[str, Any]:
        """Who the client says it is (``name``, ``version``, …): not verified, perhaps empty."""
        return self._call.terms.client

    @property
    def capabilities(self) -> Mapping[str, Any]:
        """What the client declared it can do."""
        return self._call.terms.capabilities

    @property
    def meta(self) -> dict[str, Any]:
        """The request's ``_meta``, opened."""
        return {name: msgspec.json.decode(raw) for name, raw in self._call.terms.meta.items()}

    @property
    def backlog(self) -> int:
        """Bytes that the client was told and has not taken yet."""
        turn = self._call.turn
        return 0 if turn is None else turn.conversation.backlog

    def can(self, capability: str, part: str | None = None) -> bool:
        """Whether the client can be asked that: ``elicitation``, ``sampling``, ``roots``."""
        return self._call.terms.can(capability, part)

    def log(self, level: Level, data: Any, logger: str | None = None) -> None:
        """Tell the client something it may log; dropped if it wants no such level.

        :param data: anything that can be JSON; never a secret.
        """
        wanted = self._call.terms.log_level
        if wanted is None or LEVELS.index(level) < LEVELS.index(wanted):
            return
        self._say("notifications/message", present(level=level, logger=logger, data=data))

    def progress(
        self,
        done: float,
        total: float | None = None,
        message: str | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        """Tell the client how far it is; dropped if it did not ask, or if it is not further.

        :param done: how much is done, in any unit; more each time.
        :param total: how much there is to do, if known.
        :param meta: goes to the client as ``_meta``, for programs that know more.
        """
        token = self._call.terms.token
        if token is None or (self._progress is not None and done <= self._progress):
            return
        self._progress = done
        told = present(progressToken=token, progress=done, total=total, message=message, _meta=meta)
        self._say("notifications/progress", told)

    @overload
    def elicit(self, message: str, form: type[T]) -> Deferred[Elicited[T]]: ...

    @overload
    def elicit(
        self, message: str, form: Mapping[str, Any]
    ) -> Deferred[Elicited[dict[str, Any]]]: ...

    def elicit(self, message: str, form: Any) -> Deferred[Any]:
        """Have the person fill in a form.

        :param form: a class with annotated primitive members (dataclass, Struct,
            ``TypedDict``), of which the content will be one; or a JSON Schema.
        :return: fires with :class:`Elicited`; fails with ``MissingCapability``
            when the client has no forms.
        :raises TypeError: the class has members that a form cannot have.
        """
        schema, kind = (
            (form, dict[str, Any]) if isinstance(form, Mapping) else (form_of(form), form)
        )
        params: dict[str, Any] = {"message": message, "requestedSchema": schema}
        if self._call.terms.modern:
            params["mode"] = "form"
        return self._ask("elicitation/create", params, ("elicitation", "form"), _form_reader(kind))

    def sample(
        self,
        messages: str | Sequence[PromptMessage],
        max_tokens: int,
        *,
        system_prompt: str | None = None,
        **more: Any,
    ) -> Deferred[Sampled]:
        """Have the client's model say something.

        :param max_tokens: how long it may be.
        :param more: further params, as the protocol spells them.
        :return: fires with :class:`Sampled`; fails with ``MissingCapability``
            when the client lends no model.
        """
        said = [PromptMessage(messages)] if isinstance(messages, str) else messages
        params = present(
            messages=[message.told() for message in said],
            maxTokens=max_tokens,
            systemPrompt=system_prompt,
            **more,
        )
        needs = ("sampling", "tools" if "tools" in more else None)
        return self._ask("sampling/createMessage", params, needs, _reader(Sampled))

    def list_roots(self) -> Deferred[list[Root]]:
        """Ask where in its file system the client is at work.

        :return: fires with the roots; fails with ``MissingCapability`` when the
            client tells none.
        """
        read = _reader(_Roots)
        return self._ask("roots/list", {}, ("roots", None), lambda answer: read(answer).roots)

    def _say(self, method: str, params: Any) -> None:
        if self._call.turn is not None:
            self._call.turn.say(method, params)

    def _ask(
        self, method: str, params: Any, needs: tuple[str, str | None], read: Any
    ) -> Deferred[Any]:
        return self._call.ask(Question(method, params, needs, read))


def _reader(kind: Any) -> Any:
    decode = msgspec.json.Decoder(kind).decode

    def read(answer: Json) -> Any:
        try:
            return decode(answer)
        except (msgspec.DecodeError, RecursionError) as problem:
            raise InvalidParams(str(problem)) from None

    return read


def _form_reader(kind: Any) -> Any:
    outer, inner = _reader(_Form), _reader(kind)

    def read(answer: Json) -> Elicited[Any]:
        form = outer(answer)
        if form.action != "accept":
            return Elicited(form.action)
        return Elicited("accept", inner(form.content))

    return read
