"""What crosses between the eras, word for word."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mcptwist import translation
from mcptwist.errors import InvalidMessage
from mcptwist.messages import Error, encode_json
from mcptwist.translation import INPUT_METHODS, LEGACY_METHODS
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
        return opened(translation.legacy_params(encode_json(params)))

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
        return opened(translation.modern_result(method, encode_json(result), said))

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
            found = translation.modern_error(method, error(was, {"uri": "a:b"}))
            self.assertEqual((was, code(found)), (was, becomes))
            self.assertEqual(opened(found.error)["data"], {"uri": "a:b"})

    def test_no_error_object(self) -> None:
        """What is no error object passes as it is."""
        odd = Error(1, b'"odd"')
        self.assertIs(translation.modern_error("tools/call", odd), odd)

    def test_discovery(self) -> None:
        """A welcome becomes what ``server/discover`` answers."""
        capabilities = {"tools": {"listChanged": True}, "tasks": {"list": {}}}
        said = {"serverInfo": INFO, "instructions": "do", "capabilities": capabilities}
        found = opened(encode_json(translation.discovery(encode_json(said))))
        self.assertEqual(found["supportedVersions"], ["2026-07-28"])
        self.assertEqual(found["capabilities"], {"tools": {"listChanged": True}})
        self.assertEqual((found["instructions"], found["_meta"]), ("do", {SERVER: INFO}))
        self.assertEqual((found["resultType"], found["ttlMs"]), ("complete", 0))

    def test_url_elicitations(self) -> None:
        """A ``-32042`` is a number of inputs."""
        wanted = {"url": "https://x.example", "message": "go", "elicitationId": "1"}
        found = translation.url_elicitations(error(-32042, {"elicitations": [wanted]}))
        params = {"mode": "url", **wanted}
        self.assertEqual(found, {"url-0": {"method": "elicitation/create", "params": params}})

    def test_no_url_elicitations(self) -> None:
        """Another error, or one without the list it must have, is not."""
        lists: list[Any] = [None, {}, {"elicitations": None}, {"elicitations": [1]}, [1], "x"]
        for data in lists:
            self.assertIsNone(translation.url_elicitations(error(-32042, data)), data)
        self.assertIsNone(translation.url_elicitations(error(-32602, {"elicitations": [{}]})))
        self.assertIsNone(translation.url_elicitations(Error(1, b"[]")))


class CapabilityTests(SynchronousTestCase):
    def lacking(self, capabilities: Any, method: str, **params: Any) -> Any:
        return translation.lacking(encode_json(capabilities), method, encode_json(params))

    def test_declared(self) -> None:
        """What was declared may be asked."""
        everything = {"sampling": {}, "roots": {}, "elicitation": {"form": {}, "url": {}}}
        for method in translation.ASKED_BY:
            self.assertIsNone(self.lacking(everything, method))
            self.assertIsNone(self.lacking(everything, method, mode="url"))

    def test_undeclared(self) -> None:
        """What was not is named, as ``data.requiredCapabilities`` has it."""
        for method, capability in translation.ASKED_BY.items():
            self.assertEqual(self.lacking({"other": {}}, method), {capability: {}})

    def test_modes(self) -> None:
        """Elicitation without a mode means forms; a URL is asked only where it was declared."""
        create, by_url = "elicitation/create", {"elicitation": {"url": {}}}
        self.assertIsNone(self.lacking({"elicitation": {}}, create))
        self.assertIsNone(self.lacking({"elicitation": {}}, create, mode="form"))
        self.assertEqual(self.lacking({"elicitation": {}}, create, mode="url"), by_url)
        self.assertEqual(self.lacking({"elicitation": {"form": {}}}, create, mode="url"), by_url)
        self.assertEqual(self.lacking(by_url, create), {"elicitation": {}})
        self.assertIsNone(self.lacking(by_url, create, mode="url"))


class ToAModernServerTests(SynchronousTestCase):
    """A legacy client's words, and what comes back."""

    def test_params(self) -> None:
        """Each request says what the client said once."""
        params = encode_json({"name": "t", "_meta": {"progressToken": "p"}})
        sent = opened(
            translation.modern_params(params, b'{"roots":{}}', encode_json(INFO), "debug")
        )
        envelope = {VERSION: "2026-07-28", CAPABILITIES: {"roots": {}}, CLIENT: INFO}
        meta = {"progressToken": "p", LEVEL: "debug", **envelope}
        self.assertEqual(sent, {"name": "t", "_meta": meta})

    def test_sparse_params(self) -> None:
        """A client that said nothing of itself, at a server that does not log."""
        sent = opened(translation.modern_params(b"", b"", b"", None))
        self.assertEqual(sent, {"_meta": {VERSION: "2026-07-28", CAPABILITIES: {}}})

    def test_retried(self) -> None:
        """The same request with the inputs, and with nothing of an earlier round."""
        params = encode_json({"name": "t", "requestState": "old", "inputResponses": {"b": {}}})
        found = opened(translation.retried(params, {"a": b'{"x":1}'}, b'"new"'))
        wanted = {"name": "t", "inputResponses": {"a": {"x": 1}}, "requestState": "new"}
        self.assertEqual(found, wanted)
        self.assertEqual(opened(translation.retried(params, {}, None)), {"name": "t"})

    def test_inputs(self) -> None:
        """What a result requires."""
        requests = {"a": {"method": "roots/list"}, "b": {"method": "x", "params": {"y": 1}}}
        result = {"resultType": "input_required", "inputRequests": requests, "requestState": "s"}
        inputs = translation.inputs_required(encode_json(result))
        assert inputs is not None
        self.assertEqual(
            {k: r.method for k, r in inputs.requests.items()}, {"a": "roots/list", "b": "x"}
        )
        self.assertEqual(opened(inputs.requests["b"].params), {"y": 1})
        self.assertEqual(opened(inputs.state), "s")

    def test_no_inputs(self) -> None:
        """A complete result requires none, whatever words are in it."""
        for result in ({}, {"resultType": "complete"}, {"content": ["input_required"]}):
            self.assertIsNone(translation.inputs_required(encode_json(result)))

    def test_malformed_inputs(self) -> None:
        """A result that requires something else than requests is refused."""
        for requests in ([], {"a": 1}, {"a": {}}, {"a": {"method": 1}}):
            result = {"resultType": "input_required", "inputRequests": requests}
            with self.assertRaises(InvalidMessage):
                translation.inputs_required(encode_json(result))

    def received(self, method: str, result: Any) -> Any:
        return opened(translation.legacy_result(method, encode_json(result)))

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
            self.assertEqual((was, code(translation.legacy_error(error(was)))), (was, becomes))

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
            found = opened(encode_json(translation.welcome(encode_json(discovered), asked)))
            self.assertEqual(found["protocolVersion"], agreed)
        del found["protocolVersion"]
        self.assertEqual(
            found, {"capabilities": {"tools": {}}, "serverInfo": INFO, "instructions": "do"}
        )

    def test_anonymous_welcome(self) -> None:
        """A legacy server must have a name; a modern one need not."""
        found = translation.welcome(b'{"capabilities":{}}', "2025-06-18")
        self.assertEqual(found["serverInfo"], {"name": "unknown", "version": "0"})

    def test_unsolicited(self) -> None:
        """A subscription's notification becomes one that nobody asked for."""
        params = encode_json({"uri": "a:b", "_meta": {SUBSCRIPTION: 1, "x": 2}})
        found = opened(translation.unsolicited(params, SUBSCRIPTION))
        self.assertEqual(found, {"uri": "a:b", "_meta": {"x": 2}})
        bare = encode_json({"_meta": {SUBSCRIPTION: 1}})
        self.assertEqual(translation.unsolicited(bare, SUBSCRIPTION), b"")

    def test_questions(self) -> None:
        """The mode of an elicitation goes to clients that know modes."""
        asked = encode_json({"mode": "form", "message": "m"})
        for revision, modes in (("2025-06-18", []), ("2025-11-25", ["form"])):
            found = opened(translation.question_params(asked, revision))
            self.assertEqual([found[k] for k in found if k == "mode"], modes)


REVISIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")


class RevisionTests(SynchronousTestCase):
    """What of a newer server's words an older client reads."""

    #: The first revision that knows each field of a tool.
    TOOL = {
        "name": "2024-11-05",
        "inputSchema": "2024-11-05",
        "description": "2024-11-05",
        "annotations": "2025-03-26",
        "title": "2025-06-18",
        "outputSchema": "2025-06-18",
        "_meta": "2025-06-18",
        "icons": "2025-11-25",
        "execution": "2025-11-25",
    }

    def received(self, method: str, result: Any, revision: str) -> Any:
        return opened(translation.revised(method, encode_json(result), revision))

    def test_tools(self) -> None:
        """A revision is sent the fields it knows, and no other."""
        tool: dict[str, Any] = {field: {} for field in self.TOOL}
        for revision in REVISIONS:
            found = self.received("tools/list", {"tools": [tool], "nextCursor": "c"}, revision)
            known = {field for field, since in self.TOOL.items() if since <= revision}
            self.assertEqual(set(found["tools"][0]), known, revision)
            self.assertEqual(found["nextCursor"], "c")

    def test_other_lists(self) -> None:
        """Annotations of resources are older than those of tools."""
        for method, field in (
            ("resources/list", "resources"),
            ("resources/templates/list", "resourceTemplates"),
            ("prompts/list", "prompts"),
        ):
            entry = {"name": "n", "annotations": {}, "title": "t", "icons": []}
            found = self.received(method, {field: [entry]}, "2024-11-05")
            self.assertEqual(found, {field: [{"name": "n", "annotations": {}}]})
            found = self.received(method, {field: [entry]}, "2025-06-18")
            self.assertEqual(set(found[field][0]), {"name", "annotations", "title"})

    def test_content(self) -> None:
        """Content of a kind that a revision does not know becomes a text that says what it was."""
        audio = {"type": "audio", "data": "AA==", "mimeType": "audio/wav"}
        link = {"type": "resource_link", "uri": "a:b", "name": "n"}
        text = {"type": "text", "text": "x"}
        for revision, kinds in (
            ("2024-11-05", ["text", "text", "text"]),
            ("2025-03-26", ["audio", "text", "text"]),
            ("2025-06-18", ["audio", "resource_link", "text"]),
        ):
            found = self.received("tools/call", {"content": [audio, link, text]}, revision)
            self.assertEqual([block["type"] for block in found["content"]], kinds)
        told = self.received("tools/call", {"content": [audio, link]}, "2024-11-05")["content"]
        self.assertEqual([b["text"] for b in told], ["[audio: audio/wav]", "[resource: a:b]"])

    def test_prompts(self) -> None:
        """The same in a prompt's messages."""
        message = {"role": "user", "content": {"type": "audio", "data": "", "mimeType": "a/b"}}
        found = self.received("prompts/get", {"messages": [message]}, "2024-11-05")
        self.assertEqual(found["messages"][0]["content"], {"type": "text", "text": "[audio: a/b]"})

    def test_structured_content(self) -> None:
        """Structured content came with 2025-06-18."""
        result = {"content": [], "structuredContent": {"a": 1}}
        self.assertEqual(self.received("tools/call", result, "2025-06-18"), result)
        self.assertEqual(self.received("tools/call", result, "2025-03-26"), {"content": []})

    def test_everything_else(self) -> None:
        """Results of other methods, and lists that are missing, pass as they are."""
        for method in sorted(LEGACY_METHODS):
            self.assertEqual(self.received(method, {"x": 1}, "2024-11-05"), {"x": 1}, method)


class TableTests(SynchronousTestCase):
    def test_inputs_are_asked_of_calls(self) -> None:
        """Only methods that a legacy server may ask back in are held."""
        self.assertLessEqual(INPUT_METHODS, LEGACY_METHODS)

    def test_bytes_are_json(self) -> None:
        """Whatever is made here is one line of JSON."""
        made = translation.modern_params(b'{ "a" : 1 }', b"{}", b"", None)
        self.assertNotIn(b"\n", made)
        json.loads(made)
