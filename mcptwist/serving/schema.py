"""What a Python function can be asked with, as JSON Schema, and the check of it.

The annotations of a function are the one source: the schema that clients see and
the check of what they send are both made from them by msgspec, so they cannot
disagree. Understood is whatever msgspec understands: numbers, strings, ``Literal``,
``Optional``, enums, dates, lists, dicts, ``TypedDict``, dataclasses and Structs.

``Annotated`` adds to a parameter: a plain string describes it, ``msgspec.Meta``
constrains it, :class:`Header` has HTTP clients repeat it in a header.

MCP 2026-07-28, *Tools, Data Types* and *x-mcp-header*; *Base protocol, JSON Schema
Usage* (dialect 2020-12); *Elicitation, Requested Schema*.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Raw

from mcptwist.errors import InvalidParams
from mcptwist.messages import Json, encode_json

Schema = dict[str, Any]

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIELD_LINE = re.compile(r":(\w+)(?: ([^:]*))?:\s*(.*)")
_MIRRORED = ("string", "integer", "boolean")
_PRIMITIVE = ("string", "number", "integer", "boolean")
_TYPE_NAMES: Mapping[type, str] = {bool: "boolean", str: "string", int: "integer"}


class Header(msgspec.Struct, frozen=True):
    """Has HTTP clients repeat a parameter in ``Mcp-Param-NAME`` (MCP *x-mcp-header*).

    To be put into ``Annotated``; only for strings, integers and booleans, and
    never for secrets, since everything on the way can read a header.
    """

    name: str


class Parameters:
    """What one function can be asked with.

    :param function: every parameter must be annotated and have a name.
    :param given: the type whose parameter the caller fills in by itself; it
        does not show in the schema.
    :raises TypeError: the annotations cannot be made into a schema.

    :ivar schema: a JSON Schema object.
    :ivar given: the name of the parameter of the given type, or ``None``.
    :ivar names: of all other parameters, in order.
    """

    def __init__(self, function: Callable[..., Any], given: type | None = None) -> None:
        self.given: str | None = None
        fields: list[tuple[str, Any, Any]] = []
        described = parameter_texts(function)
        for parameter, annotation in _parameters(function):
            if given is not None and _means(annotation, given):
                self.given = parameter.name
            else:
                annotation = _explained(annotation, described.get(parameter.name))
                fields.append(_field(parameter, annotation))
        self.names = tuple(name for name, _, _ in fields)
        self._defaults = {name: field.default_factory() for name, _, field in _optional(fields)}
        self._model = msgspec.defstruct(
            "Arguments", fields, kw_only=True, forbid_unknown_fields=True
        )
        self._decode = msgspec.json.Decoder(self._model).decode
        self.schema = self._schema(function)

    def __repr__(self) -> str:
        return f"<Parameters {', '.join(self.names)}>"

    @property
    def required(self) -> frozenset[str]:
        """The names that have no default."""
        return frozenset(self.schema.get("required", ()))

    def read(self, arguments: Json) -> dict[str, Any]:
        """Check a JSON object of arguments and make Python values of them.

        :raises InvalidParams: saying which argument is wrong and what was expected.
        """
        try:
            return msgspec.structs.asdict(self._decode(arguments or b"{}"))
        except RecursionError:
            raise InvalidParams("the arguments are nested too deeply") from None
        except msgspec.DecodeError as problem:
            raise InvalidParams(f"the arguments do not fit: {problem}") from None

    def read_texts(self, arguments: Mapping[str, str]) -> dict[str, Any]:
        """The same for arguments that are all text, as prompts and templates have them.

        Numbers and truth values are read from their text.

        :raises InvalidParams: saying which argument is wrong and what was expected.
        """
        try:
            return msgspec.structs.asdict(
                msgspec.convert(dict(arguments), self._model, strict=False)
            )
        except msgspec.ValidationError as problem:
            raise InvalidParams(f"the arguments do not fit: {problem}") from None

    def _schema(self, function: Callable[..., Any]) -> Schema:
        schema = schema_of(self._model)
        schema.pop("title", None)
        for name, value in self._defaults.items():
            try:
                schema["properties"][name]["default"] = msgspec.to_builtins(value)
            except (TypeError, msgspec.ValidationError):
                continue  # a marker object of the function's own: no JSON value stands for it
        _check_headers(function, schema["properties"])
        return schema


class Output:
    """What one function answers with, when its annotation promises an object.

    :ivar schema: a JSON Schema whose type is ``object``.
    """

    def __init__(self, annotation: Any, schema: Schema) -> None:
        self.schema = schema
        self._check = msgspec.json.Decoder(annotation).decode

    @classmethod
    def promised(cls, function: Callable[..., Any]) -> Output | None:
        """What the return annotation of *function* promises; ``None`` unless an object.

        Only objects, for the legacy revisions have no other structured content.
        """
        annotation = _hints(function).get("return")
        if annotation is None or annotation is Any or annotation in (str, bytes):
            return None
        try:
            schema = schema_of(annotation)
        except TypeError:
            return None
        return cls(annotation, schema) if schema.get("type") == "object" else None

    def write(self, value: Any) -> Raw:
        """*value* as JSON that is certain to keep the promise.

        :raises msgspec.ValidationError: it does not keep it.
        """
        written = encode_json(value)
        self._check(written)
        return Raw(written)


def schema_of(annotation: Any) -> Schema:
    """The JSON Schema (2020-12) of a type, its root in place and not behind ``$ref``.

    :raises TypeError: msgspec knows no schema for it.
    """
    schema: Schema = msgspec.json.schema(annotation)
    _name_types(schema)
    definitions: dict[str, Schema] = schema.pop("$defs", {})
    name = str(schema.get("$ref", "")).removeprefix("#/$defs/")
    if name in definitions:
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        schema = {**definitions[name], **beside}
        if not _refers_to(name, definitions):
            del definitions[name]
    if definitions:
        schema["$defs"] = definitions
    return schema


def form_of(annotation: Any) -> Schema:
    """The schema of a form to fill in: a flat object of primitive members.

    :raises TypeError: the type has members that a form cannot have.
    """
    schema = schema_of(annotation)
    if schema.get("type") != "object" or "properties" not in schema:
        raise TypeError(f"{annotation!r} is no form: a class with annotated members is wanted")
    definitions = schema.get("$defs", {})
    members = {
        name: _form_member(name, member, definitions)
        for name, member in schema["properties"].items()
    }
    form: Schema = {"type": "object", "properties": members}
    if schema.get("required"):
        form["required"] = schema["required"]
    return form


def description_of(function: Callable[..., Any]) -> str | None:
    """The docstring up to its field list."""
    lines = []
    for line in (inspect.getdoc(function) or "").splitlines():
        if _FIELD_LINE.match(line):
            break
        lines.append(line)
    return "\n".join(lines).strip() or None


def parameter_texts(function: Callable[..., Any]) -> dict[str, str]:
    """What the docstring says about each parameter (``:param name: text``)."""
    texts: dict[str, str] = {}
    name = ""
    for line in (inspect.getdoc(function) or "").splitlines():
        field = _FIELD_LINE.match(line)
        if field is not None:
            name = (field[2] or "").split()[-1:][0] if field[1] == "param" and field[2] else ""
            if name:
                texts[name] = field[3].strip()
        elif name and line.startswith(" "):
            texts[name] = f"{texts[name]} {line.strip()}".strip()
        else:
            name = ""
    return texts


def _parameters(function: Callable[..., Any]) -> Iterator[tuple[inspect.Parameter, Any]]:
    hints = _hints(function)
    for parameter in inspect.signature(function).parameters.values():
        where = f"{_name(function)}({parameter.name})"
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise TypeError(f"{where}: every parameter must be one that can be given by name")
        if parameter.name not in hints:
            raise TypeError(f"{where}: annotate it, for the schema is made from annotations")
        yield parameter, hints[parameter.name]


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except NameError as problem:
        raise TypeError(
            f"{_name(function)}: an annotation cannot be resolved ({problem}); "
            "names used in annotations must be module globals"
        ) from None


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", repr(function))


def _means(annotation: Any, wanted: type) -> bool:
    return annotation is wanted or wanted in get_args(annotation)


def _explained(annotation: Any, text: str | None) -> Any:
    """The annotation with our own additions said in msgspec's words."""
    added: list[Any] = [Meta(description=text)] if text else []
    if get_origin(annotation) is Annotated:
        annotation, *extras = get_args(annotation)
        added += [_in_msgspec(extra) for extra in extras]
    for meta in added:
        annotation = Annotated[annotation, meta]
    return annotation


