"""Writing an MCP server in Python, inside a Twisted application.

::

    from mcptwist.server import Context, Server

    server = Server("clock", version="1")

    @server.tool
    async def now(zone: str = "UTC") -> str:
        "The time in a zone."

Functions may be plain, ``async def`` (they may await Deferreds), or return a
Deferred. They run in the reactor's thread: one that blocks returns
``deferToThread(…)`` instead. The same server speaks with clients of every
revision; which one it is shows only in what a :class:`Context` can do.

A :class:`Server` does no input or output. It :meth:`~Server.serve`\\ s one
:class:`~mcptwist.serving.conversation.Conversation` per wire.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar, overload

import msgspec
from msgspec import Raw
from twisted.internet.interfaces import IReactorTime

from mcptwist.interfaces import IWire
from mcptwist.messages import encode_json
from mcptwist.negotiation import SERVER_KEY
from mcptwist.serving.calls import MissingCapability, Refused
from mcptwist.serving.content import (
    Audio,
    Content,
    EmbeddedResource,
    Image,
    PromptMessage,
    ResourceLink,
    Text,
    ToolResult,
    present,
)
from mcptwist.serving.context import Context, Elicited, Root, Sampled
from mcptwist.serving.conversation import PROMPTS, RESOURCES, TOOLS, Conversation
from mcptwist.serving.features import (
    Template,
    make_completion,
    make_prompt,
    make_resource,
    make_tool,
)
from mcptwist.serving.heldcalls import HeldCalls
from mcptwist.serving.question import AnswerRefused
from mcptwist.serving.repertoire import Repertoire
from mcptwist.serving.schema import Header

__all__ = [
    "AnswerRefused",
    "Audio",
    "Content",
    "Context",
    "Elicited",
    "EmbeddedResource",
    "Header",
    "Image",
    "Limits",
    "MissingCapability",
    "PromptMessage",
    "Refused",
    "ResourceLink",
    "Root",
    "Sampled",
    "Server",
    "Text",
    "ToolResult",
]

F = TypeVar("F", bound=Callable[..., Any])

_CACHEABLE = frozenset(
    {
        "server/discover",
        "tools/list",
        "prompts/list",
        "resources/list",
        "resources/templates/list",
        "resources/read",
    }
)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a server takes upon itself at once.

    :ivar in_flight: requests open per wire, streams included, and questions of ours
        likewise; a daemon's clients may all share one wire.
    :ivar held: calls waiting for their (modern) clients to come back.
    :ivar patience: seconds that a client has to answer a question.
    :ivar watched: resources watched per wire (legacy) or stream (modern).
    :ivar page_size: members of a list told at once.
    """

    in_flight: int = 8192
    held: int = 256
    patience: float = 600.0
    watched: int = 1000
    page_size: int = 100


