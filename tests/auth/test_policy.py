"""What a principal reaches, and how what it does not reach is kept from it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from mcptwist.auth.authorizedkeys import CALL, READ, SUBSCRIBE, read_authorized_keys
from mcptwist.auth.keyring import Keyring
from mcptwist.auth.policy import Handles, Policed, Scoped
from mcptwist.auth.realm import Principal
from mcptwist.auth.scopes import scope_of
from mcptwist.errors import UnknownName
from mcptwist.exchange import Exchange
from mcptwist.interfaces import IView
from mcptwist.messages import (
    Answer,
    Error,
    Notification,
    Request,
    Result,
    encode_json,
    error_answer,
)
from mcptwist.session import Visit
from tests.auth.people import NOW, key


class View:
    """A view that remembers what it was asked."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.begun: list[Exchange] = []

    def begin(self, exchange: Exchange) -> None:
        self.begun.append(exchange)

    def hear(self, stay: Any, server: str, notification: Any) -> Any:
        return notification

    def overhear(self, stay: Any, notification: Any) -> None:
        self.begun.append(notification)

    def leave(self, stay: Any) -> None:
        self.begun.append(stay)


class Asker:
    """A reply that remembers the answer."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.said: list[Any] = []

    def notified(self, exchange: Exchange, notification: Any) -> None:
        self.said.append(notification)

    def asked(self, exchange: Exchange, question: Exchange) -> None:
        self.said.append(question)

    def answered(self, exchange: Exchange, answer: Answer) -> None:
        self.answers.append(answer)

    def cancelled(self, exchange: Exchange, reason: str) -> None:
        self.said.append(reason)


class PolicyCase(SynchronousTestCase):
    options = 'tools="far__t*,far__only"'
    server = ""

    def setUp(self) -> None:
        self.keyring = Keyring(lambda: NOW)
        line = f"{self.options} {key().public.words()} alice"
        self.keyring.replace(read_authorized_keys(line), frozenset())
        (grant,) = self.keyring.candidates("alice")
        self.identity = grant.identity
        self.told: list[tuple[str, str]] = []
        self.inner = View(self.server)
        self.handles = Handles(b"s" * 32)
        self.view = Policed(self.inner, self.keyring, self.handles, self.tell)

    def tell(self, exchange: Exchange, grant: Any, outcome: str) -> None:
        self.told.append((exchange.request.method, outcome))

    def ask(self, method: str, params: Any = None) -> Asker:
        asker = Asker()
        text = params if isinstance(params, bytes) else encode_json(params or {})
        stay = Visit("2026-07-28", b"", b"{}", self.identity)
        self.view.begin(Exchange(Request(1, method, text), asker, stay))
        return asker

    def assert_passed(self, method: str, params: Any = None) -> Asker:
        asker = self.ask(method, params)
        self.assertEqual(asker.answers, [])
        self.assertEqual(self.inner.begun[-1].request.method, method)
        return asker

    def error(self, asker: Asker) -> dict[str, Any]:
        (answer,) = asker.answers
        assert isinstance(answer, Error)
        found: dict[str, Any] = json.loads(bytes(answer.error))
        return found

    def assert_kept_out(self, method: str, params: Any, code: int = -32602) -> dict[str, Any]:
        before = len(self.inner.begun)
        error = self.error(self.ask(method, params))
        self.assertEqual(error["code"], code)
        self.assertEqual(len(self.inner.begun), before)
        return error

    def listed(self, method: str, result: Any) -> Any:
        asker = self.assert_passed(method)
        self.inner.begun[-1].answer(Result(1, encode_json(result)))
        (answer,) = asker.answers
        assert isinstance(answer, Result)
        return json.loads(bytes(answer.result))


class ToolTests(PolicyCase):
    def test_views(self) -> None:
        verifyObject(IView, self.view)
        verifyObject(IView, Scoped(self.inner, None))  # type: ignore[arg-type]

    def test_allowed(self) -> None:
        self.assert_passed("tools/call", {"name": "far__time", "arguments": {"a": 1}})
        self.assert_passed("tools/call", {"name": "far__only"})
        self.assertEqual(self.told, [("tools/call", "allowed")] * 2)

    def test_denied(self) -> None:
        """It is the same to be told no and to be told that there is no such tool."""
        error = self.assert_kept_out("tools/call", {"name": "far__delete"})
        asker = self.assert_passed("tools/call", {"name": "far__typo"})
        unknown = UnknownName("there is no tool", didYouMean=["far__delete"])
        self.inner.begun[-1].answer(error_answer(1, unknown))
        said = json.dumps(self.error(asker)).replace("typo", "delete")
        self.assertEqual(json.loads(said), error)
        self.assertEqual(self.told[0], ("tools/call", "denied"))

    def test_other_errors_pass(self) -> None:
        asker = self.assert_passed("tools/call", {"name": "far__time"})
        self.inner.begun[-1].answer(Error(1, b'{"code":-32000,"message":"broken","data":[1]}'))
        self.assertEqual(self.error(asker)["message"], "broken")

    def test_listed(self) -> None:
        """What is not to be called is not to be seen; the rest is as it was."""
        tools = [{"name": n, "x": {"y": [1]}} for n in ("far__time", "far__delete", "near__time")]
        found = self.listed("tools/list", {"tools": tools, "nextCursor": "c", "_meta": {"a": 1}})
        self.assertEqual(found, {"tools": tools[:1], "nextCursor": "c", "_meta": {"a": 1}})

    def test_malformed_lists(self) -> None:
        """A list that cannot be read might hide anything."""
        for result in (b"[]", b'{"tools":{}}', b'{"tools":[1]}', b'{"tools":[{}]}'):
            asker = self.assert_passed("tools/list")
            self.inner.begun[-1].answer(Result(1, result))
            self.assertEqual(self.error(asker)["data"]["code"], "server-misbehaved")

    def test_names_in_two_ways(self) -> None:
        """F1: whoever reads the request reads the same name."""
        twice = b'{"name":"far__delete","name":"far__time"}'
        self.assert_passed("tools/call", twice)
        self.assertEqual(bytes(self.inner.begun[-1].request.params), b'{"name":"far__time"}')
        for params in (
            b'{"name":"far__time","name":"far__delete"}',
            b'{"name":"far__time","Name":"far__delete"}',
            b'{"name":"far__time","NAME":"x"}',
            b'{"name":7}',
            b'{"name":null}',
            b"{}",
            b'{"name":["far__time"]}',
            b'{"name":"far__only\\u0000"}',
            b'{"name":"xfar__time"}',
            b'{"name":"far__only "}',
            b'{"name":"FAR__ONLY"}',
        ):
            self.assert_kept_out("tools/call", params)

    def test_not_restricted(self) -> None:
        for method in ("resources/read", "prompts/get"):
            self.assert_passed(method, {"uri": "file:///x", "name": "p"})
        prompts = {"prompts": [{"name": "p"}]}
        self.assertEqual(self.listed("prompts/list", prompts), prompts)

    def test_what_is_not_known(self) -> None:
        """With restricted reach, what is not understood is not passed on."""
        for method in ("tasks/get", "tasks/list", "x/y", "tools/Call", ""):
            self.assert_kept_out(method, {}, -32601)

    def test_always(self) -> None:
        for method in ("initialize", "ping", "server/discover", "logging/setLevel"):
            self.assert_passed(method)

    def test_withdrawn(self) -> None:
        """Nothing at all, from the very moment."""
        self.keyring.replace(read_authorized_keys(""), frozenset())
        for method in ("tools/call", "ping", "tools/list"):
            self.assert_kept_out(method, {"name": "far__time"}, -32001)

    def test_nobody(self) -> None:
        for identity in ("", "alice", f"bob {key().public.fingerprint}", "alice SHA256:x"):
            self.identity = identity
            self.assert_kept_out("tools/list", {}, -32001)

    def test_cancelled(self) -> None:
        """Cancelling reaches whoever works on it; flow control too."""
        asker = self.ask("tools/call", {"name": "far__time"})
        inner = self.inner.begun[-1]
        cancelled: list[str] = []
        inner.in_charge(cancelled.append)
        inner.cancel("enough")
        self.assertEqual((cancelled, asker.said), (["enough"], ["enough"]))

    @settings(max_examples=100, deadline=None)
    @given(st.text(max_size=30))
    def test_any_name(self, name: str) -> None:
        """What is passed on is what the list allows, and nothing else."""
        self.inner.begun.clear()
        self.ask("tools/call", {"name": name})
        allowed = name.startswith("far__t") or name == "far__only"
        self.assertEqual(bool(self.inner.begun), allowed)

    @settings(max_examples=100, deadline=None)
    @given(st.binary(max_size=60))
    def test_any_params(self, params: bytes) -> None:
        self.ask("tools/call", params)
        self.ask("completion/complete", params)


class ServerViewTests(PolicyCase):
    """The same names count at a server's own URL, where they have no prefix."""

    server = "far"

    def test_named(self) -> None:
        self.assert_passed("tools/call", {"name": "time"})
        for name in ("delete", "far__time"):
            self.assert_kept_out("tools/call", {"name": name})

    def test_listed(self) -> None:
        tools = [{"name": n} for n in ("time", "delete", "only")]
        self.assertEqual(self.listed("tools/list", {"tools": tools})["tools"], [tools[0], tools[2]])