def _in_msgspec(extra: Any) -> Any:
    if isinstance(extra, str):
        return Meta(description=extra)
    if isinstance(extra, Header):
        return Meta(extra_json_schema={"x-mcp-header": extra.name})
    return extra


def _field(parameter: inspect.Parameter, annotation: Any) -> tuple[str, Any, Any]:
    if parameter.default is parameter.empty:
        return parameter.name, annotation, msgspec.field()
    default = parameter.default
    # A factory, since msgspec refuses mutable defaults that Python allows.
    return parameter.name, annotation, msgspec.field(default_factory=lambda: default)


def _optional(fields: list[tuple[str, Any, Any]]) -> Iterator[tuple[str, Any, Any]]:
    return (field for field in fields if field[2].default_factory is not msgspec.NODEFAULT)


def _check_headers(function: Callable[..., Any], properties: dict[str, Schema]) -> None:
    """Refuse what clients would have to drop the whole tool for."""
    seen: set[str] = set()
    for name, schema in properties.items():
        header = schema.get("x-mcp-header")
        if header is None:
            continue
        where = f"{_name(function)}({name})"
        if not isinstance(header, str) or not _TOKEN.fullmatch(header):
            raise TypeError(f"{where}: {header!r} cannot be part of a header's name")
        if header.lower() in seen:
            raise TypeError(f"{where}: the header {header!r} is taken by another parameter")
        if schema.get("type") not in _MIRRORED:
            raise TypeError(f"{where}: only a string, integer or boolean can go into a header")
        seen.add(header.lower())


