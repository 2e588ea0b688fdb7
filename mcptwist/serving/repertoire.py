"""Everything a server offers, and the answers about it that need no memory of the client.

MCP 2026-07-28 and 2025-11-25: *Tools*, *Resources*, *Prompts*, *Completion*,
*Pagination*.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import Raw
from twisted.logger import Logger
from twisted.python.failure import Failure

from mcptwist.errors import InvalidParams, McpTwistError, MethodNotFound, UnknownName
from mcptwist.messages import Json
from mcptwist.serving.calls import Call, MissingCapability, Refused, Turn
from mcptwist.serving.context import Context
from mcptwist.serving.features import Completion, Prompt, Resource, Shelf, Template, Tool
from mcptwist.serving.heldcalls import HeldCalls
from mcptwist.serving.terms import Terms

S = TypeVar("S", bound=msgspec.Struct)

INPUT_ERRORS_ARE_RESULTS = "2025-11-25"
"""From this revision on, arguments that do not fit are told to the model (SEP-1303)."""


class ResourceNotFound(UnknownName):
    """No resource there; the legacy revisions have a code of their own for it."""

    rpc_code = -32002


class _ListParams(msgspec.Struct):
    cursor: str | None = None


class _Asked(msgspec.Struct):
    """What the retry of a request brings along (MCP *Multi Round-Trip Requests*)."""

    inputResponses: dict[str, Raw] | None = None
    requestState: str | None = None


class _CallParams(_Asked, kw_only=True):
    name: str
    arguments: Raw = Raw(b"{}")


class _PromptParams(_Asked, kw_only=True):
    name: str
    arguments: dict[str, str] = {}


class UriParams(msgspec.Struct):
    """The params of the methods that are about one resource."""

    uri: str


class _ReadParams(_Asked, kw_only=True):
    uri: str


class _Reference(msgspec.Struct):
    type: str
    name: str = ""
    uri: str = ""


class _Argument(msgspec.Struct):
    name: str
    value: str


class _Filled(msgspec.Struct):
    arguments: dict[str, str] = {}


class _CompleteParams(msgspec.Struct):
    ref: _Reference
    argument: _Argument
    context: _Filled = msgspec.field(default_factory=_Filled)


_decoders: dict[type, msgspec.json.Decoder[Any]] = {}


def read_params(params: Json, kind: type[S]) -> S:
    """The params of a request as *kind*.

    :raises InvalidParams: saying which is wrong and what was expected.
    """
    decoder = _decoders.setdefault(kind, msgspec.json.Decoder(kind))
    try:
        value: S = decoder.decode(params or b"{}")
    except (msgspec.DecodeError, RecursionError) as problem:
        raise InvalidParams(f"params: {problem}") from None
    return value


class FunctionWork:
    """A feature's function with its arguments; what fails is answered with an error."""

    _log = Logger()

    def __init__(self, feature: Any, label: str, arguments: dict[str, Any]) -> None:
        self.feature = feature
        self.label = label
        self._arguments = arguments

    def start(self, call: Call) -> Any:
        """Run the function."""
        given = self.feature.parameters.given
        if given is not None:
            self._arguments[given] = Context(call)
        return self.feature.function(**self._arguments)

    def result(self, value: Any) -> dict[str, Any]:
        """The result for what it returned."""
        answer: dict[str, Any] = self.feature.result(value)
        return answer

    def broken(self, failure: Failure, terms: Terms) -> dict[str, Any] | McpTwistError:
        """An error: the function's own words if it meant them for the caller."""
        problem = self._problem(failure, terms)
        return McpTwistError(self._report(failure)) if problem is None else problem

    def _problem(self, failure: Failure, terms: Terms) -> McpTwistError | None:
        """What it raised, if it was one of ours; the legacy revisions know fewer."""
        problem = failure.value
        if isinstance(problem, MissingCapability) and not terms.modern:
            return Refused(problem.message)
        return problem if isinstance(problem, McpTwistError) else None

    def _report(self, failure: Failure) -> str:
        """Log what happened; say no more of it than its kind, for the rest may be secret."""
        self._log.failure("{label} failed", failure, label=self.label)
        kind = type(failure.value).__name__
        return f"{self.label} failed with {kind}; the server's log has the details"


class ToolWork(FunctionWork):
    """A tool's function; what fails is a result, for models learn from results."""

    def broken(self, failure: Failure, terms: Terms) -> dict[str, Any] | McpTwistError:
        """A result with ``isError``, but errors about the protocol stay errors."""
        problem = self._problem(failure, terms)
        if problem is None:
            return _tool_error(self._report(failure))
        return _tool_error(problem.message) if isinstance(problem, Refused) else problem


