"""``mcptwist.exchange``: one request, everything said about it, exactly one answer.

MCP 2026-07-28, *Base protocol*: Messages, Cancellation.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from mcptwist.errors import ServerExited
from mcptwist.exchange import PROGRESS, Behind, Exchange
from mcptwist.interfaces import ISource
from mcptwist.messages import Error, MessageId, Notification, Request, Result, encode_json
from tests.scripted import Heard, Source


def exchange(
    method: str = "tools/call", params: Any = None, id: MessageId = 7
) -> tuple[Exchange, Heard]:
    """An exchange, and what its asker hears."""
    heard = Heard()
    text = b"" if params is None else encode_json(params)
    return Exchange(Request(id, method, text), heard), heard


def progress(token: Any, **more: Any) -> Notification:
    return Notification(PROGRESS, encode_json({"progressToken": token, "progress": 1, **more}))


class ExchangeTests(SynchronousTestCase):
    """Answered once or cancelled once, and deaf ever after."""

    def test_answer(self) -> None:
        """The answer comes under the asker's id, whatever the far end's was."""
        one, heard = exchange(id="mine")
        one.answer(Result(99, b'{"a":1}'))
        self.assertEqual((heard.answers, heard.answer, one.over), (1, {"a": 1}, True))

    def test_error(self) -> None:
        """An error is an answer, and passes as it is."""
        one, heard = exchange()
        one.answer(Error(None, b'{"code":-1,"message":"m","x":[]}'))
        self.assertEqual(heard.error, {"code": -1, "message": "m", "x": []})

    def test_ids(self) -> None:
        """Result and error bear the asker's id: nought and the empty string as any other."""
        for id in (0, "", "x", 2**70):
            for answer in (Result(5, b"1"), Error(5, b'{"code":1}')):
                told: list[Any] = []
                heard = Heard()
                heard.answered = lambda _, answer: told.append(answer)  # type: ignore[method-assign] # noqa: B023
                Exchange(Request(id, "a"), heard).answer(answer)
                self.assertEqual([each.id for each in told], [id])

    def test_deaf(self) -> None:
        """Whatever is said when it is over is dropped."""
        for end in (
            lambda e: e.answer(Result(1, b"{}")),
            lambda e: e.fail(ServerExited("gone")),
            lambda e: e.cancel("enough"),
            lambda e: e.abandon(ServerExited("gone")),
        ):
            one, heard = exchange()
            end(one)
            before = (heard.answers, heard.gone)
            one.answer(Result(1, b"2"))
            one.fail(ServerExited("again"))
            one.succeed({})
            one.notify(progress(1))
            one.cancel("again")
            self.assertEqual((heard.answers, heard.gone), before)
            self.assertEqual(heard.said, [])

    def test_question_when_over(self) -> None:
        """A question that comes when it is over is failed: its asker must not wait for ever."""
        one, heard = exchange()
        one.succeed({})
        question, answer = exchange("elicitation/create")
        one.ask(question)
        self.assertEqual((heard.questions, answer.answers), ([], 1))

    def test_cancel_order(self) -> None:
        """The asker hears first, then whoever is in charge; both once, with the reason."""
        order: list[str] = []
        one, heard = exchange()
        heard.cancelled = lambda _, reason: order.append(f"asker {reason}")  # type: ignore[method-assign]
        one.in_charge(lambda reason: order.append(f"charge {reason}"))
        one.cancel("why")
        one.cancel("again")
        self.assertEqual(order, ["asker why", "charge why"])

    def test_abandon(self) -> None:
        """Given up by us: the asker is told why, whoever is in charge to stop; both once."""
        told: list[str] = []
        one, heard = exchange()
        one.in_charge(told.append)
        for _ in range(2):
            one.abandon(ServerExited("we stop"))
        self.assertEqual((heard.answers, heard.error["message"], told), (1, "we stop", ["we stop"]))

    def test_no_cancel_after_answer(self) -> None:
        """Who was in charge is not told of a cancellation that came too late."""
        told: list[str] = []
        one, _ = exchange()
        one.in_charge(told.append)
        one.succeed({})
        one.cancel("late")
        self.assertEqual(told, [])

    def test_answer_from_within(self) -> None:
        """An answer given while the cancellation is being told changes nothing."""
        one, heard = exchange()
        one.in_charge(lambda _: one.succeed({}))
        one.cancel("why")
        self.assertEqual((heard.answers, heard.gone), (0, "why"))


class BehindTests(SynchronousTestCase):
    """An exchange that is answered by means of another."""

    def test_held_back(self) -> None:
        """What holds the one in front back reaches the source of the one behind, until it ends."""
        front, _ = exchange()
        behind, _ = exchange()
        behind.source = source = Source()
        front.source = through = Behind(behind)
        verifyObject(ISource, through)
        front.hold()
        front.release()
        front.hold()
        front.succeed({})
        self.assertEqual(source.told, ["hold", "release", "hold", "release"])
