"""``mcptwist.protocols.mcphttp``: MCP's use of HTTP headers.

MCP 2026-07-28, *Streamable HTTP*: Standard Request Headers, Custom Headers from Tool Parameters,
Value Encoding, Server Validation.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.errors import HeaderMismatch, InvalidParams
from mcptwist.messages import Request, encode_json
from mcptwist.protocols.mcphttp import (
    HeaderValues,
    check_headers,
    check_mirrored,
    decode_value,
    encode_value,
    header_text,
    mirrored_params,
)

REVISION = "2026-07-28"


def headers(*pairs: tuple[str, str]) -> HeaderValues:
    """Headers as a request has them."""

    def values(name: bytes) -> list[bytes]:
        return [v.encode("latin-1") for n, v in pairs if n.encode() == name]

    return values


def routing(method: str, name: str | None = None) -> list[tuple[str, str]]:
    """The headers that a request of that method and name needs."""
    pairs = [("mcp-protocol-version", REVISION), ("mcp-method", method)]
    return pairs if name is None else [*pairs, ("mcp-name", name)]


class ValueTests(SynchronousTestCase):
    """*Value Encoding*."""

    def test_examples(self) -> None:
        """Those of the specification."""
        for text, value in (
            ("us-west1", "us-west1"),
            ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
            (" padded ", "=?base64?IHBhZGRlZCA=?="),
            ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
            ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
        ):
            self.assertEqual(encode_value(text), value)
            self.assertEqual(decode_value(value.encode()), text)

    def test_plain(self) -> None:
        """What only looks like the sentinel is plain: its marks are in small letters."""
        for text in ("=?BASE64?YQ==?=", "=?base64?", "?=", "=?base64?a", "a b\tc", ""):
            self.assertEqual((encode_value(text), decode_value(text.encode())), (text, text))

    def test_malformed(self) -> None:
        """Base64 that is none, is not canonical, or holds no UTF-8; characters beyond ASCII."""
        for value in (
            b"=?base64?!?=", b"=?base64?YQ?=", b"=?base64?YQ==\n?=", b"=?base64?YR==?=",
            b"=?base64?YQ=== ?=", b"=?base64?/w==?=", b"=?base64? YQ==?=", "é".encode(), b"\xff",
        ):  # fmt: skip
            self.assertRaises(HeaderMismatch, decode_value, value)

    @settings(deadline=None, max_examples=150)
    @given(some.text())
    def test_there_and_back(self, text: str) -> None:
        """Any text, and what stands in the header is safe there."""
        value = encode_value(text)
        self.assertEqual(decode_value(value.encode("ascii")), text)
        self.assertEqual(value, value.strip())
        self.assertTrue(all(c == "\t" or " " <= c <= "~" for c in value))


class RoutingTests(SynchronousTestCase):
    """*Standard Request Headers* and *Server Validation*."""

    def check(self, method: str, params: Any, pairs: list[tuple[str, str]]) -> None:
        check_headers(Request(1, method, encode_json(params)), REVISION, headers(*pairs))

    def test_good(self) -> None:
        """What each method needs, and no more."""
        for method, params, name in (
            ("tools/list", {}, None),
            ("tools/list", {}, "whatever"),
            ("tools/call", {"name": "t"}, "t"),
            ("tools/call", {"name": "é"}, "=?base64?w6k=?="),
            ("tools/call", {"name": "t"}, "=?base64?dA==?="),
            ("prompts/get", {"name": "p", "uri": 5}, "p"),
            ("resources/read", {"uri": "a:b", "name": 5}, "a:b"),
            ("tasks/get", {"taskId": "1"}, "1"),
            ("tools/call", {}, None),
        ):
            self.check(method, params, routing(method, name))

    def test_mismatch(self) -> None:
        """Missing, twice, in other letters, or otherwise."""
        good = routing("tools/call", "t")
        for at in range(3):
            name, value = good[at]
            for pairs in (
                [p for p in good if p[0] != name],
                [*good, good[at]],
                [*good[:at], (name, value.upper() if at else "2025-11-25"), *good[at + 1 :]],
                [*good[:at], (name, ""), *good[at + 1 :]],
            ):
                self.assertRaises(HeaderMismatch, self.check, "tools/call", {"name": "t"}, pairs)

    def test_name_that_is_none(self) -> None:
        """A name of the wrong type is the body's mistake, not the headers'."""
        for name in (5, None, ["t"]):
            pairs = routing("tools/call", "5")
            self.assertRaises(InvalidParams, self.check, "tools/call", {"name": name}, pairs)


def schema(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def marked(header: Any, kind: Any = "string", **more: Any) -> dict[str, Any]:
    return {"type": kind, "x-mcp-header": header, **more}


class SchemaTests(SynchronousTestCase):
    """*Schema Extension*: what may be marked, and what makes a tool unusable over HTTP."""

    def test_good(self) -> None:
        """Primitive properties, nested ones too."""
        found = mirrored_params(
            schema(
                a=marked("Region"),
                b=marked("N", "integer"),
                c=schema(d=marked("D", "boolean")),
                plain={"type": "string"},
                properties=schema(items=marked("deep")),
            )
        )
        self.assertEqual(
            {(p.path, p.header, p.kind) for p in found},
            {
                (("a",), b"mcp-param-region", "string"),
                (("b",), b"mcp-param-n", "integer"),
                (("c", "d"), b"mcp-param-d", "boolean"),
                (("properties", "items"), b"mcp-param-deep", "string"),
            },
        )

    def test_nothing(self) -> None:
        """No schema, none that is one, none that marks anything."""
        for nothing in (None, {}, [], "x", True, schema(a={"type": "string"}), {"properties": []}):
            self.assertEqual(mirrored_params(nothing), ())

    def test_bad_names(self) -> None:
        """Empty, no token, no text, or twice but for the letters' size."""
        for header in ("", "a b", "a:b", "é", "a\r\nb", 5, None, ["a"]):
            self.assertRaises(InvalidParams, mirrored_params, schema(a=marked(header)))
        twice = schema(a=marked("Region"), b=schema(c=marked("rEGION")))
        self.assertRaises(InvalidParams, mirrored_params, twice)

    def test_bad_types(self) -> None:
        """Only string, integer and boolean; ``number`` is not permitted."""
        for kind in ("number", "array", "object", "null", ["string", "null"], None):
            self.assertRaises(InvalidParams, mirrored_params, schema(a=marked("A", kind)))

    def test_unreachable(self) -> None:
        """Anywhere but on a chain of properties."""
        inner = marked("A")
        for outer in (
            marked("A"),
            schema(a={"items": inner}),
            schema(a={"items": schema(b=inner)}),
            schema(a={"prefixItems": [{}, inner]}),
            *({key: [schema(b=inner)]} for key in ("oneOf", "anyOf", "allOf")),
            *({key: schema(b=inner)} for key in ("not", "if", "then", "else")),
            {"$defs": {"x": inner}},
            {"definitions": {"x": schema(b=inner)}},
            {"patternProperties": {".*": inner}},
            {"additionalProperties": inner},
            {"dependentSchemas": {"a": schema(b=inner)}},
        ):
            self.assertRaises(InvalidParams, mirrored_params, outer)

    def test_deep(self) -> None:
        """A schema without end is not followed to its end."""
        deep: dict[str, Any] = marked("A")
        for _ in range(200):
            deep = schema(a=deep)
        self.assertEqual(mirrored_params(deep), ())