class Repertoire:
    """Everything a server offers.

    :param held: where calls wait for their clients.
    :param page_size: how many of a list are told at once.
    """

    def __init__(self, held: HeldCalls, page_size: int) -> None:
        self.tools: Shelf[Tool] = Shelf("tool")
        self.resources: Shelf[Resource] = Shelf("resource")
        self.templates: Shelf[Template] = Shelf("resource template")
        self.prompts: Shelf[Prompt] = Shelf("prompt")
        self.completions: dict[tuple[str, str], Completion] = {}
        self.answers: Mapping[str, Callable[[Turn], None]] = {
            "tools/list": self._list_tools,
            "tools/call": self._call_tool,
            "resources/list": self._list_resources,
            "resources/templates/list": self._list_templates,
            "resources/read": self._read_resource,
            "prompts/list": self._list_prompts,
            "prompts/get": self._get_prompt,
            "completion/complete": self._complete,
        }
        self._held = held
        self._page_size = page_size

    def capabilities(self) -> dict[str, Any]:
        """What the server can do, as handshakes tell it."""
        capabilities: dict[str, Any] = {"logging": {}, "tools": {"listChanged": True}}
        if len(self.resources) or len(self.templates):
            capabilities["resources"] = {"subscribe": True, "listChanged": True}
        if len(self.prompts):
            capabilities["prompts"] = {"listChanged": True}
        if self.completions:
            capabilities["completions"] = {}
        return capabilities

    def require_resource(self, uri: str, terms: Terms) -> tuple[Resource, dict[str, str]]:
        """What is to be read at *uri*, and the values of its template's variables.

        :raises UnknownName: there is nothing.
        """
        found = self._found(uri)
        if found is None:
            kind = UnknownName if terms.modern else ResourceNotFound
            raise kind(f"there is no resource {uri!r}", uri=uri)
        return found

    def _found(self, uri: str) -> tuple[Resource, dict[str, str]] | None:
        resource = self.resources.get(uri)
        if resource is not None:
            return resource, {}
        for template in self.templates:
            variables = template.match(uri)
            if variables is not None:
                return template.at(uri), variables
        return None

    def _list_tools(self, turn: Turn) -> None:
        self._list(turn, "tools", self.tools)

    def _list_resources(self, turn: Turn) -> None:
        self._list(turn, "resources", self.resources)

    def _list_templates(self, turn: Turn) -> None:
        self._list(turn, "resourceTemplates", self.templates)

    def _list_prompts(self, turn: Turn) -> None:
        self._list(turn, "prompts", self.prompts)

    def _list(self, turn: Turn, member: str, shelf: Shelf[Any]) -> None:
        cursor = read_params(turn.params, _ListParams).cursor
        listings, following = shelf.page(cursor, self._page_size)
        result: dict[str, Any] = {member: listings}
        if following is not None:
            result["nextCursor"] = following
        turn.answer(result)

    def _call_tool(self, turn: Turn) -> None:
        params = read_params(turn.params, _CallParams)
        tool = self.tools.get(params.name)
        if tool is None:
            raise UnknownName(f"there is no tool {params.name!r}", name=params.name)
        if self._went_on(turn, params):
            return
        try:
            arguments = tool.parameters.read(params.arguments)
        except InvalidParams as problem:
            if turn.terms.revision < INPUT_ERRORS_ARE_RESULTS:
                raise
            turn.answer(_tool_error(problem.message))
            return
        Call(ToolWork(tool, f"the tool {tool.name}", arguments), turn, self._held).begin()

    def _read_resource(self, turn: Turn) -> None:
        params = read_params(turn.params, _ReadParams)
        resource, variables = self.require_resource(params.uri, turn.terms)
        if self._went_on(turn, params):
            return
        arguments = resource.parameters.read_texts(variables)
        label = f"reading {resource.uri}"
        Call(FunctionWork(resource, label, arguments), turn, self._held).begin()

    def _get_prompt(self, turn: Turn) -> None:
        params = read_params(turn.params, _PromptParams)
        prompt = self.prompts.get(params.name)
        if prompt is None:
            raise UnknownName(f"there is no prompt {params.name!r}", name=params.name)
        if self._went_on(turn, params):
            return
        arguments = prompt.parameters.read_texts(params.arguments)
        work = FunctionWork(prompt, f"the prompt {prompt.name}", arguments)
        Call(work, turn, self._held).begin()

    def _went_on(self, turn: Turn, params: _Asked) -> bool:
        """Whether the request was a held call's next turn, which it now has."""
        if params.requestState is None or not turn.terms.modern:
            return False
        call = self._held.find(params.requestState, turn.exchange.request)
        values = call.read_answers(params.inputResponses or {})
        self._held.release(params.requestState)
        call.go_on(turn, values)
        return True

    def _complete(self, turn: Turn) -> None:
        if not self.completions:
            raise MethodNotFound("this server completes nothing")
        params = read_params(turn.params, _CompleteParams)
        named = self._named(params.ref)
        completion = self.completions.get((named, params.argument.name))
        if completion is None:
            turn.answer({"completion": {"values": [], "total": 0, "hasMore": False}})
            return
        Call(CompletionWork(completion, params), turn, self._held).begin()

    def _named(self, ref: _Reference) -> str:
        """The key of what is completed.

        :raises UnknownName: there is no such prompt or template.
        :raises InvalidParams: it is neither.
        """
        if ref.type == "ref/prompt":
            if self.prompts.get(ref.name) is None:
                raise UnknownName(f"there is no prompt {ref.name!r}", name=ref.name)
            return ref.name
        if ref.type == "ref/resource":
            if self.templates.get(ref.uri) is None and self.resources.get(ref.uri) is None:
                raise UnknownName(f"there is no resource template {ref.uri!r}", uri=ref.uri)
            return ref.uri
        raise InvalidParams(f"params.ref.type is {ref.type!r}, not ref/prompt or ref/resource")


class CompletionWork(FunctionWork):
    """A completion with the text so far and the arguments already filled in."""

    def __init__(self, completion: Completion, params: _CompleteParams) -> None:
        super().__init__(completion, f"completing {params.argument.name}", {})
        self._params = params

    def start(self, call: Call) -> Any:
        """Run the function."""
        typed = self._params.argument.value
        if self.feature.takes_context:
            return self.feature.function(typed, self._params.context.arguments)
        return self.feature.function(typed)


def _tool_error(text: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}], "isError": True}
