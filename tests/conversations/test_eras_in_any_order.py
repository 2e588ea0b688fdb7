"""Whatever happens in whatever order: every exchange ends once, with its own answer.

MCP 2026-07-28, *Multi Round-Trip Requests*; *Base protocol, Messages*. Many clients of the other
era call one server; it asks them, answers, and dies, they come back with inputs, with some of them,
with another's, or not at all, and cancel.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mcptwist.errors import ServerExited
from mcptwist.exchange import Exchange
from mcptwist.messages import Request, Result
from mcptwist.session import Session
from tests.conversations.era_stage import FarWire, Stage
from tests.scripted import Heard, opened

#: What may happen next, and how often it does.
HAPPENS = {"call": 3, "ask": 4, "back": 4, "some": 1, "wrong": 1, "answer": 2}
HAPPENS |= {"cancel": 1, "die": 1, "wait": 1, "withdraw": 1, "restart": 1}

#: A story: what happens, and to which of those it may happen to.
STEPS = st.lists(
    st.tuples(
        st.sampled_from([step for step, weight in HAPPENS.items() for _ in range(weight)]),
        st.integers(0, 3),
    ),
    min_size=8,
    max_size=40,
)


CALLERS = ("alice", "bob", "carol")


def pick(many: list[Any], number: int) -> Any:
    return many[number % len(many)] if many else None


class AnyOrder(Stage):
    """What both directions have in common.

    :ivar ended: every exchange of a client, and what it heard.
    """

    def setUp(self) -> None:
        super().setUp()
        self.ended: list[tuple[str, Exchange, Heard]] = []
        self.names = 0
        self.done: set[tuple[int, Any]] = set()

    def name(self) -> str:
        self.names += 1
        return f"call-{self.names}"

    def open_calls(self) -> list[tuple[FarWire, Request]]:
        """The calls that live processes have not answered."""
        return [
            (wire, request)
            for wire, request in self.far.calls()
            if not wire.gone and (id(wire), request.id) not in self.done
        ]

    def finish(self, wire: FarWire, request: Request) -> None:
        """The server answers a call, naming it."""
        self.done.add((id(wire), request.id))
        params = opened(request.params)
        wire.answer(request, {"content": [], "structuredContent": {"call": params["name"]}})
        self.turn()

    def die(self, number: int) -> None:
        wire = pick(self.far.up, number)
        if wire is not None:
            wire.lose(ServerExited("it fell", exitStatus=3))
            self.turn(0.5)

    def run_steps(self, steps: list[tuple[str, int]]) -> None:
        self.setUp()  # one example is one story
        for step, number in steps:
            getattr(self, f"do_{step}")(number)
        # All who still wait are left alone until nobody waits for anything any more.
        for _ in range(80):
            self.turn(50)
        self.assert_ended()

    def do_die(self, number: int) -> None:
        self.die(number)

    def do_wait(self, number: int) -> None:
        self.turn(10.0**number / 25)

    def do_restart(self, number: int) -> None:
        """Somebody has the server restarted."""
        self.backend.restart()
        self.turn()

    def do_answer(self, number: int) -> None:
        call = pick(self.open_calls(), number)
        if call is not None:
            self.finish(*call)

    def do_cancel(self, number: int) -> None:
        mine = pick([exchange for _, exchange, _ in self.ended if not exchange.over], number)
        if mine is not None:
            mine.cancel("no interest")
            self.turn()

    def assert_ended(self) -> None:
        self.assert_quiet()
        for name, exchange, heard in self.ended:
            self.assertTrue(exchange.over, name)
            self.assertEqual(heard.answers + (heard.gone is not None), 1, name)
            if heard.answer is not None and "structuredContent" in heard.answer:
                self.assertEqual(heard.answer["structuredContent"]["call"], name)


class ModernAtLegacyTests(AnyOrder):
    era = "legacy"

    @settings(deadline=None, max_examples=120)
    @given(STEPS)
    def test_any_order(self, steps: list[tuple[str, int]]) -> None:
        """Modern clients at a legacy server."""
        self.run_steps(steps)

    def setUp(self) -> None:
        super().setUp()
        self.callers: dict[str, str] = {}
        self.asked: list[tuple[FarWire, int, str]] = []

    def assert_ended(self) -> None:
        super().assert_ended()
        self.assert_asked()

    def remember(self, name: str, made: tuple[Exchange, Heard]) -> None:
        exchange, heard = made
        self.ended.append((name, exchange, heard))

    def do_call(self, number: int) -> None:
        """One of several clients calls, under an id that others use too."""
        name = self.name()
        self.callers[name] = CALLERS[number % len(CALLERS)]
        self.remember(name, self.call(name, id=number, who=self.callers[name]))

    def do_ask(self, number: int) -> None:
        """The server asks in the course of a call, naming it."""
        call = pick(self.open_calls(), number)
        if call is not None:
            wire, request = call
            name = opened(request.params)["name"]
            message = f"{name} {len(self.asked)}"
            self.asked.append((wire, wire.ask("elicitation/create", message=message), message))
            # Others may be asked before anybody is told.
            self.turn(0.05 * (number % 2))

    def waiting(self) -> list[tuple[str, Heard]]:
        """Those whose last result requires inputs; each may be tried more than once."""
        return [(n, h) for n, _, h in self.ended if h.answer and "inputRequests" in h.answer]

    def come_back(
        self, number: int, how_many: int | None, name: str | None = None, who: str | None = None
    ) -> None:
        found = pick(self.waiting(), number)
        if found is None:
            return
        mine, heard = found
        wanted = heard.answer["inputRequests"]
        messages = {key: request["params"]["message"] for key, request in wanted.items()}
        self.assertEqual({message.split()[0] for message in messages.values()}, {mine})
        keys = list(wanted)[:how_many]
        said = {key: {"action": "accept", "content": {"to": messages[key]}} for key in keys}
        made = self.retry(heard, said, name or mine, id=number, who=who or self.callers[mine])
        self.remember(name or mine, made)

    def do_back(self, number: int) -> None:
        self.come_back(number, None)

    def do_some(self, number: int) -> None:
        self.come_back(number, 1)

    def do_wrong(self, number: int) -> None:
        """Somebody tries the state for a call that it is not for, or another's."""
        before = len(self.ended)
        if number % 2:
            self.come_back(number, None, "another call")
        else:
            self.come_back(number, None, who="mallory")
        if len(self.ended) > before:
            self.assertEqual(self.ended[-1][2].error["code"], -32602)

    def do_withdraw(self, number: int) -> None:
        """The server takes a question back."""
        found = pick(self.asked, number)
        if found is not None and not found[0].gone:
            found[0].say("notifications/cancelled", requestId=found[1])
            self.turn()

    def assert_asked(self) -> None:
        """No question was answered for another call than the one that asked, nor twice."""
        for wire, id, message in self.asked:
            answers = [m for m in wire.heard if isinstance(m, Result) and m.id == id]
            self.assertLessEqual(len(answers), 1)
            for answer in answers:
                self.assertEqual(opened(answer.result)["content"], {"to": message})
        # Nor is a process left that was there for one call.
        self.assertEqual([wire for wire in self.far.up if wire.hello["capabilities"]], [])