class Server:
    """An MCP server made of Python functions.

    :param name: as clients get to see it.
    :param version: of the server.
    :param instructions: for models, about the server as a whole.
    :param title: its name for people.
    :param website: where to read more about it.
    :param icons: as the protocol spells them.
    :param ttl: seconds that clients may keep lists and resources (modern only).
    :param cache_scope: ``public`` when they are the same for everybody.
    :param unguessable: makes names that cannot be guessed, for held calls.

    :ivar refused: how often each limit was reached, by its name.
    """

    def __init__(
        self,
        name: str,
        *,
        version: str = "0",
        instructions: str | None = None,
        title: str | None = None,
        website: str | None = None,
        icons: list[dict[str, Any]] | None = None,
        ttl: float = 0.0,
        cache_scope: Literal["public", "private"] = "private",
        limits: Limits | None = None,
        unguessable: Callable[[], str] = secrets.token_urlsafe,
    ) -> None:
        self.name = name
        self.limits = limits or Limits()
        self.refused: Counter[str] = Counter()
        self._info = _json(
            present(name=name, version=version, title=title, websiteUrl=website, icons=icons)
        )
        self._instructions = instructions
        self._caching = {"ttlMs": max(0, round(ttl * 1000)), "cacheScope": cache_scope}
        self._conversations: set[Conversation] = set()
        self._held = HeldCalls(self.limits.held, self.limits.patience, unguessable, self.refused)
        self.repertoire = Repertoire(self._held, self.limits.page_size)

    def __repr__(self) -> str:
        return f"<Server {self.name!r}>"

    # --- what it offers -----------------------------------------------------------

    @overload
    def tool(self, function: F, /) -> F: ...

    @overload
    def tool(
        self,
        /,
        *,
        name: str | None = None,
        title: str | None = None,
        description: str | None = None,
        read_only: bool | None = None,
        destructive: bool | None = None,
        idempotent: bool | None = None,
        open_world: bool | None = None,
        icons: list[dict[str, Any]] | None = None,
        meta: dict[str, Any] | None = None,
    ) -> Callable[[F], F]: ...

    def tool(self, function: F | None = None, /, **told: Any) -> F | Callable[[F], F]:
        """Decorate a function that models may call; see :meth:`add_tool`.

        The function itself stays as it is.
        """

        def put_up(function: F) -> F:
            self.add_tool(function, **told)
            return function

        return put_up if function is None else put_up(function)

    def add_tool(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        title: str | None = None,
        description: str | None = None,
        read_only: bool | None = None,
        destructive: bool | None = None,
        idempotent: bool | None = None,
        open_world: bool | None = None,
        icons: list[dict[str, Any]] | None = None,
        meta: dict[str, Any] | None = None,
    ) -> None:
        """Let models call *function*. Clients that are connected get to hear of it.

        :param name: the function's own if not given.
        :param description: the docstring if not given.
        :param read_only: a hint: it changes nothing.
        :param destructive: a hint: what it changes may be lost.
        :param idempotent: a hint: calling it twice is the same as once.
        :param open_world: a hint: it reaches things outside.
        :param icons: as the protocol spells them.
        :param meta: goes to clients as ``_meta``.
        :raises TypeError: its annotations make no schema.
        :raises ValueError: the name is taken, or not one that MCP allows.
        """
        hints = {
            "readOnlyHint": read_only,
            "destructiveHint": destructive,
            "idempotentHint": idempotent,
            "openWorldHint": open_world,
        }
        tool = make_tool(
            function,
            Context,
            name=name,
            title=title,
            description=description,
            hints=hints,
            icons=icons,
            meta=meta,
        )
        self.repertoire.tools.add(tool.name, tool)
        self._changed(TOOLS)

    def remove_tool(self, name: str) -> None:
        """Take a tool away.

        :raises KeyError: there is none of that name.
        """
        self.repertoire.tools.remove(name)
        self._changed(TOOLS)

    def resource(self, uri: str, **told: Any) -> Callable[[F], F]:
        """Decorate a function that is read at *uri*; see :meth:`add_resource`."""

        def put_up(function: F) -> F:
            self.add_resource(uri, function, **told)
            return function

        return put_up

    def add_resource(
        self,
        uri: str,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        title: str | None = None,
        description: str | None = None,
        mime_type: str | None = None,
        size: int | None = None,
        annotations: dict[str, Any] | None = None,
        icons: list[dict[str, Any]] | None = None,
        meta: dict[str, Any] | None = None,
    ) -> None:
        """Let clients read what *function* returns, at *uri*.

        :param uri: with ``{name}`` in it, a template: the function's parameters
            are then the names. They arrive decoded and may hold anything, slashes
            and dots included: a function that opens files has to check them.
        :param size: of the content, in bytes, if known.
        :raises TypeError: the parameters are not the URI's variables.
        :raises ValueError: the URI is taken or malformed.
        """
        feature = make_resource(
            uri,
            function,
            Context,
            mime_type=mime_type,
            name=name,
            title=title,
            description=description,
            size=size,
            annotations=annotations,
            icons=icons,
            _meta=meta,
        )
        if isinstance(feature, Template):
            self.repertoire.templates.add(uri, feature)
        else:
            self.repertoire.resources.add(uri, feature)
        self._changed(RESOURCES)

    def remove_resource(self, uri: str) -> None:
        """Take a resource or a template away.

        :raises KeyError: there is none of that URI.
        """
        is_template = self.repertoire.templates.get(uri) is not None
        (self.repertoire.templates if is_template else self.repertoire.resources).remove(uri)
        self._changed(RESOURCES)

    def resource_updated(self, uri: str) -> None:
        """Tell those who watch the resource at *uri* that it changed."""
        for conversation in list(self._conversations):
            conversation.updated(uri)

    @overload
    def prompt(self, function: F, /) -> F: ...

    @overload
    def prompt(
        self,
        /,
        *,
        name: str | None = None,
        title: str | None = None,
        description: str | None = None,
        icons: list[dict[str, Any]] | None = None,
        meta: dict[str, Any] | None = None,
    ) -> Callable[[F], F]: ...

    def prompt(self, function: F | None = None, /, **told: Any) -> F | Callable[[F], F]:
        """Decorate a function that begins a conversation; see :meth:`add_prompt`."""

        def put_up(function: F) -> F:
            self.add_prompt(function, **told)
            return function

        return put_up if function is None else put_up(function)

    def add_prompt(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        title: str | None = None,
        description: str | None = None,
        icons: list[dict[str, Any]] | None = None,
        meta: dict[str, Any] | None = None,
    ) -> None:
        """Let people begin a conversation with what *function* returns.

        Its arguments come as text; those annotated as numbers are read from it.

        :raises TypeError: its annotations make no schema.
        :raises ValueError: the name is taken.
        """
        prompt = make_prompt(
            function,
            Context,
            name=name,
            description=description,
            title=title,
            icons=icons,
            _meta=meta,
        )
        self.repertoire.prompts.add(prompt.name, prompt)
        self._changed(PROMPTS)

    def remove_prompt(self, name: str) -> None:
        """Take a prompt away.

        :raises KeyError: there is none of that name.
        """
        self.repertoire.prompts.remove(name)
        self._changed(PROMPTS)

    def completion(self, of: str, argument: str) -> Callable[[F], F]:
        """Decorate a function that proposes values for an argument.

        It gets the text typed so far and, if it has a second parameter, the
        arguments already filled in; it returns the proposals, best first.

        :param of: the name of a prompt, or the URI of a template.
        :param argument: which of its arguments.
        :raises TypeError: it takes neither one nor two parameters.
        """

        def put_up(function: F) -> F:
            self.repertoire.completions[of, argument] = make_completion(function)
            return function

        return put_up

    # --- whom it serves -----------------------------------------------------------

    def serve(self, wire: IWire, clock: IReactorTime) -> Conversation:
        """Begin a conversation.

        :param wire: whose reader is to be what comes back.
        :param clock: time, in seconds.
        """
        conversation = Conversation(self, wire, clock)
        self._conversations.add(conversation)
        return conversation

    def close(self) -> None:
        """End all conversations in good order and cancel what is held."""
        for conversation in list(self._conversations):
            conversation.close()
        self._held.drop_all("the server is stopping")

    def left(self, conversation: Conversation) -> None:
        """*conversation* lost its wire."""
        self._conversations.discard(conversation)

    def introduction(self) -> dict[str, Any]:
        """What both kinds of first answer tell about it."""
        return present(
            capabilities=self.repertoire.capabilities(),
            serverInfo=self._info,
            instructions=self._instructions,
        )

    def signed(self, method: str, result: Mapping[str, Any]) -> dict[str, Any]:
        """*result* with what the modern era wants in every answer to *method*.

        MCP 2026-07-28, *ResultType*, *Per-response protocol fields*, *Caching*.
        """
        meta = {SERVER_KEY: self._info, **result.get("_meta", {})}
        signed = {"resultType": "complete", **result, "_meta": meta}
        if method in _CACHEABLE and signed["resultType"] == "complete":
            signed = {**self._caching, **signed}
        return signed

    def _changed(self, kind: str) -> None:
        for conversation in list(self._conversations):
            conversation.changed(kind)


def _json(value: Any) -> Raw:
    return Raw(encode_json(value))
