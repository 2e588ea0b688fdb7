"""Asking MCP servers from Python: the friendly side of the house::

    from twisted.internet.defer import Deferred
    from twisted.internet.task import react
    from mcptwist.client import connect

    async def main(reactor):
        async with await connect("http://127.0.0.1:8808/mcp", reactor=reactor) as client:
            for tool in await client.list_tools():
                print(tool["name"])
            print((await client.call_tool("add", {"a": 1, "b": 2})).text)

    react(lambda reactor: Deferred.fromCoroutine(main(reactor)))

Everything that takes time returns a Deferred, so it can be awaited in a coroutine
or be given callbacks. Era and wire are found out. A connection that is lost is
made again by the next call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import msgspec
from msgspec import Raw
from twisted.internet.defer import Deferred
from zope.interface import implementer

import mcptwist
from mcptwist.awaited import Awaited, Refused
from mcptwist.catalog.listings import UNAVAILABLE_KEY
from mcptwist.configuration.reach import WITH_PERSON, Reach
from mcptwist.errors import EraMismatch, McpTwistError, MethodNotFound, ServerMisbehaved
from mcptwist.exchange import PROGRESS
from mcptwist.interfaces import ICompany, IConnector
from mcptwist.messages import Notification, encode_json
from mcptwist.negotiation import hello_params, modern_meta
from mcptwist.opening import Discovering, Handshake
from mcptwist.patience import Patience
from mcptwist.supervisor import Supervisor, SupervisorSettings, end_connections
from mcptwist.versions import MODERN

if TYPE_CHECKING:
    from mcptwist.exchange import Exchange

__all__ = ["Client", "Progress", "Refused", "ToolResult", "connect"]

AUTO = "auto"
_PAGES = 1000


class Progress(msgspec.Struct, frozen=True):
    """How far a call is."""

    progress: float
    total: float | None = None
    message: str | None = None


class ToolResult(msgspec.Struct, frozen=True, rename="camel"):
    """What a tool answered.

    :ivar content: its blocks, as JSON has them.
    :ivar structured_content: the same for programs, where the tool has it.
    :ivar is_error: whether the tool says that it failed.
    :ivar whole: the result as it came.
    """

    content: list[dict[str, Any]] = []
    structured_content: Any = None
    is_error: bool = False
    whole: dict[str, Any] = {}

    @property
    def text(self) -> str:
        """The text blocks, joined by line ends."""
        texts = [str(b.get("text", "")) for b in self.content if b.get("type") == "text"]
        return "\n".join(texts)


def connect(
    where: str | IConnector,
    *,
    reactor: Any = None,
    headers: Sequence[tuple[str, str]] = (),
    reach: Reach | None = None,
    era: str = AUTO,
    name: str = "",
    told: Callable[[Notification], None] | None = None,
    settings: SupervisorSettings | None = None,
) -> Deferred[Client]:
    """Connect to a server.

    :param where: its URL (http, https, ws or wss), or a way to it.
    :param reactor: by default the one that runs.
    :param headers: sent with every request, where *where* is a URL.
    :param reach: what both ends prove to each other there; by default its certificate must be
        trusted, or ``known_hosts`` have its key.
    :param era: ``auto``, ``modern`` or ``legacy``.
    :param name: what errors call the server; made from *where* otherwise.
    :param told: told what the server says by itself.
    :return: fires when a revision is agreed; fails with
        :class:`~mcptwist.errors.McpTwistError`, which tells why not.
    """
    if reactor is None:
        from twisted.internet import reactor
    if isinstance(where, str):
        from mcptwist.wiring.reaching import way_to

        connector = way_to(where, reactor, headers, reach)
    else:
        connector = where
    if settings is None and reach is not None and reach.may_ask:
        settings = SupervisorSettings(WITH_PERSON)
    client = Client(connector, reactor, name or connector.description, told, settings)
    return Deferred.fromCoroutine(client._open(era))


class Client:
    """One server, connected to; made by :func:`connect`.

    :ivar era: ``legacy`` or ``modern``.
    :ivar revision: the revision that was agreed.
    :ivar welcome: what the server said of itself, as plain Python values.
    :ivar missing: where several servers are asked as one, those that were missing from the lists
        so far, each with the reason.
    """

    identity = {"name": "mcptwist", "version": mcptwist.__version__}

    def __init__(
        self,
        connector: IConnector,
        reactor: Any,
        name: str,
        told: Callable[[Notification], None] | None,
        settings: SupervisorSettings | None,
    ) -> None:
        self.name = name
        self.era = ""
        self.revision = ""
        self.welcome: dict[str, Any] = {}
        self.missing: dict[str, str] = {}
        self._connector = connector
        self._reactor = reactor
        self._audience = _Audience(told)
        self._settings = settings or SupervisorSettings()
        self._supervisor: Supervisor | None = None

    def __repr__(self) -> str:
        return f"<Client of {self.name} {self.revision}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # --- what one can ask -------------------------------------------------------------

    def list_tools(self) -> Deferred[list[dict[str, Any]]]:
        """All tools, as JSON has them."""
        return self._list("tools/list", "tools")

    def list_resources(self) -> Deferred[list[dict[str, Any]]]:
        """All resources."""
        return self._list("resources/list", "resources")

    def list_resource_templates(self) -> Deferred[list[dict[str, Any]]]:
        """All templates of resources."""
        return self._list("resources/templates/list", "resourceTemplates")

    def list_prompts(self) -> Deferred[list[dict[str, Any]]]:
        """All prompts."""
        return self._list("prompts/list", "prompts")

    def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        progress: Callable[[Progress], None] | None = None,
    ) -> Deferred[ToolResult]:
        """Call a tool. Cancelling the Deferred cancels the call.

        :param progress: told how far it is, as often as the server says.
        :return: fails with :class:`Refused` when there is an error instead of a result; a tool
            that says itself that it failed gives a result that says so.
        """
        params = {"name": name, "arguments": dict(arguments or {})}
        return Deferred.fromCoroutine(self._call(params, progress))

    def read(self, uri: str) -> Deferred[list[dict[str, Any]]]:
        """The contents of a resource, as JSON has them."""
        return self.ask("resources/read", {"uri": uri}).addCallback(_contents)

    def get_prompt(
        self, name: str, arguments: Mapping[str, str] | None = None
    ) -> Deferred[dict[str, Any]]:
        """A prompt, filled in."""
        return self.ask("prompts/get", {"name": name, "arguments": dict(arguments or {})})

    def ask(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        heard: Callable[[Notification], None] | None = None,
    ) -> Deferred[dict[str, Any]]:
        """Ask anything.

        :param heard: told what is said before the answer; progress is asked for then.
        :return: the result; fails with :class:`Refused` when the answer is an error.
        """
        return Deferred.fromCoroutine(self._ask(method, params, heard))

    def close(self) -> Deferred[None]:
        """Leave; fires when nothing of the connection is left."""
        assert self._supervisor is not None
        return self._supervisor.stop().addCallback(lambda _: end_connections(self._connector))

    # --- how --------------------------------------------------------------------------

    async def _open(self, era: str) -> Client:
        if era in (AUTO, MODERN):
            try:
                return await self._open_as(Discovering(self.identity))
            except EraMismatch:
                if era == MODERN:
                    raise
        return await self._open_as(Handshake(hello_params({}, self.identity)))

    async def _open_as(self, opening: Any) -> Client:
        supervisor = Supervisor(
            self.name,
            self._connector,
            opening,
            self._audience,
            Patience(),
            self._reactor,
            msgspec.structs.replace(self._settings, restart=False),
        )
        try:
            link = await supervisor.when_up()
        except BaseException:
            await supervisor.stop()
            raise
        self._supervisor = supervisor
        self.era, self.revision = opening.era, link.revision
        self.welcome = msgspec.json.decode(link.welcome)
        return self

    async def _ask(
        self,
        method: str,
        params: Mapping[str, Any] | None,
        heard: Callable[[Notification], None] | None,
    ) -> dict[str, Any]:
        assert self._supervisor is not None
        sent = dict(params or {})
        meta = {**sent.get("_meta", {}), **({"progressToken": 0} if heard is not None else {})}
        if self.era == MODERN:
            meta = {**modern_meta(self.identity), **meta}
        if meta:
            sent["_meta"] = meta
        awaited = Awaited(heard)
        awaited.begin(self._supervisor, method, encode_json(sent) if sent else b"")
        return _object(await awaited.answer, method)

    async def _call(
        self, params: dict[str, Any], progress: Callable[[Progress], None] | None
    ) -> ToolResult:
        heard = None if progress is None else _progress_to(progress)
        result = await self._ask("tools/call", params, heard)
        if result.get("resultType", "complete") != "complete":
            raise ServerMisbehaved(
                f"{self.name} wants to ask something back, which nobody here can answer"
            )
        try:
            return msgspec.convert({**result, "whole": result}, ToolResult)
        except msgspec.ValidationError as problem:
            raise ServerMisbehaved(f"{self.name} answered with no tool result: {problem}") from None

    def _list(self, method: str, member: str) -> Deferred[list[dict[str, Any]]]:
        return Deferred.fromCoroutine(self._pages(method, member))

    async def _pages(self, method: str, member: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        params: dict[str, Any] = {}
        for _ in range(_PAGES):
            page = await self._ask(method, params, None)
            items = page.get(member, [])
            if not isinstance(items, list):
                raise ServerMisbehaved(f"{self.name} answered {method} with no list")
            found += items
            self.missing.update(_missing_from(page))
            if not page.get("nextCursor"):
                return found
            params = {"cursor": page["nextCursor"]}
        raise ServerMisbehaved(f"{self.name} has no end of pages for {method}")


@implementer(ICompany)
class _Audience:
    """Hears what the server says by itself (see :class:`~mcptwist.interfaces.ICompany`)."""

    def __init__(self, told: Callable[[Notification], None] | None) -> None:
        self._told = told

    def admit(self, link: object, exchange: Exchange) -> None:
        """Everything may be asked."""

    def refused(self, exchange: Exchange, problem: EraMismatch) -> None:
        """The server does not speak any more what it spoke before."""
        exchange.fail(problem)

    def up(self, link: object) -> None:
        """There is nothing a new connection has to be told."""

    def told(self, link: object, notification: Notification) -> None:
        """The server said something by itself."""
        if self._told is not None:
            self._told(notification)

    def questioned(self, link: object, question: Exchange) -> None:
        """The server asks, although it was told that nobody answers."""
        question.fail(MethodNotFound("nobody is here to answer that"))


def _progress_to(told: Callable[[Progress], None]) -> Callable[[Notification], None]:
    def heard(notification: Notification) -> None:
        if notification.method == PROGRESS:
            try:
                told(msgspec.json.decode(notification.params, type=Progress))
            except msgspec.DecodeError:
                pass

    return heard


def _object(result: bytes | Raw, method: str) -> dict[str, Any]:
    value = msgspec.json.decode(result)
    if not isinstance(value, dict):
        raise ServerMisbehaved(f"the result of {method} is no object")
    return value


def _missing_from(page: Mapping[str, Any]) -> dict[str, str]:
    """Server → reason, as a list of several servers tells it."""
    meta = page.get("_meta")
    told = meta.get(UNAVAILABLE_KEY) if isinstance(meta, dict) else None
    each = [one for one in told if isinstance(one, dict)] if isinstance(told, list) else []
    return {str(one.get("server")): str(one.get("reason", "")) for one in each}


def _contents(result: dict[str, Any]) -> list[dict[str, Any]]:
    contents = result.get("contents", [])
    if not isinstance(contents, list):
        raise McpTwistError("the result of resources/read holds no list of contents")
    return contents
