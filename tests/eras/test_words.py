"""What crosses between the eras, word for word."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mcptwist.eras import words
from mcptwist.eras.words import LEGACY_METHODS
from mcptwist.messages import Error, encode_json
from tests.scripted import opened

VERSION = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
CLIENT = "io.modelcontextprotocol/clientInfo"
LEVEL = "io.modelcontextprotocol/logLevel"
SERVER = "io.modelcontextprotocol/serverInfo"
SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
INFO = {"name": "a server", "version": "1"}


def error(code: int, data: Any = None) -> Error:
    return Error(1, encode_json({"code": code, "message": "no", "data": data}))


def code(answer: Error) -> int:
    found: int = opened(answer.error)["code"]
    return found


class ToALegacyServerTests(SynchronousTestCase):
    """A modern client's words, and what comes back."""

    def sent(self, params: Any) -> Any:
        return opened(words.legacy_params(encode_json(params)))

    def test_envelope(self) -> None:
        """What is the modern era's own is taken out of ``_meta``; the rest stays."""
        meta = {VERSION: "2026-07-28", CAPABILITIES: {}, CLIENT: INFO, LEVEL: "info"}
        kept = {"progressToken": 7, "traceparent": "00-1-2-03", "com.example/x": [1]}
        sent = self.sent({"name": "t", "_meta": meta | kept})
        self.assertEqual(sent, {"name": "t", "_meta": kept})

    def test_empty_envelope(self) -> None:
        """A ``_meta`` with nothing left in it is left out."""
        self.assertEqual(self.sent({"name": "t", "_meta": {VERSION: "2026-07-28"}}), {"name": "t"})

    def test_retry(self) -> None:
        """What a retry adds is between client and daemon."""
        params = {"name": "t", "inputResponses": {"a": {}}, "requestState": "s", "arguments": {}}
        self.assertEqual(self.sent(params), {"name": "t", "arguments": {}})

    def test_unknown_fields(self) -> None:
        """What we do not know passes."""
        self.assertEqual(self.sent({"name": "t", "futureField": [1]})["futureField"], [1])

    def received(self, method: str, result: Any, server: Any = INFO) -> Any:
        said = encode_json(server) if server else b""
        return opened(words.modern_result(method, encode_json(result), said))

    def test_results(self) -> None:
        """Results say that they are complete and who they are from."""
        for method in sorted(LEGACY_METHODS):
            result = self.received(method, {"x": 1, "_meta": {"y": 2}})
            self.assertEqual((result["resultType"], result["x"]), ("complete", 1), method)
            self.assertEqual(result["_meta"], {"y": 2, SERVER: INFO}, method)

    def test_cacheable(self) -> None:
        """Results that must say how long they hold say: not at all, and for nobody else."""
        for method in sorted(LEGACY_METHODS):
            result = self.received(method, {})
            cacheable = "list" in method or method == "resources/read"
            self.assertEqual("ttlMs" in result, cacheable, method)
            self.assertEqual("cacheScope" in result, cacheable, method)
        self.assertEqual((result["ttlMs"], result["cacheScope"]), (0, "private"))

    def test_own_words_win(self) -> None:
        """What the server says itself is not overwritten."""
        result = self.received("tools/list", {"ttlMs": 5, "cacheScope": "public"}, None)
        self.assertEqual((result["ttlMs"], result["cacheScope"]), (5, "public"))
        self.assertNotIn("_meta", result)

    def test_errors(self) -> None:
        """Codes that the modern era does not have become those it has."""
        for method, was, becomes in (
            ("resources/read", -32002, -32602),
            ("tools/call", -32042, -32600),
            ("tools/call", -32602, -32602),
            ("tools/call", -32000, -32000),
            ("no/such", -32602, -32601),
            ("no/such", -32601, -32601),
        ):
            found = words.modern_error(method, error(was, {"uri": "a:b"}))
            self.assertEqual((was, code(found)), (was, becomes))
            self.assertEqual(opened(found.error)["data"], {"uri": "a:b"})

    def test_no_error_object(self) -> None:
        """What is no error object passes as it is."""
        odd = Error(1, b'"odd"')
        self.assertIs(words.modern_error("tools/call", odd), odd)

    def test_discovery(self) -> None:
        """A welcome becomes what ``server/discover`` answers."""
        capabilities = {"tools": {"listChanged": True}, "tasks": {"list": {}}}
        said = {"serverInfo": INFO, "instructions": "do", "capabilities": capabilities}
        found = opened(encode_json(words.discovery(encode_json(said))))
        self.assertEqual(found["supportedVersions"], ["2026-07-28"])
        self.assertEqual(found["capabilities"], {"tools": {"listChanged": True}})
        self.assertEqual((found["instructions"], found["_meta"]), ("do", {SERVER: INFO}))
        self.assertEqual((found["resultType"], found["ttlMs"]), ("complete", 0))