class OtherServerTests(PolicyCase):
    server = "near"

    def test_named(self) -> None:
        for name in ("time", "only", "far__time"):
            self.assert_kept_out("tools/call", {"name": name})


class ResourceTests(PolicyCase):
    options = 'resources="file:///a/*,test://?",prompts="far__p"'

    def test_read(self) -> None:
        for method in ("resources/read", "resources/subscribe", "resources/unsubscribe"):
            self.assert_passed(method, {"uri": "file:///a/b"})
            for uri in ("file:///b", "file:///A/b", "xfile:///a/b", "test://ab", ""):
                self.assert_kept_out(method, {"uri": uri})

    def test_listed(self) -> None:
        entries = [{"uri": uri} for uri in ("file:///a/b", "file:///b", "test://a")]
        found = self.listed("resources/list", {"resources": entries})["resources"]
        self.assertEqual(found, [entries[0], entries[2]])
        templates = [{"uriTemplate": uri} for uri in ("file:///a/{x}", "file:///{x}")]
        found = self.listed("resources/templates/list", {"resourceTemplates": templates})
        self.assertEqual(found["resourceTemplates"], templates[:1])

    def test_prompts(self) -> None:
        self.assert_passed("prompts/get", {"name": "far__p"})
        self.assert_kept_out("prompts/get", {"name": "far__q"})

    def test_completion(self) -> None:
        for ref, good in (
            ({"type": "ref/prompt", "name": "far__p"}, True),
            ({"type": "ref/prompt", "name": "far__q"}, False),
            ({"type": "ref/resource", "uri": "file:///a/{x}"}, True),
            ({"type": "ref/resource", "uri": "file:///{x}"}, False),
            ({"type": "ref/prompt", "uri": "file:///a/{x}"}, False),
            ({}, False),
            ([], False),
            (None, False),
        ):
            ask = self.assert_passed if good else self.assert_kept_out
            ask("completion/complete", {"ref": ref})

    def test_read_differently(self) -> None:
        """F1: some servers take names that differ in case for the same; they get none such."""
        good, bad = {"type": "ref/prompt", "name": "far__p"}, "far__q"
        for params in (
            {"ref": good, "Ref": {**good, "name": bad}},
            {"ref": {**good, "Name": bad}},
            {"ref": {**good, "TYPE": "ref/resource", "uri": "file:///{x}"}},
        ):
            self.assert_kept_out("completion/complete", params)
        wanted = {"resourceSubscriptions": ["file:///a/b"]}
        other = {"resourceSubscriptions": ["file:///b"]}
        for params in (
            {"notifications": wanted, "Notifications": other},
            {"notifications": {**wanted, "ResourceSubscriptions": ["file:///b"]}},
        ):
            self.assert_kept_out("subscriptions/listen", params)

    def test_listening(self) -> None:
        good = {"notifications": {"resourceSubscriptions": ["file:///a/b"]}}
        self.assert_passed("subscriptions/listen", good)
        bad = {"notifications": {"resourceSubscriptions": ["file:///a/b", "file:///b"]}}
        self.assert_kept_out("subscriptions/listen", bad)
        self.assert_kept_out("subscriptions/listen", {"notifications": 7})


