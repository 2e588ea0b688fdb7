"""``mcptwist.asked``: what we asked of one far end.

MCP 2026-07-28, *Base protocol*: Cancellation, Progress, Subscriptions.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.asked import Asked
from mcptwist.errors import Overloaded, ServerExited
from mcptwist.exchange import LISTEN, PROGRESS, SUBSCRIPTION_ID, Exchange
from mcptwist.messages import Error, MessageId, Notification, Request, Result, encode_json
from tests.scripted import Heard, opened
from tests.test_exchange import exchange, progress


class AskedTests(SynchronousTestCase):
    """What we asked a far end, by ids of our own."""

    def setUp(self) -> None:
        self.table = Asked(10)

    def test_fresh_ids(self) -> None:
        """Equal ids of two askers become different ones, and answers find back."""
        (one, heard_one), (two, heard_two) = exchange(id=7), exchange(id=7)
        first, second = self.table.put(one), self.table.put(two)
        self.assertNotEqual(first.id, second.id)
        self.table.answered(Result(second.id, b'"two"'))
        self.table.answered(Result(first.id, b'"one"'))
        self.assertEqual((heard_one.answer, heard_two.answer), ("one", "two"))

    def test_never_again(self) -> None:
        """An id is never used again, so that a late answer finds nobody."""
        ids = set()
        for _ in range(5):
            one, _ = exchange()
            request = self.table.put(one)
            ids.add(request.id)
            self.table.cancelled(request.id, "enough")
        self.assertEqual(len(ids), 5)
        for id in ids:
            self.assertFalse(self.table.answered(Result(id, b"1")))

    def test_nobody_asked(self) -> None:
        """Answers to what nobody asked, or under no id, are dropped; a second one too."""
        one, heard = exchange()
        request = self.table.put(one)
        for answer in (Result(99, b"1"), Error(None, b"{}"), Result("x", b"1"), Result("1", b"1")):
            self.assertFalse(self.table.answered(answer))
        self.assertTrue(self.table.answered(Result(request.id, b"1")))
        self.assertFalse(self.table.answered(Result(request.id, b"2")))
        self.assertEqual((heard.answers, heard.answer), (1, 1))

    def test_limit(self) -> None:
        """Only so many may wait; the error names the limit."""
        table = Asked(1)
        table.put(exchange()[0])
        problem = self.assertRaises(Overloaded, table.put, exchange()[0])
        self.assertEqual(problem.data["limit"], "in_flight")

    def test_params_unopened(self) -> None:
        """Params without a progress token are the same object."""
        for params in (b"", b'{ "a" : 1 }', b'{"_meta":{"x":1}}'):
            request = self.table.put(Exchange(Request(1, "a", params), Heard()))
            self.assertIs(request.params, params)

    def test_cancelled(self) -> None:
        """The far end is told under our id, once."""
        request = self.table.put(exchange(id="theirs")[0])
        said = self.table.cancelled(request.id, "why")
        assert said is not None
        self.assertEqual(opened(said.params), {"requestId": request.id, "reason": "why"})
        self.assertIsNone(self.table.cancelled(request.id, "why"))

    def test_initialize_is_not_cancelled(self) -> None:
        """MCP 2025-11-25, *Cancellation*: the client must not cancel ``initialize``."""
        request = self.table.put(exchange("initialize")[0])
        self.assertIsNone(self.table.cancelled(request.id, "why"))
        self.assertEqual(len(self.table), 0)

    def test_fail_all(self) -> None:
        """When the far end is gone everybody is told why."""
        ends = [exchange() for _ in range(3)]
        for one, _ in ends:
            self.table.put(one)
        self.table.fail_all(ServerExited("it died", exitStatus=3))
        for _, heard in ends:
            self.assertEqual(heard.error["data"], {"code": "server-exited", "exitStatus": 3})
        self.assertEqual(len(self.table), 0)


class ProgressTests(SynchronousTestCase):
    """MCP, *Progress*: tokens are the asker's own, strings or integers."""

    def setUp(self) -> None:
        self.table = Asked(10)

    def put(self, params: Any, text: bytes | None = None) -> tuple[Request, Heard]:
        heard = Heard()
        raw = encode_json(params) if text is None else text
        return self.table.put(Exchange(Request("same", "tools/call", raw), heard)), heard

    def test_tokens(self) -> None:
        """Any token goes out as ours and comes back as the asker's, equal ones of two askers."""
        for token in (0, 1, "", "t", "1", -5, 2**70, "ü\n"):
            first, one = self.put({"_meta": {"progressToken": token, "k": 1}, "name": "n"})
            second, two = self.put({"_meta": {"progressToken": token}})
            inside = opened(first.params)
            self.assertEqual(inside, {"_meta": {"progressToken": first.id, "k": 1}, "name": "n"})
            self.assertTrue(self.table.progressed(progress(second.id, message="x")))
            self.assertEqual(one.said, [])
            said = {"progressToken": token, "progress": 1, "message": "x"}
            self.assertEqual(two.said, [(PROGRESS, said)])
            self.table.fail_all(ServerExited("next"))

    def test_word_elsewhere(self) -> None:
        """The word as an argument, or where ``_meta`` is none, is left alone."""
        for params in (
            {"arguments": {"progressToken": 5}},
            {"arguments": {"progressToken": 5}, "_meta": {}},
            {"arguments": {"_meta": {"progressToken": 5}}, "_meta": {"other": "progressToken"}},
            {"arguments": {"progressToken": 5}, "_meta": None},
            {"arguments": {"a": '"progressToken"'}},
            {"_meta": {"progressToken": None}},
            {"_meta": "progressToken"},
        ):
            request, heard = self.put(params)
            self.assertEqual(opened(request.params), params)
            self.assertFalse(self.table.progressed(progress(request.id)))
            self.assertEqual(heard.said, [])

    def test_escaped_word(self) -> None:
        """A token spelt with escapes is a token: it must not reach the server as it is."""
        _, victim = self.put({"_meta": {"progressToken": "v"}})
        request, heard = self.put(None, rb'{"_meta":{"\u0070rogressToken":1}}')
        self.assertEqual(opened(request.params)["_meta"], {"progressToken": request.id})
        self.table.progressed(progress(request.id))
        self.assertEqual(heard.said[0][1]["progressToken"], 1)
        self.assertEqual(victim.said, [])

    def test_repeated_word(self) -> None:
        """Of a key that comes twice none slips through."""
        text = b'{"_meta":{"progressToken":5},"_meta":{"progressToken":6,"progressToken":7}}'
        request, _ = self.put(None, text)
        self.assertEqual(request.params, b'{"_meta":{"progressToken":%d}}' % request.id)

    def test_strange_tokens(self) -> None:
        """Progress for a token that nobody has is dropped."""
        request, heard = self.put({"_meta": {"progressToken": "t"}})
        for token in ("t", str(request.id), 1.5, None, True, [], {}, 99, float(request.id)):
            self.table.progressed(progress(token))
        self.assertFalse(self.table.progressed(Notification(PROGRESS, b"")))
        self.assertEqual(heard.said, [])

    def test_after_the_answer(self) -> None:
        """Progress that comes after the answer is dropped."""
        request, heard = self.put({"_meta": {"progressToken": "t"}})
        self.table.answered(Result(request.id, b"{}"))
        self.assertFalse(self.table.progressed(progress(request.id)))
        self.assertEqual(heard.said, [])

    def test_unopened(self) -> None:
        """What else the notification holds passes as it was."""
        request, heard = self.put({"_meta": {"progressToken": 0}})
        told: list[Notification] = []
        heard.notified = lambda _, said: told.append(said)  # type: ignore[method-assign]
        text = b'{"progressToken":%d,"total":1.50,"x":{ "a":1e999 }}' % request.id
        self.table.progressed(Notification(PROGRESS, text))
        self.assertEqual(told[0].params, b'{"progressToken":0,"total":1.50,"x":{ "a":1e999 }}')

    @settings(deadline=None, max_examples=60)
    @given(
        some.dictionaries(some.text(max_size=3), some.integers() | some.text(), max_size=3),
        some.integers() | some.text(),
        some.booleans(),
    )
    def test_any(self, meta: Any, token: Any, ascii: bool) -> None:
        """Any token, among anything, escaped or not."""
        params = {"_meta": {**meta, "progressToken": token}, "x": meta}
        request, heard = self.put(None, json.dumps(params, ensure_ascii=ascii).encode())
        expected = {"_meta": {**meta, "progressToken": request.id}, "x": meta}
        self.assertEqual(opened(request.params), expected)
        self.table.progressed(progress(request.id))
        self.assertEqual([said["progressToken"] for _, said in heard.said], [token])
        self.table.take(request.id)


