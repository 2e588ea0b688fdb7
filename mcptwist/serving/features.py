"""What a server offers: tools, resources, templates, prompts, completions.

Each is a function with what clients are told about it. A :class:`Shelf` keeps
those of one kind in the order they were put up and lists them page by page.

MCP 2026-07-28, *Server Features*; *Pagination*.
"""

from __future__ import annotations

import base64
import binascii
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar
from urllib.parse import unquote

import msgspec
from msgspec import Raw

from mcptwist.errors import InvalidParams
from mcptwist.messages import encode_json
from mcptwist.serving.content import ToolResult, blocks, contents, present, prompt_messages
from mcptwist.serving.schema import Output, Parameters, description_of

Function = Callable[..., Any]

_TOOL_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_VARIABLE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_COMPLETIONS = 100


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """A function that models may call.

    :ivar listing: the member of ``tools/list``, as JSON.
    """

    name: str
    function: Function
    parameters: Parameters
    output: Output | None
    listing: Raw

    def result(self, value: Any) -> dict[str, Any]:
        """The result of ``tools/call`` for what the function returned.

        :raises msgspec.ValidationError: it is not what the tool promised.
        """
        if isinstance(value, ToolResult):
            return self._said_in_full(value)
        if self.output is None:
            return {"content": blocks(value)}
        written = self.output.write(value)
        text = bytes(written).decode()
        return {"content": [{"type": "text", "text": text}], "structuredContent": written}

    def _said_in_full(self, value: ToolResult) -> dict[str, Any]:
        result = present(content=blocks(value.content), _meta=value.meta)
        if value.structured is not msgspec.UNSET:
            checked = self.output.write if self.output and not value.is_error else _json
            result["structuredContent"] = checked(value.structured)
        if value.is_error:
            result["isError"] = True
        return result


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """Something to read, at one URI."""

    uri: str
    function: Function
    parameters: Parameters
    mime_type: str | None
    listing: Raw

    def result(self, value: Any) -> dict[str, Any]:
        """The result of ``resources/read`` for what the function returned."""
        return {"contents": contents(self.uri, value, self.mime_type)}


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """Things to read, at all URIs of one form (RFC 6570, level 1).

    :ivar pattern: matches those URIs; its groups are the variables.
    """

    uri: str
    function: Function
    parameters: Parameters
    mime_type: str | None
    pattern: re.Pattern[str]
    listing: Raw

    def match(self, uri: str) -> dict[str, str] | None:
        """The variables' values in *uri*, decoded; ``None`` when it has another form."""
        found = self.pattern.fullmatch(uri)
        if found is None:
            return None
        try:
            return {k: unquote(v, errors="strict") for k, v in found.groupdict().items()}
        except UnicodeDecodeError:
            return None

    def at(self, uri: str) -> Resource:
        """The one resource at *uri*, which matches."""
        return Resource(
            uri=uri,
            function=self.function,
            parameters=self.parameters,
            mime_type=self.mime_type,
            listing=self.listing,
        )


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation that people may begin, made by a function of texts."""

    name: str
    function: Function
    parameters: Parameters
    description: str | None
    listing: Raw

    def result(self, value: Any) -> dict[str, Any]:
        """The result of ``prompts/get`` for what the function returned."""
        messages = prompt_messages(value)
        return present(description=self.description, messages=messages)


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """A function that proposes values for one argument of a prompt or template.

    It takes the text typed so far and, if it has a second parameter, the
    arguments already filled in.
    """

    function: Function
    name: str
    takes_context: bool

    def result(self, value: Iterable[str]) -> dict[str, Any]:
        """The result of ``completion/complete``: the first hundred, and how many there are."""
        values = list(value)
        first = values[:_COMPLETIONS]
        more = len(values) > len(first)
        return {"completion": {"values": first, "total": len(values), "hasMore": more}}


F = TypeVar("F", Tool, Resource, Template, Prompt)


class Shelf(Generic[F]):
    """What a server offers of one kind, in the order it was put up.

    :param kind: what it holds, for messages.
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._last = 0
        self._serials: dict[str, int] = {}
        self._features: dict[str, F] = {}

    def __len__(self) -> int:
        return len(self._features)

    def __iter__(self) -> Iterator[F]:
        return iter(self._features.values())

    def get(self, key: str) -> F | None:
        """The one of that name or URI."""
        return self._features.get(key)

    def add(self, key: str, feature: F) -> None:
        """Put *feature* up.

        :raises ValueError: there is one of that name or URI.
        """
        if key in self._features:
            raise ValueError(f"there is a {self._kind} {key!r} already")
        self._last += 1
        self._serials[key] = self._last
        self._features[key] = feature

    def remove(self, key: str) -> None:
        """Take one down.

        :raises KeyError: there is none of that name or URI.
        """
        del self._features[key]
        del self._serials[key]

    def page(self, cursor: str | None, size: int) -> tuple[list[Raw], str | None]:
        """The listings after *cursor*, and the cursor of the next page if there is one.

        A cursor says after which serial number to go on, so pages stay right
        when something is taken down between them.

        :raises InvalidParams: the cursor is none of ours.
        """
        after = 0 if cursor is None else self._opened(cursor)
        rest = [(serial, key) for key, serial in self._serials.items() if serial > after]
        shown = rest[:size]
        following = self._cursor(shown[-1][0]) if len(rest) > size else None
        return [self._features[key].listing for _, key in shown], following

    def _cursor(self, serial: int) -> str:
        return base64.urlsafe_b64encode(f"{self._kind}:{serial}".encode()).decode()

    def _opened(self, cursor: str) -> int:
        try:
            kind, _, serial = base64.urlsafe_b64decode(cursor.encode()).decode().rpartition(":")
            if kind == self._kind and serial.isdecimal():
                return int(serial)
        except (ValueError, binascii.Error):
            pass
        raise InvalidParams("the cursor is not one this list has given; start without one")