class ScopeTests(PolicyCase):
    def test_scopes(self) -> None:
        for method, scope in (
            ("tools/list", READ),
            ("resources/read", READ),
            ("ping", READ),
            ("tools/call", CALL),
            ("subscriptions/listen", SUBSCRIBE),
            ("resources/subscribe", SUBSCRIBE),
            ("tasks/get", CALL),
            ("TOOLS/LIST", CALL),
            ("", CALL),
        ):
            self.assertEqual(scope_of(method), scope, method)

    def test_connection(self) -> None:
        (grant,) = self.keyring.candidates("alice")
        principal = Principal(grant, frozenset({READ}), "token", grant.identity)
        self.view = Scoped(self.inner, principal)  # type: ignore[assignment]
        self.assert_passed("tools/list")
        error = self.assert_kept_out("tools/call", {"name": "far__time"}, -32001)
        self.assertEqual(error["data"], {"code": "insufficient-scope", "scope": CALL})

    def test_the_rest_passes(self) -> None:
        self.view.overhear("stay", "word")  # type: ignore[arg-type]
        self.view.leave("stay")  # type: ignore[arg-type]
        self.assertEqual(self.inner.begun, ["word", "stay"])
        word = Notification("notifications/message")
        self.assertIs(self.view.hear(None, "s", word), word)  # type: ignore[arg-type]
