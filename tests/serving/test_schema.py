"""Signatures and what may be sent for them."""

import enum
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Optional, TypedDict

import msgspec
from msgspec import Meta
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.errors import InvalidParams
from mcptwist.serving.schema import (
    Header,
    Output,
    Parameters,
    description_of,
    form_of,
    parameter_texts,
    schema_of,
)


class Given:
    """What the caller fills in by itself."""


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Place:
    name: str
    height: Annotated[int, Meta(ge=0)] = 0


class Node(msgspec.Struct):
    children: list["Node"] = []


class Pair(TypedDict):
    left: int


def schema(function: Any) -> Any:
    return Parameters(function, Given).schema


def properties(function: Any) -> Any:
    return schema(function)["properties"]


class ParametersTests(SynchronousTestCase):
    def test_nothing(self) -> None:
        """A function of nothing takes only the empty object."""

        def nothing() -> None: ...

        self.assertEqual(
            {"type": "object", "properties": {}, "required": [], "additionalProperties": False},
            schema(nothing),
        )
        self.assertEqual({}, Parameters(nothing).read(b""))

    def test_kinds(self) -> None:
        """The types that people write become the types of JSON Schema."""

        def many(
            text: str,
            number: float,
            flag: bool,
            few: Literal["a", "b"],
            colour: Colour,
            maybe: Optional[int],  # noqa: UP045 -- the old spelling must work too
            several: list[int],
            named: dict[str, int],
            anything: Any,
        ) -> None: ...

        shown = properties(many)
        self.assertEqual({"type": "string"}, shown["text"])
        self.assertEqual({"type": "number"}, shown["number"])
        self.assertEqual({"type": "boolean"}, shown["flag"])
        self.assertEqual({"type": "string", "enum": ["a", "b"]}, shown["few"])
        self.assertEqual({"$ref": "#/$defs/Colour"}, shown["colour"])
        self.assertEqual({"anyOf": [{"type": "integer"}, {"type": "null"}]}, shown["maybe"])
        self.assertEqual({"type": "array", "items": {"type": "integer"}}, shown["several"])
        self.assertEqual(
            {"type": "object", "additionalProperties": {"type": "integer"}}, shown["named"]
        )
        self.assertEqual({}, shown["anything"])
        self.assertEqual(["blue", "red"], sorted(schema(many)["$defs"]["Colour"]["enum"]))
        self.assertEqual(list(shown), schema(many)["required"])

    def test_classes(self) -> None:
        """A class is defined once, and what comes is made one."""

        def go(start: Place, end: Place) -> None: ...

        parameters = Parameters(go)
        self.assertEqual({"$ref": "#/$defs/Place"}, parameters.schema["properties"]["start"])
        self.assertEqual(["name"], parameters.schema["$defs"]["Place"]["required"])
        read = parameters.read(b'{"start": {"name": "a"}, "end": {"name": "b", "height": 3}}')
        self.assertEqual({"start": Place("a"), "end": Place("b", 3)}, read)

    def test_defaults(self) -> None:
        """What has a default may be left out; the schema says what it is then."""
        marker = object()

        def function(
            a: int = 3,
            b: list[int] = [1],  # noqa: B006 -- Python allows it, so must we
            c: Any = marker,
            d: str | None = None,
        ) -> None: ...

        shown = properties(function)
        self.assertEqual(3, shown["a"]["default"])
        self.assertEqual([1], shown["b"]["default"])
        self.assertNotIn("default", shown["c"])
        self.assertIsNone(shown["d"]["default"])
        self.assertEqual([], schema(function)["required"])
        self.assertEqual(
            {"a": 3, "b": [1], "c": marker, "d": None}, Parameters(function).read(b"{}")
        )

    def test_explained(self) -> None:
        """Descriptions come from the annotation, or else from the docstring."""

        def function(a: Annotated[int, "how many", Meta(ge=1)], b: int, c: int = 1) -> None:
            """Do it.

            At once.

            :param b: how
                long
            :param int c: how far
            :return: nothing
            """

        shown = properties(function)
        self.assertEqual({"type": "integer", "description": "how many", "minimum": 1}, shown["a"])
        self.assertEqual("how long", shown["b"]["description"])
        self.assertEqual("how far", shown["c"]["description"])
        self.assertEqual("Do it.\n\nAt once.", description_of(function))
        self.assertEqual({"b": "how long", "c": "how far"}, parameter_texts(function))

    def test_given(self) -> None:
        """The parameter that the caller fills in does not show."""

        def first(ctx: Given, a: int) -> None: ...

        def optional(a: int, ctx: Given | None = None) -> None: ...

        for function in (first, optional):
            parameters = Parameters(function, Given)
            self.assertEqual("ctx", parameters.given)
            self.assertEqual(("a",), parameters.names)
            self.assertEqual({"a"}, set(parameters.schema["properties"]))

    def test_wrong_arguments(self) -> None:
        """The message names the place and what was expected there."""

        def function(a: Annotated[int, Meta(ge=1)], place: Place | None = None) -> None: ...

        parameters = Parameters(function)
        for arguments, words in (
            (b"{}", "missing required field `a`"),
            (b'{"a": "1"}', "Expected `int`, got `str` - at `$.a`"),
            (b'{"a": 0}', "Expected `int` >= 1 - at `$.a`"),
            (b'{"a": 1, "b": 2}', "unknown field `b`"),
            (b'{"a": 1, "place": {"name": 3}}', "at `$.place.name`"),
            (b"[]", "Expected `object`, got `array`"),
            (b"null", "Expected `object`, got `null`"),
        ):
            problem = self.assertRaises(InvalidParams, parameters.read, arguments)
            self.assertIn(words, problem.message)

    def test_nested_too_deeply(self) -> None:
        """Hostile nesting is an error like others."""

        def function(a: Any) -> None: ...

        deep = b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
        self.assertRaises(InvalidParams, Parameters(function).read, deep)

    def test_texts(self) -> None:
        """Where all arguments are text, numbers are read from it."""

        def function(a: int, b: bool = False, c: str = "") -> None: ...

        parameters = Parameters(function)
        self.assertEqual(
            {"a": 3, "b": True, "c": "5"}, parameters.read_texts({"a": "3", "b": "true", "c": "5"})
        )
        problem = self.assertRaises(InvalidParams, parameters.read_texts, {"a": "x"})
        self.assertIn("$.a", problem.message)
        self.assertRaises(InvalidParams, parameters.read_texts, {})

    def test_header(self) -> None:
        """A parameter can be repeated in a header (MCP 2026-07-28, x-mcp-header)."""

        def function(region: Annotated[str, Header("Region")], query: str) -> None: ...

        self.assertEqual("Region", properties(function)["region"]["x-mcp-header"])
        self.assertNotIn("x-mcp-header", properties(function)["query"])

    def test_wrong_headers(self) -> None:
        """What would make clients drop the whole tool is refused at once."""

        def empty(a: Annotated[str, Header("")]) -> None: ...

        def spaced(a: Annotated[str, Header("a b")]) -> None: ...

        def fractional(a: Annotated[float, Header("A")]) -> None: ...

        def structured(a: Annotated[list[str], Header("A")]) -> None: ...

        def twice(a: Annotated[str, Header("A")], b: Annotated[str, Header("a")]) -> None: ...

        for function in (empty, spaced, fractional, structured, twice):
            self.assertRaises(TypeError, Parameters, function)

    def test_not_describable(self) -> None:
        """What cannot be described is refused when it is registered, not when it is called."""

        def unannotated(a) -> None: ...  # type: ignore[no-untyped-def]

        def starred(*a: int) -> None: ...

        def keywords(**a: int) -> None: ...

        def positional(a: int, /) -> None: ...

        def unknown(a: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821

        def strange(a: complex) -> None: ...

        for function in (unannotated, starred, keywords, positional, unknown, strange):
            self.assertRaises(TypeError, Parameters, function)


class OutputTests(SynchronousTestCase):
    def promised(self, annotation: Any) -> Any:
        def function() -> None: ...

        function.__annotations__["return"] = annotation
        return Output.promised(function)

    def test_objects(self) -> None:
        """Whatever is an object in JSON is promised."""
        for annotation in (Place, Node, Pair, dict, dict[str, int]):
            self.assertEqual("object", self.promised(annotation).schema["type"])

    def test_others(self) -> None:
        """Anything else is not."""
        for annotation in (None, Any, str, bytes, int, list[int], Place | None, complex):
            self.assertIsNone(self.promised(annotation))

    def test_kept(self) -> None:
        """What is written keeps the promise, or is not written."""
        output = self.promised(Place)
        self.assertEqual(b'{"name":"a","height":0}', bytes(output.write(Place("a"))))
        self.assertRaises(msgspec.ValidationError, output.write, Place("a", -1))
        self.assertRaises(msgspec.ValidationError, output.write, [1])


class SchemaTests(SynchronousTestCase):
    def test_root(self) -> None:
        """The root stands in its place, and is defined again only if it is referred to."""
        self.assertNotIn("$defs", schema_of(Place))
        self.assertEqual("object", schema_of(Node)["type"])
        self.assertIn("Node", schema_of(Node)["$defs"])


class FormTests(SynchronousTestCase):
    def test_members(self) -> None:
        """A form is flat and its members are primitive (MCP 2026-07-28, Requested Schema)."""

        class Form(msgspec.Struct):
            name: Annotated[str, Meta(description="yours", max_length=9)]
            colour: Colour
            several: list[Literal["a", "b"]]
            age: int | None = None
            sure: bool = True

        self.assertEqual(
            {
                "type": "object",
                "properties": {
                    "name": {"type": "string", "description": "yours", "maxLength": 9},
                    "colour": {"type": "string", "title": "Colour", "enum": ["blue", "red"]},
                    "several": {
                        "type": "array",
                        "items": {"type": "string", "enum": ["a", "b"]},
                    },
                    "age": {"type": "integer"},
                    "sure": {"type": "boolean", "default": True},
                },
                "required": ["name", "colour", "several"],
            },
            form_of(Form),
        )

    def test_others(self) -> None:
        """What a form cannot have is refused."""

        class Nested(msgspec.Struct):
            place: Place

        class Several(msgspec.Struct):
            numbers: list[int]

        for annotation in (Nested, Several, int, dict, list[str]):
            self.assertRaises(TypeError, form_of, annotation)