class MirroredTests(SynchronousTestCase):
    """*Server Behavior for Custom Headers*."""

    tool = schema(
        s=marked("S"), n=marked("N", "integer"), b=marked("B", "boolean"), o=schema(p=marked("P"))
    )

    def check(self, arguments: Any, **values: str) -> None:
        params = encode_json({"name": "t", "arguments": arguments})
        pairs = [(f"mcp-param-{name}", value) for name, value in values.items()]
        check_mirrored(mirrored_params(self.tool), params, headers(*pairs))

    def test_match(self) -> None:
        """Values are decoded and compared, integers as numbers, absent ones absent."""
        self.check({})
        self.check(None)
        self.check({"s": None})
        self.check({"s": "x"}, s="x")
        self.check({"s": "é"}, s="=?base64?w6k=?=")
        self.check({"s": ""}, s="")
        self.check({"o": {"p": "deep"}}, p="deep")
        self.check({"o": "no object"})
        self.check({"b": True}, b="true")
        self.check({"b": False}, b="false")
        for value, header in (
            (42, "42"),
            (42, "42.0"),
            (-7, "-7"),
            (0, "-0"),
            (42.0, "42"),
            (7, "07"),
        ):
            self.check({"n": value}, n=header)
        self.check({}, other="x")

    def test_mismatch(self) -> None:
        """Missing, superfluous, or otherwise: case counts, and so does the whole number."""
        for arguments, values in (
            ({"s": "x"}, {}),
            ({}, {"s": "x"}),
            ({"s": None}, {"s": ""}),
            ({"s": "x"}, {"s": "X"}),
            ({"s": "x"}, {"s": "x "}),
            ({"b": True}, {"b": "True"}),
            ({"b": True}, {"b": "1"}),
            ({"n": 42}, {"n": "43"}),
            ({"n": 42}, {"n": "42.5"}),
            ({"n": 42}, {"n": "+42"}),
            ({"n": 42}, {"n": "4e1"}),
            ({"n": 42}, {"n": ""}),
            ({"n": 42}, {"n": "\xb2"}),
            ({"n": 1}, {"n": "9" * 100}),
            ({"n": 2**53 + 1}, {"n": str(2**53)}),
            ({"s": "x"}, {"s": "=?base64?!?="}),
            ({"s": ["x"]}, {"s": "x"}),
            ({"o": {}}, {"p": "x"}),
        ):
            self.assertRaises(HeaderMismatch, self.check, arguments, **values)

    def test_twice(self) -> None:
        """A header that comes twice is refused: two readers might read two values."""
        found = mirrored_params(self.tool)
        pairs = headers(("mcp-param-s", "x"), ("mcp-param-s", "x"))
        self.assertRaises(HeaderMismatch, check_mirrored, found, b'{"arguments":{"s":"x"}}', pairs)

    def test_deep(self) -> None:
        """Arguments without end are refused."""
        params = b'{"arguments":%b}' % (b"[" * 100_000 + b"]" * 100_000)
        found = mirrored_params(self.tool)
        self.assertRaises(InvalidParams, check_mirrored, found, params, headers())

    @settings(deadline=None, max_examples=100)
    @given(some.text() | some.booleans() | some.integers(-(2**53) + 1, 2**53 - 1))
    def test_as_we_write_it(self, value: Any) -> None:
        """What the asking end writes, the answering end takes."""
        text = header_text(value)
        assert text is not None
        name = {bool: "b", int: "n", str: "s"}[type(value)]
        self.check({name: value}, **{name: text})

    def test_not_written(self) -> None:
        """What cannot be mirrored is not."""
        for value in (None, 1.5, [], {}):
            self.assertIsNone(header_text(value))