class LegacyAtModernTests(AnyOrder):
    era = "modern"

    @settings(deadline=None, max_examples=120)
    @given(STEPS)
    def test_any_order(self, steps: list[tuple[str, int]]) -> None:
        """Legacy clients at a modern server."""
        self.run_steps(steps)

    def setUp(self) -> None:
        super().setUp()
        self.sessions: list[Session] = []
        self.required: dict[str, list[str]] = {}

    def do_call(self, number: int) -> None:
        """One of three clients calls."""
        if len(self.sessions) < 3:
            self.sessions.append(self.stay())
        session = self.sessions[number % len(self.sessions)]
        name = self.name()
        heard = Heard()
        self.numbers += 1
        request = Request(self.numbers, "tools/call", b'{"name":"%b"}' % name.encode())
        self.ended.append((name, session.request(request, heard), heard))
        self.turn()

    def do_ask(self, number: int) -> None:
        """The server requires an input or two, naming the call."""
        call = pick(self.open_calls(), number)
        if call is None:
            return
        wire, request = call
        self.done.add((id(wire), request.id))
        name = opened(request.params)["name"]
        state = f"{name} {len(self.required)}"
        keys = [f"{state} {n}" for n in range(1 + number % 3)]
        self.required[state] = keys
        wanted = {key: {"method": "elicitation/create", "params": {"message": key}} for key in keys}
        result = {"inputRequests": wanted, "requestState": state}
        wire.answer(request, {"resultType": "input_required", **result})
        self.turn()

    def assert_made_again(self) -> None:
        """A call that is made again carries its last state, and what that required, once."""
        states = []
        for _, request in self.far.calls():
            params = opened(request.params)
            if "requestState" in params:
                states.append(params["requestState"])
                self.assertEqual(states[-1].split()[0], params["name"])
                said = {k: r["content"]["to"] for k, r in params["inputResponses"].items()}
                self.assertEqual(said, {key: key for key in self.required[states[-1]]})
        self.assertEqual(len(states), len(set(states)))

    def questions(self) -> list[tuple[str, Exchange]]:
        return [(n, q) for n, _, heard in self.ended for q in heard.questions if not q.over]

    def do_back(self, number: int) -> None:
        """A client answers, as the one whose call it is."""
        found = pick(self.questions(), number)
        if found is not None:
            name, question = found
            message = opened(question.request.params)["message"]
            self.assertEqual(message.split()[0], name)
            question.succeed({"action": "accept", "content": {"to": message}})
            self.turn()

    def do_some(self, number: int) -> None:
        self.do_back(number)

    def do_wrong(self, number: int) -> None:
        """A client answers with an error."""
        found = pick(self.questions(), number)
        if found is not None:
            found[1].fail(ServerExited("not today"))
            self.turn()

    def do_withdraw(self, number: int) -> None:
        """A client leaves."""
        session = pick(self.sessions, number)
        if session is not None:
            self.sessions.remove(session)
            session.end(ServerExited("it left"))
            self.turn()

    def assert_ended(self) -> None:
        # A person may think for ever; whoever has not answered by now is made to.
        for _, question in self.questions():
            question.fail(ServerExited("too late"))
        for _ in range(80):
            self.turn(50)
        super().assert_ended()
        self.assert_made_again()