class SubscriptionTests(SynchronousTestCase):
    """MCP 2026-07-28, *Subscriptions*: messages of a listen name the request that opened it."""

    def setUp(self) -> None:
        self.table = Asked(10)
        self.one, self.heard = exchange("subscriptions/listen", {}, id="L")
        self.request = self.table.put(self.one)

    def said(self, id: Any) -> Notification:
        params = {"_meta": {SUBSCRIPTION_ID: id, "k": 1}, "uri": "a:b"}
        return Notification("notifications/resources/updated", encode_json(params))

    def test_notification(self) -> None:
        """Our id becomes the client's."""
        other, unheard = exchange("subscriptions/listen", {}, id="L")
        self.table.put(other)
        self.assertTrue(self.table.subscribed(self.said(self.request.id)))
        self.assertEqual(self.heard.said[0][1]["_meta"], {SUBSCRIPTION_ID: "L", "k": 1})
        self.assertEqual(unheard.said, [])

    def test_unknown(self) -> None:
        """A subscription nobody has is nobody's."""
        for id in ("L", 99, None, str(self.request.id)):
            self.assertFalse(self.table.subscribed(self.said(id)))
        self.assertEqual(self.heard.said, [])

    def test_result(self) -> None:
        """The graceful end names the client's id."""
        text = encode_json({"resultType": "complete", "_meta": {SUBSCRIPTION_ID: self.request.id}})
        self.table.answered(Result(self.request.id, text))
        self.assertEqual(
            self.heard.answer, {"resultType": "complete", "_meta": {SUBSCRIPTION_ID: "L"}}
        )

    def test_error(self) -> None:
        """A server may refuse to be listened to."""
        self.table.answered(Error(self.request.id, b'{"code":-32601,"message":"what?"}'))
        self.assertEqual(self.heard.error["code"], -32601)

    def test_result_of_something_else(self) -> None:
        """What a call was answered with is left as it is, whatever it says of subscriptions."""
        one, heard = exchange(id="C")
        text = encode_json({"content": [], "_meta": {SUBSCRIPTION_ID: 5}})
        self.table.answered(Result(self.table.put(one).id, text))
        self.assertEqual(heard.answer["_meta"], {SUBSCRIPTION_ID: 5})

    def test_result_without(self) -> None:
        """A result that names none, or is none, passes as it is."""
        for text in (b'{ "resultType":"complete" }', b"[]", b'{"_meta":5}'):
            told: list[Any] = []
            one, heard = exchange("subscriptions/listen", {}, id="L")
            heard.answered = lambda _, answer: told.append(answer)  # type: ignore[method-assign] # noqa: B023
            self.table.answered(Result(self.table.put(one).id, text))
            self.assertEqual([bytes(each.result) for each in told], [text])

    def test_listens_have_room_of_their_own(self) -> None:
        """Subscriptions that wait for long keep nobody out, and have a bound of their own."""
        table = Asked(1, listens=2)
        listens = [Exchange(Request(n, LISTEN), Heard()) for n in range(3)]
        first = table.put(listens[0])
        table.put(listens[1])
        problem = self.assertRaises(Overloaded, table.put, listens[2])
        self.assertEqual(problem.data["limit"], "listens_per_server")
        asked = table.put(Exchange(Request(9, "tools/call"), Heard()))
        problem = self.assertRaises(Overloaded, table.put, Exchange(Request(8, "x"), Heard()))
        self.assertEqual(problem.data["limit"], "in_flight")
        table.answered(Result(first.id, b"{}"))
        table.put(listens[2])
        table.cancelled(asked.id, "enough")
        table.put(Exchange(Request(8, "x"), Heard()))

    def test_listening(self) -> None:
        """Only listens are listed as such."""
        self.table.put(exchange()[0])
        self.assertEqual(self.table.listening(), [(self.request.id, self.one)])