def make_tool(
    function: Function,
    given: type,
    *,
    name: str | None,
    title: str | None,
    description: str | None,
    hints: Mapping[str, bool | None],
    icons: list[dict[str, Any]] | None,
    meta: dict[str, Any] | None,
) -> Tool:
    """A tool from a function.

    :raises TypeError: its annotations make no schema.
    :raises ValueError: its name is not one that MCP allows.
    """
    name = name or function.__name__
    if not _TOOL_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name for a tool: 1 to 128 of A-Z a-z 0-9 _ - .")
    parameters, output = Parameters(function, given), Output.promised(function)
    listing = present(
        name=name,
        title=title,
        description=description or description_of(function),
        inputSchema=parameters.schema,
        outputSchema=output.schema if output else None,
        annotations=present(**hints) or None,
        icons=icons,
        _meta=meta,
    )
    return Tool(
        name=name, function=function, parameters=parameters, output=output, listing=_json(listing)
    )


def make_resource(
    uri: str,
    function: Function,
    given: type,
    *,
    mime_type: str | None,
    name: str | None,
    **told: Any,
) -> Resource | Template:
    """A resource from a function, or a template where *uri* has variables in it.

    :param told: what else clients are told, as the protocol spells it.
    :raises TypeError: the function's parameters are not the URI's variables.
    :raises ValueError: the URI has no scheme, or is a template above level 1.
    """
    variables = _variables(uri)
    parameters = Parameters(function, given)
    if set(parameters.names) != set(variables):
        raise TypeError(
            f"{function.__qualname__} takes {sorted(parameters.names)}, "
            f"but the variables of {uri} are {sorted(variables)}"
        )
    listed = present(name=name or function.__name__, mimeType=mime_type, **told)
    listed.setdefault("description", description_of(function) or listed["name"])
    if not variables:
        return Resource(
            uri=uri,
            function=function,
            parameters=parameters,
            mime_type=mime_type,
            listing=_json({"uri": uri, **listed}),
        )
    return Template(
        uri=uri,
        function=function,
        parameters=parameters,
        mime_type=mime_type,
        pattern=_pattern(uri),
        listing=_json({"uriTemplate": uri, **listed}),
    )


def make_prompt(
    function: Function,
    given: type,
    *,
    name: str | None,
    description: str | None,
    **told: Any,
) -> Prompt:
    """A prompt from a function of texts.

    :param told: what else clients are told, as the protocol spells it.
    :raises TypeError: its annotations make no schema.
    """
    name = name or function.__name__
    parameters = Parameters(function, given)
    description = description or description_of(function)
    arguments = [
        present(
            name=argument,
            description=schema.get("description"),
            required=argument in parameters.required,
        )
        for argument, schema in parameters.schema["properties"].items()
    ]
    listing = present(name=name, description=description, arguments=arguments or None, **told)
    return Prompt(
        name=name,
        function=function,
        parameters=parameters,
        description=description,
        listing=_json(listing),
    )


def make_completion(function: Function) -> Completion:
    """A completion from a function of the text so far, and perhaps of the other arguments.

    :raises TypeError: it takes neither one nor two parameters.
    """
    count = len(inspect.signature(function).parameters)
    if count not in (1, 2):
        raise TypeError(
            f"{function.__qualname__}: a completion takes the text so far, and if it likes "
            "the arguments already filled in"
        )
    return Completion(function=function, name=function.__name__, takes_context=count == 2)


def _variables(uri: str) -> list[str]:
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", uri):
        raise ValueError(f"{uri!r} is no URI: it needs a scheme, such as notes://")
    names = _VARIABLE.findall(uri)
    if "{" in _VARIABLE.sub("", uri) or "}" in _VARIABLE.sub("", uri):
        raise ValueError(f"{uri!r}: only {{name}} is understood (RFC 6570, level 1)")
    if len(set(names)) != len(names):
        raise ValueError(f"{uri!r}: every variable may stand there once")
    return names


def _pattern(uri: str) -> re.Pattern[str]:
    """Level 1 expansion percent-encodes everything reserved, so no ``/`` is in a value."""
    parts = _VARIABLE.split(uri)
    return re.compile(
        "".join(
            f"(?P<{part}>[^/?#\\x00-\\x20\\x7f]+)" if at % 2 else re.escape(part)
            for at, part in enumerate(parts)
        )
    )


def _json(value: Any) -> Raw:
    return Raw(encode_json(value))