def _name_types(schema: Any) -> None:
    """Give every enumeration its ``type``, which forms and some models need."""
    if isinstance(schema, list):
        for member in schema:
            _name_types(member)
    elif isinstance(schema, dict):
        values = schema.get("enum")
        if isinstance(values, list) and "type" not in schema:
            kinds = {_TYPE_NAMES.get(type(value)) for value in values}
            if len(kinds) == 1 and None not in kinds:
                schema["type"] = kinds.pop()
        for key, member in schema.items():
            if key not in ("enum", "default", "examples"):
                _name_types(member)


def _refers_to(name: str, schema: Any) -> bool:
    if isinstance(schema, dict):
        if schema.get("$ref") == f"#/$defs/{name}":
            return True
        return any(_refers_to(name, member) for member in schema.values())
    return isinstance(schema, list) and any(_refers_to(name, member) for member in schema)


def _form_member(name: str, schema: Schema, definitions: Mapping[str, Schema]) -> Schema:
    schema = dict(schema)
    target = definitions.get(str(schema.pop("$ref", "")).removeprefix("#/$defs/"), {})
    schema = {**target, **schema}
    choices = [choice for choice in schema.pop("anyOf", ()) if choice != {"type": "null"}]
    if len(choices) == 1:
        schema = {**choices[0], **schema}
    if schema.get("default", 0) is None:
        del schema["default"]
    if schema.get("type") in _PRIMITIVE or _is_selection(schema):
        return schema
    raise TypeError(
        f"{name}: a form has only strings, numbers, booleans and selections from a fixed list"
    )


def _is_selection(schema: Schema) -> bool:
    return schema.get("type") == "array" and "enum" in schema.get("items", {})
