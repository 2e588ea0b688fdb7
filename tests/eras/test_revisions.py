"""What the legacy revisions do not know of each other's words.

``fields.json`` beside this has the fields of every kind of thing that a server says, by revision,
and the kinds of content and of notifications, as the specification's schema files have them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mcptwist.eras import revisions
from mcptwist.eras.revisions import CONTENT, KINDS, SAID_SINCE
from mcptwist.eras.words import LEGACY_METHODS
from mcptwist.messages import Notification, encode_json, open_fields
from tests.scripted import opened

FIELDS: Any = json.loads(Path(__file__).with_name("fields.json").read_text())
REVISIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
LATEST = REVISIONS[-1]

#: Fields that only links to resources have, which older revisions are sent none of.
OF_LINKS = {"description", "mimeType", "name", "size", "title", "uri"}


def received(kind: str, said: Any, revision: str) -> Any:
    return opened(revisions.revised(kind, encode_json(said), revision))


class SchemaTests(SynchronousTestCase):
    """The table holds what the schemas of the revisions do."""

    def test_fields(self) -> None:
        """Every kind of thing, with every field there is, is sent with those a revision knows."""
        for kind in sorted(FIELDS.keys() - {"content", "notifications"}):
            every = dict.fromkeys(FIELDS[kind][LATEST], 1)
            for revision, known in FIELDS[kind].items():
                found = set(received(kind, every, revision))
                expected = set(known)
                # Any request and any notification may have it, whatever its own schema says.
                expected |= {"_meta"} & every.keys() if "/" in kind else set()
                expected |= OF_LINKS if kind == "ContentBlock" else set()
                self.assertEqual(found, expected, (kind, revision))

    def test_every_kind(self) -> None:
        """No kind of thing is left out, and none is made up."""
        self.assertLessEqual(set(KINDS) - {"Form"}, set(FIELDS))
        parts = {part for kind in KINDS.values() for part in kind.parts.values()}
        self.assertLessEqual(parts, set(KINDS))

    def test_content(self) -> None:
        """Every kind of content is sent to the revisions that have it, as a text to others."""
        for revision, known in FIELDS["content"].items():
            for kind in FIELDS["content"][LATEST]:
                (block,) = received("tools/call", {"content": [{"type": kind}]}, revision)[
                    "content"
                ]
                self.assertEqual(block["type"], kind if kind in known else "text", revision)
        self.assertLessEqual(set(CONTENT), set(FIELDS["content"][LATEST]))

    def test_notifications(self) -> None:
        """Every notification is said to the revisions that have it."""
        for revision, known in FIELDS["notifications"].items():
            said = [revisions.said(Notification(m), revision) for m in _all_notifications()]
            heard = sorted(n.method for n in said if n is not None)
            self.assertEqual(heard, sorted(known), revision)
        self.assertLessEqual(set(SAID_SINCE), set(_all_notifications()))


def _all_notifications() -> list[str]:
    found: list[str] = FIELDS["notifications"][LATEST]
    return found


class PageTests(SynchronousTestCase):
    """``docs/eras.rst``"""

    def test_everything_is_told(self) -> None:
        """Every field, notification and kind of content that some are not sent is on the page."""
        page = (Path(__file__).parents[2] / "docs" / "eras.rst").read_text()
        newer = {field for kind in KINDS.values() for field in kind.since}
        # A link and its URL go together; a capability is told with the others.
        for name in sorted(newer - {"url", "elicitationId"} | set(SAID_SINCE)):
            self.assertIn(f"``{name}``", page)
        for words in ("[audio: TYPE]", "[resource: URI]", "[tool_use: NAME]"):
            self.assertIn(words, page)


class RevisionTests(SynchronousTestCase):
    """What of a newer server's words an older client reads."""

    def test_nothing_new(self) -> None:
        """Where nothing is newer the bytes pass as they are."""
        result = b'{ "tools":[{"name":"t" , "icons":[]}]}'
        self.assertEqual(revisions.revised("tools/list", result, LATEST), result)
        self.assertEqual(revisions.revised("completion/complete", b"[ ]", "2024-11-05"), b"[ ]")

    def test_welcome(self) -> None:
        """A welcome names the server as far as a client knows names."""
        info = {"name": "s", "version": "1", "title": "S", "icons": [], "websiteUrl": "u"}
        said = {"serverInfo": info, "capabilities": {"completions": {}, "tasks": {}, "tools": {}}}
        for revision, names, able in (
            ("2024-11-05", {"name", "version"}, {"tools"}),
            ("2025-03-26", {"name", "version"}, {"tools", "completions"}),
            ("2025-06-18", {"name", "version", "title"}, {"tools", "completions"}),
        ):
            found = received("initialize", said, revision)
            self.assertEqual(set(found["serverInfo"]), names)
            self.assertEqual(set(found["capabilities"]), able)

    def test_lists(self) -> None:
        """Each entry of a list, and what is in it, is sent without what is too new."""
        annotations = {"priority": 1, "lastModified": "2025-01-12T15:00:58Z"}
        entry = {"name": "n", "annotations": annotations, "title": "t", "icons": []}
        for method, field in (
            ("resources/list", "resources"),
            ("resources/templates/list", "resourceTemplates"),
        ):
            said = {field: [entry, entry], "nextCursor": "c"}
            found = received(method, said, "2024-11-05")
            old = {"name": "n", "annotations": {"priority": 1}}
            self.assertEqual(found, {field: [old, old], "nextCursor": "c"})
            found = received(method, said, "2025-06-18")
            self.assertEqual(found[field][0], {k: v for k, v in entry.items() if k != "icons"})

    def test_tool_annotations(self) -> None:
        """A tool's annotations are other things than a resource's, and have always had titles."""
        tool = {"name": "t", "inputSchema": {}, "annotations": {"title": "T", "lastModified": 1}}
        self.assertEqual(received("tools/list", {"tools": [tool]}, "2025-03-26")["tools"], [tool])

    def test_prompt_arguments(self) -> None:
        """An argument's title is as new as a prompt's."""
        prompt = {"name": "p", "arguments": [{"name": "a", "title": "A", "required": True}]}
        found = received("prompts/list", {"prompts": [prompt]}, "2025-03-26")
        self.assertEqual(found["prompts"][0]["arguments"], [{"name": "a", "required": True}])

    def test_content(self) -> None:
        """Content of a kind that a revision does not know becomes a text that says what it was."""
        audio = {"type": "audio", "data": "AA==", "mimeType": "audio/wav"}
        link = {"type": "resource_link", "uri": "a:b", "name": "n"}
        odd = {"type": "resource_link", "uri": ["a"]}
        told = received("tools/call", {"content": [audio, link, odd]}, "2024-11-05")["content"]
        self.assertEqual(
            [b["text"] for b in told], ["[audio: audio/wav]", "[resource: a:b]", "[resource]"]
        )

    def test_parts_of_content(self) -> None:
        """What is in content is older than the content too."""
        embedded = {"type": "resource", "resource": {"uri": "a:b", "text": "", "_meta": {}}}
        text = {"type": "text", "text": "x", "_meta": {}, "annotations": {"lastModified": "y"}}
        said = {"content": [embedded, text], "_meta": {"kept": 1}, "structuredContent": {}}
        found = received("tools/call", said, "2025-03-26")
        self.assertEqual(found["content"][0]["resource"], {"uri": "a:b", "text": ""})
        self.assertEqual(found["content"][1], {"type": "text", "text": "x", "annotations": {}})
        self.assertEqual((found["_meta"], "structuredContent" in found), ({"kept": 1}, False))

    def test_prompts_and_resources(self) -> None:
        """The same in a prompt's messages and in what is read."""
        message = {"role": "user", "content": {"type": "audio", "data": "", "mimeType": "a/b"}}
        found = received("prompts/get", {"messages": [message]}, "2024-11-05")
        self.assertEqual(found["messages"][0]["content"], {"type": "text", "text": "[audio: a/b]"})
        found = received("resources/read", {"contents": [{"uri": "a", "_meta": {}}]}, "2025-03-26")
        self.assertEqual(found, {"contents": [{"uri": "a"}]})

    def test_what_is_not_as_it_should_be(self) -> None:
        """Parts of another shape pass as they are: whoever reads them will say so."""
        for odd in (None, 1, "x", [1], [[1]], {}):
            said = {"tools": odd}
            self.assertEqual(received("tools/list", said, "2024-11-05"), said)
            said = {"content": odd}
            expected: Any = {"content": odd}
            self.assertEqual(received("tools/call", said, "2024-11-05"), expected)

    def test_everything_else(self) -> None:
        """Results of other methods, and lists that are missing, pass as they are."""
        for method in sorted(LEGACY_METHODS):
            self.assertEqual(received(method, {"x": 1}, "2024-11-05"), {"x": 1}, method)

    def test_progress(self) -> None:
        """Words of progress came with 2025-03-26."""
        params = {"progressToken": 1, "progress": 2, "message": "half"}
        notification = Notification("notifications/progress", encode_json(params))
        for revision, heard in (("2024-11-05", False), ("2025-03-26", True)):
            found = revisions.said(notification, revision)
            assert found is not None
            self.assertEqual("message" in opened(found.params), heard)

    def test_forms(self) -> None:
        """2025-06-18 has names for choices in another place, and defaults for switches only."""
        inputs = {
            "size": {"type": "string", "default": "s", "title": "Size"},
            "loud": {"type": "boolean", "default": True},
            "plan": {
                "type": "string",
                "oneOf": [{"const": "a", "title": "A"}, {"const": "b", "title": "B"}],
            },
            "odd": {"oneOf": [1]},
        }
        said = {"mode": "form", "message": "m", "requestedSchema": {"properties": inputs}}
        found = received("elicitation/create", said, "2025-06-18")
        self.assertEqual(set(found), {"message", "requestedSchema"})
        self.assertEqual(
            found["requestedSchema"]["properties"],
            {
                "size": {"type": "string", "title": "Size"},
                "loud": {"type": "boolean", "default": True},
                "plan": {"type": "string", "enum": ["a", "b"], "enumNames": ["A", "B"]},
                "odd": {"oneOf": [1]},
            },
        )
        for odd in ({}, {"properties": 1}, {"properties": {"a": 1}}):
            said = {"message": "m", "requestedSchema": odd}
            self.assertEqual(received("elicitation/create", said, "2025-06-18"), said)

    def test_sampling(self) -> None:
        """Older revisions have no tools in sampling, nor their use in messages."""
        message = {"role": "user", "content": [{"type": "tool_use", "name": "t"}], "_meta": {}}
        said = {"messages": [message], "tools": [], "toolChoice": {}, "maxTokens": 1}
        found = received("sampling/createMessage", said, "2025-06-18")
        self.assertEqual(set(found), {"messages", "maxTokens"})
        content = [{"type": "text", "text": "[tool_use: t]"}]
        self.assertEqual(found["messages"], [{"role": "user", "content": content}])

    def test_unseen(self) -> None:
        """A text with nothing new in it stays as it is; an escape hides nothing."""
        for kind in sorted(KINDS):
            plain = b'{ "content" : [ {"type": "text", "text": "x"} ] ,"other":1 }'
            self.assertEqual(revisions.revised(kind, plain, "2024-11-05"), plain, kind)
        hidden = (
            b'{"content":[{"type":"\\u0061udio","mimeType":"audio/x"}],"\\u0073tructuredContent":1}'
        )
        found = opened(revisions.revised("tools/call", hidden, "2024-11-05"))
        self.assertEqual(found, {"content": [{"type": "text", "text": "[audio: audio/x]"}]})

    def test_every_sign(self) -> None:
        """What is looked into with all its words is the same as what is always looked into."""
        for kind in sorted(FIELDS.keys() - {"content", "notifications"}):
            for name in FIELDS[kind][LATEST]:
                for revision in REVISIONS:
                    quick = received(kind, {name: 1}, revision)
                    fields = open_fields(encode_json({name: 1}))
                    revisions.revise(kind, fields, revision)
                    self.assertEqual(quick, opened(encode_json(fields)), (kind, name, revision))