class ToAModernServerTests(SynchronousTestCase):
    """A legacy client's words, and what comes back."""

    def test_params(self) -> None:
        """Each request says what the client said once."""
        params = encode_json({"name": "t", "_meta": {"progressToken": "p"}})
        sent = opened(words.modern_params(params, b'{"roots":{}}', encode_json(INFO), "debug"))
        envelope = {VERSION: "2026-07-28", CAPABILITIES: {"roots": {}}, CLIENT: INFO}
        meta = {"progressToken": "p", LEVEL: "debug", **envelope}
        self.assertEqual(sent, {"name": "t", "_meta": meta})

    def test_sparse_params(self) -> None:
        """A client that said nothing of itself, at a server that does not log."""
        sent = opened(words.modern_params(b"", b"", b"", None))
        self.assertEqual(sent, {"_meta": {VERSION: "2026-07-28", CAPABILITIES: {}}})

    def received(self, method: str, result: Any) -> Any:
        return opened(words.legacy_result(method, encode_json(result)))

    def test_results(self) -> None:
        """What only the modern era has is taken out."""
        modern = {"resultType": "complete", "ttlMs": 1, "cacheScope": "public", "x": [1]}
        for method in sorted(LEGACY_METHODS):
            self.assertEqual(self.received(method, modern), {"x": [1]}, method)
            both = modern | {"_meta": {SERVER: INFO, "y": 1}}
            self.assertEqual(self.received(method, both), {"x": [1], "_meta": {"y": 1}}, method)
            alone = modern | {"_meta": {SERVER: INFO}}
            self.assertEqual(self.received(method, alone), {"x": [1]}, method)

    def test_structured_content(self) -> None:
        """Structured content that is no object is put into one."""
        for content in ([1], "a", 1, None, True):
            found = self.received("tools/call", {"structuredContent": content})
            self.assertEqual(found, {"structuredContent": {"result": content}})
        same = {"structuredContent": {"a": 1}}
        self.assertEqual(self.received("tools/call", same), same)

    def test_output_schema(self) -> None:
        """A schema for such content is not shown."""
        schemas: list[Any] = [{"type": "array"}, {"type": "object"}, {"anyOf": []}, None]
        tools = [
            {"name": str(n)} | ({"outputSchema": s} if s else {}) for n, s in enumerate(schemas)
        ]
        found = self.received("tools/list", {"tools": tools})["tools"]
        self.assertEqual([tool["name"] for tool in found], ["0", "1", "2", "3"])
        self.assertEqual(["outputSchema" in tool for tool in found], [False, True, False, False])

    def test_errors(self) -> None:
        """Codes that a legacy client does not know become one it does."""
        for was, becomes in (
            (-32020, -32600),
            (-32021, -32600),
            (-32022, -32600),
            (-32602, -32602),
            (-32601, -32601),
            (1, 1),
        ):
            self.assertEqual((was, code(words.legacy_error(error(was)))), (was, becomes))

    def test_welcome(self) -> None:
        """A discovery becomes the answer to ``initialize``."""
        capabilities = {"tools": {}, "extensions": {"io.modelcontextprotocol/tasks": {}}}
        discovered = {
            "supportedVersions": ["2026-07-28"],
            "capabilities": capabilities,
            "instructions": "do",
            "_meta": {SERVER: INFO},
        }
        for asked, agreed in (
            ("2024-11-05", "2024-11-05"),
            ("2025-11-25", "2025-11-25"),
            ("1999-01-01", "2025-11-25"),
            ("2026-07-28", "2025-11-25"),
        ):
            found = opened(encode_json(words.welcome(encode_json(discovered), asked)))
            self.assertEqual(found["protocolVersion"], agreed)
        del found["protocolVersion"]
        self.assertEqual(
            found, {"capabilities": {"tools": {}}, "serverInfo": INFO, "instructions": "do"}
        )

    def test_anonymous_welcome(self) -> None:
        """A legacy server must have a name; a modern one need not."""
        found = words.welcome(b'{"capabilities":{}}', "2025-06-18")
        self.assertEqual(opened(found["serverInfo"]), {"name": "unknown", "version": "0"})

    def test_unsolicited(self) -> None:
        """A subscription's notification becomes one that nobody asked for."""
        params = encode_json({"uri": "a:b", "_meta": {SUBSCRIPTION: 1, "x": 2}})
        found = opened(words.unsolicited(params, SUBSCRIPTION))
        self.assertEqual(found, {"uri": "a:b", "_meta": {"x": 2}})
        bare = encode_json({"_meta": {SUBSCRIPTION: 1}})
        self.assertEqual(words.unsolicited(bare, SUBSCRIPTION), b"")


class TableTests(SynchronousTestCase):
    def test_bytes_are_json(self) -> None:
        """Whatever is made here is one line of JSON."""
        made = words.modern_params(b'{ "a" : 1 }', b"{}", b"", None)
        self.assertNotIn(b"\n", made)
        json.loads(made)
