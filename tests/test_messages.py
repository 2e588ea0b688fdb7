"""``mcptwist.messages``: what is a message, and that what is not looked into stays as it was.

JSON-RPC 2.0, *Request object*, *Response object*, *Batch*; MCP 2026-07-28, *Base protocol,
Messages*; MCP 2025-03-26, *Base protocol, Batching*.
"""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.errors import (
    INVALID_REQUEST,
    PARSE_ERROR,
    InvalidMessage,
    InvalidParams,
    McpTwistError,
    UnparsableMessage,
)
from mcptwist.messages import (
    Error,
    Message,
    Notification,
    Request,
    Result,
    check_utf8,
    decode,
    decode_many,
    encode,
    encode_json,
    error_answer,
    is_batch,
    one_line,
    open_error,
    open_fields,
    pieces,
)

FLOATS = some.floats(allow_nan=False, allow_infinity=False)
JSON = some.recursive(
    some.none() | some.booleans() | some.integers(-(2**53), 2**53) | FLOATS | some.text(),
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(), inner, max_size=4),
    max_leaves=12,
)
IDS = some.integers(-(2**70), 2**70) | some.text(max_size=20)
METHODS = some.text(max_size=12)
DEEP = 100_000


def envelope(**members: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", **members}).encode()


def payload(message: Message) -> bytes:
    """What a message carries unopened."""
    if isinstance(message, Result):
        return bytes(message.result)
    return bytes(message.error if isinstance(message, Error) else message.params)


class ClassifyTests(SynchronousTestCase):
    """Which of the four kinds a text is, or why it is none."""

    def test_kinds(self) -> None:
        """A method and an id, a method alone, a result, an error."""
        for text, kind in (
            (envelope(id=1, method="a"), Request),
            (envelope(id=1, method="a", params={}), Request),
            (envelope(method="a"), Notification),
            (envelope(method="a", params={"b": 1}), Notification),
            (envelope(id=1, result=None), Result),
            (envelope(id=1, error={"code": 1, "message": ""}), Error),
            (envelope(id=None, error={"code": 1, "message": ""}), Error),
            (envelope(error={"code": 1, "message": ""}), Error),
        ):
            self.assertIs(type(decode(text)), kind, text)

    def test_invalid(self) -> None:
        """JSON that is no message says why, under the request's id where that can be read."""
        for text, id in (
            (b"[]", None),
            (b"1", None),
            (b"null", None),
            (b'"text"', None),
            (b"{}", None),
            (b'{"id":1,"method":"a"}', 1),
            (b'{"jsonrpc":"1.0","id":"x","method":"a"}', "x"),
            (b'{"jsonrpc":2.0,"id":7,"method":"a"}', 7),
            (envelope(id=1), 1),
            (envelope(id=1, method=5), 1),
            (envelope(id=1, method=None), 1),
            (envelope(id=1, method="a", result=1), 1),
            (envelope(id=1, method="a", error={}), 1),
            (envelope(id=1, result=1, error={}), 1),
            (envelope(id=1, method="a", params=[]), 1),
            (envelope(id=1, method="a", params=None), 1),
            (envelope(id=1, method="a", params="x"), 1),
            (envelope(result=1), None),
            (envelope(id=None, result=1), None),
            (envelope(id=None, method="a"), None),
        ):
            problem = self.assertRaises(InvalidMessage, decode, text)
            self.assertEqual((problem.id, problem.rpc_code), (id, INVALID_REQUEST), text)

    def test_unparsable(self) -> None:
        """Text that is no JSON is told from JSON that is no message."""
        good = envelope(id=1, result={"a": "b"})
        for text in (
            b"", b" ", b"{", b"nonsense", good + b"x", good[:-1], b"\xef\xbb\xbf" + good,
            b'{"jsonrpc":"2.0","id":1,"result":NaN}', b'{"jsonrpc":"2.0","id":1,"result":01}',
            b'{"jsonrpc":"2.0","id":1,"result":"\x01"}', b'{"jsonrpc":"2.0","id":1,"result":"\\x"}',
            b'{"jsonrpc":"2.0","id":1,"result":"a\nb"}', good.replace(b"b", b"\xff"),
            b'{"jsonrpc":"2.0","id":1,"result":"\xed\xa0\x80"}',
        ):  # fmt: skip
            problem = self.assertRaises(UnparsableMessage, decode, text)
            self.assertEqual(problem.rpc_code, PARSE_ERROR, text)

    def test_ids(self) -> None:
        """Any string and any integer is an id: nought and the empty string too."""
        for id in (0, -1, 1, 2**53 + 1, 2**64, -(2**70), "", "0", "ü", "x" * 1024, "\n"):
            message = decode(envelope(id=id, method="a"))
            self.assertEqual(message, Request(id, "a"))
            self.assertEqual(json.loads(encode(message))["id"], id)

    def test_no_ids(self) -> None:
        """Nothing else is, and an id may not be so long that it fills memory."""
        for text in (
            b"1.0", b"1.5", b"1e3", b"true", b"[]", b"{}", b"9" * 5000,
            b'"%b"' % (b"x" * 1025),
        ):  # fmt: skip
            data = b'{"jsonrpc":"2.0","id":%b,"method":"a"}' % text
            self.assertIsNone(self.assertRaises(InvalidMessage, decode, data).id, text[:9])

    def test_deep(self) -> None:
        """Nesting without end is refused, not followed."""
        for opening, inmost, closing in ((b"[", b"", b"]"), (b'{"a":', b"1", b"}")):
            inner = opening * DEEP + inmost + closing * DEEP
            text = b'{"jsonrpc":"2.0","id":1,"result":%b}' % inner
            self.assertRaises((InvalidMessage, UnparsableMessage), decode, text)

    @settings(deadline=None, max_examples=150)
    @given(some.binary(max_size=60) | some.text(max_size=60).map(str.encode))
    def test_anything(self, text: bytes) -> None:
        """Whatever comes is a message, or an error of the client's."""
        try:
            decode(text)
        except (UnparsableMessage, InvalidMessage):
            pass


class UnopenedTests(SynchronousTestCase):
    """What the daemon does not look into passes byte for byte."""

    def test_byte_for_byte(self) -> None:
        """White space, order, repeated keys, escapes and numbers of any size stay as they were."""
        for text in (
            b'{ "b" : 1 , "a":[ 1,2 ] }',
            b'{"a":1,"a":2}',
            b'{"n":123456789012345678901234567890,"f":1e999,"z":-0.0,"t":1.10}',
            '{"u":"é日本😀","\\u00e9":"\\ud83d\\ude00\\/"}'.encode(),
            b'{"_meta":{"com.example/x":[null,true]},"unknown":{"$defs":{}}}',
            b'{"deep":%b}' % (b"[" * 300 + b"]" * 300),
        ):
            for member in (b'"result"', b'"error"', b'"method":"m","params"'):
                message = decode(b'{"jsonrpc":"2.0","id":1,%b:%b}' % (member, text))
                self.assertEqual(payload(message), text)
                self.assertTrue(encode(message).endswith(text + b"}"))

    def test_line_ends(self) -> None:
        """Line ends between tokens go, for they frame messages; those in strings are escapes."""
        text = b'{\r\n "jsonrpc":"2.0",\n "id":1,\r"result": {\n "a" : "x\\ny" }\n}\n'
        message = decode(text)
        self.assertEqual(payload(message), b'{"a":"x\\ny"}')
        self.assertNotIn(b"\n", encode(message))

    def test_one_line_of_no_json(self) -> None:
        """What is no JSON cannot be put on one line."""
        self.assertRaises(UnparsableMessage, one_line, b"{\n")

    def test_unknown_members(self) -> None:
        """Members of the envelope that JSON-RPC does not know do no harm."""
        self.assertEqual(decode(envelope(id=1, method="a", extra=[1])), Request(1, "a"))

    def test_lone_surrogate(self) -> None:
        """Half a character, as JavaScript makes it by cutting a string, costs no more than that.

        RFC 8259, section 8.2: the grammar allows it, so a server's answer that holds one is
        still an answer.
        """
        message = decode(b'{"jsonrpc":"2.0","id":1,"result":{"a":"x\\ud83d","b":"\\ud83d\\ude00"}}')
        self.assertEqual(payload(message), b'{"a":"x\\ufffd","b":"\\ud83d\\ude00"}')
        for text, became in (
            (rb"\udc00", rb"\ufffd"),
            (rb"\ud800\ud800\udc00", rb"\ufffd\ud800\udc00"),
            (rb"\ud800A", rb"\ufffdA"),
            (rb"\\ud800\ud800", rb"\\ud800\ufffd"),
            (rb"\uD800\n", rb"\ufffd\n"),
        ):
            message = decode(b'{"jsonrpc":"2.0",\n"id":1,"result":"%b"}' % text)
            self.assertEqual(payload(message), b'"%b"' % became)

    @settings(deadline=None, max_examples=100)
    @given(IDS, METHODS, some.dictionaries(some.text(), JSON, max_size=4), some.booleans())
    def test_there_and_back(self, id: Any, method: str, params: Any, ascii: bool) -> None:
        """A message written and read is the same message."""
        text = json.dumps(params, ensure_ascii=ascii).encode()
        for message in (
            Request(id, method, text),
            Notification(method, text),
            Result(id, text),
            Error(id, text),
        ):
            again = decode(encode(message))
            self.assertIs(type(again), type(message))
            self.assertEqual(payload(again), text)
            self.assertEqual(json.loads(encode(again)), json.loads(encode(message)))


class Utf8Tests(SynchronousTestCase):
    """MCP: messages are UTF-8."""

    def test_slices(self) -> None:
        """A large text is looked at in slices, and a character may stand across two of them."""
        for before in range(65_530, 65_540):
            text = b"x" * before + "😀é".encode() + b"y" * 70_000
            check_utf8(text)
            for bad in (text[: before + 2], text[: before + 2] + b"y" * 70_000):
                self.assertRaises(UnparsableMessage, check_utf8, bad)

    def test_cut_at_the_end(self) -> None:
        """A large text that ends in the middle of a character is not UTF-8."""
        self.assertRaises(UnparsableMessage, check_utf8, b"x" * 200_000 + "é".encode()[:1])

    @settings(deadline=None, max_examples=60)
    @given(some.binary(max_size=12), some.integers(65_524, 65_536))
    def test_as_the_whole(self, data: bytes, before: int) -> None:
        """Slices find what the whole would."""
        text = b"x" * before + data
        try:
            text.decode()
        except UnicodeDecodeError:
            self.assertRaises(UnparsableMessage, check_utf8, text)
        else:
            check_utf8(text)


class BatchTests(SynchronousTestCase):
    """MCP 2025-03-26, *Batching*."""

    def test_is_batch(self) -> None:
        """An array, behind white space or not."""
        for text, answer in ((b"[]", True), (b" \r\n\t[1]", True), (b"{}", False), (b"", False)):
            self.assertIs(is_batch(text), answer)

    def test_members(self) -> None:
        """Members that are none stand in the list as errors; their neighbours are served."""
        good = envelope(id=1, method="a")
        bad = b'{"jsonrpc":"2.0","id":2}'
        found = decode_many(b"[%b, 5,\n%b,%b]" % (good, bad, envelope(method="b")))
        assert isinstance(found, list)
        self.assertEqual(found[0], Request(1, "a"))
        self.assertIsInstance(found[1], InvalidMessage)
        self.assertEqual(getattr(found[2], "id", None), 2)
        self.assertEqual(found[3], Notification("b"))

    def test_lone(self) -> None:
        """A message that is no array is a message."""
        self.assertEqual(decode_many(envelope(id=1, method="a")), Request(1, "a"))

    def test_refused(self) -> None:
        """An empty batch, and one that is no JSON."""
        self.assertRaises(InvalidMessage, decode_many, b"[]")
        for text in (b"[", b"[1,]", b"[\xff]", b"[" * DEEP + b"]" * DEEP):
            self.assertRaises((UnparsableMessage, InvalidMessage), decode_many, text)

    def test_limit(self) -> None:
        """A batch over the limit is refused as a whole, before any member of it is read."""
        text = b"[%b]" % b",".join([b"1"] * 5)
        self.assertEqual(len(decode_many(text, 5)), 5)  # type: ignore[arg-type]
        problem = self.assertRaises(InvalidMessage, decode_many, text, 4)
        self.assertIn("4", problem.message)
        self.assertRaises(InvalidMessage, decode_many, b"[]", 4)
        for text in (b"[1", b"[1,]", b"[" * DEEP + b"]" * DEEP):
            self.assertRaises((UnparsableMessage, InvalidMessage), decode_many, text, 4)

    def test_limit_of_memory(self) -> None:
        """Of a batch that is far too long no more is made than may be."""
        text = b"[%b1]" % (b"1," * 1_000_000)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        self.assertRaises(InvalidMessage, decode_many, text, 100)
        self.assertLess(tracemalloc.get_traced_memory()[1], len(text) // 10)


class OpeningTests(SynchronousTestCase):
    """Looking inside, where the daemon has to."""

    def test_fields(self) -> None:
        """The members of an object, unopened; none of an absent one."""
        self.assertEqual(open_fields(b""), {})
        self.assertEqual(
            {k: bytes(v) for k, v in open_fields(b'{"a": [1, 2],"b":"x"}').items()},
            {"a": b"[1, 2]", "b": b'"x"'},
        )
        for text in (b"[]", b"null", b"{", b"1"):
            self.assertRaises(InvalidMessage, open_fields, text)

    def test_error(self) -> None:
        """An error object needs an integer code, and may have any data."""
        body = open_error(Error(1, b'{"code":-32000,"message":"m","data":{"x":[1]},"more":1}'))
        self.assertEqual((body.code, body.message, body.data), (-32000, "m", {"x": [1]}))
        self.assertEqual(open_error(Error(1, b'{"code":1}')).message, "")
        for text in (b"{}", b'"text"', b"null", b'{"code":"1"}', b'{"code":1.5}'):
            self.assertRaises(InvalidMessage, open_error, Error(1, text))

    def test_error_answer(self) -> None:
        """A problem of ours as the asker is told it: code, sentence, stable word."""
        answer = error_answer("x", InvalidParams("no", server="s", attempt=None))
        self.assertEqual(answer.id, "x")
        self.assertEqual(
            json.loads(bytes(answer.error)),
            {"code": -32602, "message": "no", "data": {"code": "invalid-params", "server": "s"}},
        )
        self.assertEqual(
            encode(error_answer(None, McpTwistError("m")))[:26], b'{"jsonrpc":"2.0","id":null'
        )


class PiecesTests(SynchronousTestCase):
    """Writing without copying a large payload."""

    def test_payload_is_not_copied(self) -> None:
        """The payload is one of the pieces, the same object."""
        large = encode_json("x" * 100_000)
        for message in (Result(1, large), Request(1, "a", b'{"x":%b}' % large), Error(2, large)):
            parts = pieces(message)
            inside = getattr(message, message.__struct_fields__[-1])
            self.assertTrue(any(part is inside for part in parts))
            self.assertEqual(b"".join(parts), encode(message))

    def test_absent_params(self) -> None:
        """Absent params stay absent."""
        self.assertEqual(encode(Notification("a")), b'{"jsonrpc":"2.0","method":"a"}')
        self.assertEqual(encode(Request(0, "a")), b'{"jsonrpc":"2.0","id":0,"method":"a"}')
