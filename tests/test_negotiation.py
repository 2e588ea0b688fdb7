"""``mcptwist.negotiation`` and ``mcptwist.versions``: agreeing on a revision, in both eras.

MCP 2025-11-25, *Lifecycle, Version Negotiation*; MCP 2026-07-28, *Versioning* and *Base protocol*.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as some
from msgspec import UNSET, Raw
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.errors import InvalidParams, UnsupportedVersion
from mcptwist.messages import encode_json
from mcptwist.negotiation import (
    CAPABILITIES_KEY,
    CLIENT_KEY,
    LOG_LEVEL_KEY,
    VERSION_KEY,
    agree,
    discover_params,
    hello_params,
    looks_modern,
    modern_meta,
    read_discovery,
    read_envelope,
    read_hello,
    read_welcome,
    require_modern,
)
from mcptwist.versions import (
    LATEST,
    LATEST_LEGACY,
    LEGACY_REVISIONS,
    MODERN_REVISIONS,
    REVISIONS,
    UNNAMED,
    is_legacy,
    is_modern,
)

ME = {"name": "me", "version": "1"}
META = {VERSION_KEY: LATEST, CAPABILITIES_KEY: {}}


def params(**meta: Any) -> bytes:
    return encode_json({"name": "t", "_meta": {**META, **meta}})


class VersionsTests(SynchronousTestCase):
    """The revisions and what each allows."""

    def test_eras(self) -> None:
        """Four that shake hands, one that does not; nothing else is either."""
        self.assertEqual(LEGACY_REVISIONS, ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"))
        self.assertEqual(MODERN_REVISIONS, ("2026-07-28",))
        for name in ("", "1999-01-01", "2026-07-29", "draft"):
            self.assertFalse(is_legacy(name) or is_modern(name))

    def test_differences(self) -> None:
        """Batches in 2025-03-26, priming events in 2025-11-25, a header from 2025-06-18 on."""
        self.assertEqual([n for n, r in REVISIONS.items() if r.batches], ["2025-03-26"])
        self.assertEqual([n for n, r in REVISIONS.items() if r.primes_streams], ["2025-11-25"])
        self.assertEqual(
            [n for n, r in REVISIONS.items() if not r.names_itself], ["2024-11-05", "2025-03-26"]
        )
        self.assertTrue(is_legacy(UNNAMED))


class AgreeTests(SynchronousTestCase):
    """``initialize``: the revision asked for if it is known, else our best."""

    def test_agree(self) -> None:
        """Never more than the server behind can do."""
        for asked, best, agreed in (
            ("2025-06-18", LATEST_LEGACY, "2025-06-18"),
            ("2024-11-05", LATEST_LEGACY, "2024-11-05"),
            ("2025-11-25", "2025-03-26", "2025-03-26"),
            ("2099-01-01", LATEST_LEGACY, LATEST_LEGACY),
            ("2026-07-28", LATEST_LEGACY, LATEST_LEGACY),
            ("", "2024-11-05", "2024-11-05"),
        ):
            self.assertEqual(agree(asked, best), agreed)

    def test_hello(self) -> None:
        """What ``initialize`` says; capabilities and client must be objects where they are said."""
        hello = read_hello(b'{"protocolVersion":"x","capabilities":{ "a":{} },"more":1}')
        self.assertEqual((hello.protocolVersion, bytes(hello.capabilities)), ("x", b'{ "a":{} }'))
        self.assertEqual(bytes(hello.clientInfo), b"{}")
        for text in (
            b"", b"{}", b"[]", b'{"protocolVersion":1}', b'{"protocolVersion":null}',
            b'{"protocolVersion":"x","capabilities":[]}',
            b'{"protocolVersion":"x","clientInfo":"me"}',
        ):  # fmt: skip
            self.assertRaises(InvalidParams, read_hello, text)

    def test_our_hello(self) -> None:
        """Ours can be read."""
        hello = read_hello(hello_params({"roots": {}}, ME))
        self.assertEqual(hello.protocolVersion, LATEST_LEGACY)
        self.assertEqual(json.loads(bytes(hello.clientInfo)), ME)

    def test_welcome(self) -> None:
        """A welcome of a revision that nobody here knows is none."""
        text = b'{"protocolVersion":"%b","capabilities":{},"serverInfo":{},"x":1}'
        self.assertEqual(read_welcome(text % b"2025-03-26").protocolVersion, "2025-03-26")
        for bad in (text % b"2026-07-28", text % b"", b"{}", b"[]", b'{"protocolVersion":5}'):
            self.assertRaises(InvalidParams, read_welcome, bad)

    def test_discovery(self) -> None:
        """What ``server/discover`` answers."""
        text = b'{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"ttlMs":0}'
        self.assertEqual(read_discovery(text).supportedVersions, ["2026-07-28"])
        for bad in (
            b"{}",
            b"[]",
            b'{"supportedVersions":"2026-07-28"}',
            b'{"supportedVersions":[1]}',
        ):
            self.assertRaises(InvalidParams, read_discovery, bad)


class EnvelopeTests(SynchronousTestCase):
    """*Per-request protocol fields*."""

    def test_complete(self) -> None:
        """All of it, capabilities and client unopened; the last two may be left out."""
        read = read_envelope(params(**{CLIENT_KEY: ME, LOG_LEVEL_KEY: "debug"}))
        self.assertEqual((read.version, read.log_level), (LATEST, "debug"))
        assert read.client is not None
        self.assertEqual((bytes(read.capabilities), json.loads(bytes(read.client))), (b"{}", ME))
        read = read_envelope(params())
        self.assertEqual((read.client, read.log_level), (None, None))

    def test_beside(self) -> None:
        """What else the params have is told only where it is no more than usual."""
        whole = json.loads(params())
        beside = read_envelope(encode_json({**whole, "name": "t", "arguments": {}})).beside
        assert beside is not None
        self.assertEqual((beside.name, beside.uri), (Raw(b'"t"'), UNSET))
        for name in ("requestState", "Name", "_Meta"):
            read = read_envelope(encode_json({**whole, "name": "t", name: {}}))
            self.assertEqual((read.version, read.beside), (LATEST, None))

    def test_incomplete(self) -> None:
        """A required key missing, or anything of the wrong type; the message names the key."""
        for text, word in (
            (b"", "_meta"),
            (b"{}", "_meta"),
            (b'{"_meta":{}}', VERSION_KEY),
            (b'{"_meta":null}', "_meta"),
            (b'{"_meta":[]}', "_meta"),
            (encode_json({"_meta": {CAPABILITIES_KEY: {}}}), VERSION_KEY),
            (encode_json({"_meta": {VERSION_KEY: LATEST}}), CAPABILITIES_KEY),
            (params(**{VERSION_KEY: 5}), "_meta"),
            (params(**{CAPABILITIES_KEY: []}), CAPABILITIES_KEY),
            (params(**{CAPABILITIES_KEY: None}), CAPABILITIES_KEY),
            (params(**{LOG_LEVEL_KEY: 5}), "_meta"),
        ):
            problem = self.assertRaises(InvalidParams, read_envelope, text)
            self.assertIn(word, problem.message, text)

    def test_ours(self) -> None:
        """Ours can be read."""
        self.assertEqual(read_envelope(discover_params(ME)).version, LATEST)
        self.assertEqual(modern_meta(ME)[VERSION_KEY], LATEST)

    def test_looks_modern(self) -> None:
        """Whether a request without a header is one: by the key where it belongs."""
        for text, modern in (
            (b"", False),
            (b"{}", False),
            (params(), True),
            (params(**{VERSION_KEY: "1999-01-01"}), True),
            (params(**{VERSION_KEY: 5}), True),
            (encode_json({"arguments": {VERSION_KEY: LATEST}}), False),
            (encode_json({"_meta": {"k": VERSION_KEY}}), False),
        ):
            self.assertIs(looks_modern(text), modern, text)

    def test_require(self) -> None:
        """A revision that is not served is refused with those that are, in the shape MCP gives."""
        require_modern(LATEST)
        for version in ("2025-11-25", "2099-01-01", ""):
            problem = self.assertRaises(UnsupportedVersion, require_modern, version)
            expected = {"supported": ["2026-07-28"], "requested": version}
            self.assertEqual(problem.body()["data"], expected)

    @settings(deadline=None, max_examples=100)
    @given(some.binary(max_size=40) | some.dictionaries(some.text(), some.none()).map(encode_json))
    def test_anything(self, text: bytes) -> None:
        """Whatever comes is read, or refused as the client's mistake."""
        looks_modern(text)
        for read in (read_envelope, read_hello, read_welcome, read_discovery):
            try:
                read(text)
            except InvalidParams:
                pass