class LateTests(SynchronousTestCase):
    """MCP, *Timeouts*: progress resets the patience, but there is a maximum whatever is said."""

    def setUp(self) -> None:
        self.table = Asked(10)

    def late(self, now: float) -> list[MessageId]:
        return [id for id, _ in self.table.late(now)]

    def test_idle(self) -> None:
        """Late when nothing was said for so long."""
        request = self.table.put(exchange()[0], 100, idle=10, total=None)
        self.assertEqual(self.late(109.9), [])
        self.assertEqual(self.late(110), [request.id])

    def test_progress_resets_idle_only(self) -> None:
        """Progress gives more time, until the total is used up; a token need not be given."""
        for params in ({}, {"_meta": {"progressToken": 1}}):
            request = self.table.put(exchange(params=params)[0], 0, idle=10, total=25)
            for now in (9, 18, 24):
                self.assertEqual(self.late(now), [])
                self.table.progressed(progress(request.id), now)
            self.assertEqual(self.late(25), [request.id])
            self.table.take(request.id)

    def test_for_ever(self) -> None:
        """Without either it is never late."""
        self.table.put(exchange()[0], 0)
        self.assertEqual(self.late(1e9), [])


class CrossingTests(SynchronousTestCase):
    """Whatever happens in whatever order, nobody gets another's answer."""

    STEPS = some.lists(
        some.tuples(
            some.sampled_from(["ask", "answer", "again", "cancel", "progress", "lose"]),
            some.integers(0, 30),
        ),
        max_size=40,
    )

    @settings(deadline=None, max_examples=80)
    @given(STEPS)
    def test_any_order(self, steps: list[tuple[str, int]]) -> None:
        """Every exchange ends at most once, with its own payload and its own progress."""
        table = Asked(100)
        ends: list[tuple[Exchange, Heard, Request]] = []
        for step, which in steps:
            if step == "ask":
                tag = len(ends)
                one, heard = exchange(params={"_meta": {"progressToken": 1}, "n": tag}, id=1)
                ends.append((one, heard, table.put(one)))
            elif step == "lose":
                table.fail_all(ServerExited("gone"))
            elif ends:
                self.step(table, step, *ends[which % len(ends)])
        for tag, (one, heard, _) in enumerate(ends):
            self.assertEqual(one.over, heard.answers == 1 or heard.gone is not None)
            self.assertLessEqual(heard.answers + (heard.gone is not None), 1)
            self.assertIn(heard.answer, (None, tag))
            self.assertLessEqual({said["n"] for _, said in heard.said}, {tag})

    def step(self, table: Asked, step: str, one: Exchange, heard: Heard, sent: Request) -> None:
        tag = opened(sent.params)["n"]
        if step in ("answer", "again"):
            table.answered(Result(sent.id, encode_json(tag)))
        elif step == "cancel":
            one.cancel("enough")
            table.cancelled(sent.id, "enough")
        else:
            table.progressed(progress(sent.id, n=tag))
