"""What every asking end promises, whatever it carries the questions over.

A whole daemon answers, in memory, with the toolbox behind it; what asks is a link
over the connector of a wire. The text is run over every wire, in both eras.
"""

from __future__ import annotations

from typing import Any

import msgspec
from zope.interface import implementer
from zope.interface.verify import verifyObject

from mcptwist.awaited import Awaited, Refused
from mcptwist.config import Config, PythonServer
from mcptwist.errors import EraMismatch
from mcptwist.exchange import Exchange
from mcptwist.interfaces import ICompany, IConnector
from mcptwist.link import Deadlines
from mcptwist.messages import Notification, encode_json
from mcptwist.negotiation import hello_params, modern_meta
from mcptwist.opening import Discovering, Handshake
from mcptwist.patience import Patience
from mcptwist.services import make_daemon
from mcptwist.supervisor import Supervisor, SupervisorSettings
from mcptwist.versions import LEGACY, MODERN
from tests.joined import PORT, Network

WHO = {"name": "contract", "version": "1"}
BASE = f"http://localhost:{PORT}"
SERVER = f"{BASE}/servers/box"


class House:
    """A daemon in memory with the toolbox behind it.

    :ivar http: what answers on its HTTP endpoint.
    :ivar lines: what answers on its socket.
    """

    def __init__(self) -> None:
        self.network = Network()
        box = PythonServer(name="box", python="mcptwist.serving.toolbox:toolbox", scope="session")
        places = (f"tcp:{PORT}:interface=127.0.0.1", "lines:unix:/nowhere")
        self.daemon = make_daemon(Config(servers=(box,), listen=places), self.network.clock)
        self.http, self.lines = (listener.factory for listener in self.daemon.listeners)


@implementer(ICompany)
class Company:
    """Remembers what the server says by itself, and answers what it asks."""

    def __init__(self) -> None:
        self.ups = 0
        self.heard: list[Notification] = []
        self.asked: list[Any] = []

    def admit(self, link: object, exchange: Exchange) -> None:
        """Everything may be asked."""

    def refused(self, exchange: Exchange, problem: EraMismatch) -> None:
        exchange.fail(problem)

    def up(self, link: object) -> None:
        self.ups += 1

    def told(self, link: object, notification: Notification) -> None:
        self.heard.append(notification)

    def questioned(self, link: object, question: Exchange) -> None:
        self.asked.append(msgspec.json.decode(question.request.params))
        question.succeed({"action": "accept", "content": {"answer": "blue"}})


class AskingContract:
    """Mixed into a test case that says how to :meth:`make_connector`, and which ``era`` it is."""

    era = LEGACY

    def make_connector(self, house: House) -> Any:
        raise NotImplementedError

    def setUp(self) -> None:
        super().setUp()  # type: ignore[misc]
        self.house = House()
        self.network = self.house.network
        self.company = Company()
        self.supervisor = self.supervise()

    def supervise(self) -> Supervisor:
        """Another conversation with the same house."""
        opening: Any = Discovering(WHO)
        if self.era == LEGACY:
            opening = Handshake(hello_params({"elicitation": {}}, WHO))
        deadlines = Deadlines(idle=30.0, total=60.0)
        return Supervisor(
            "box",
            self.make_connector(self.house),
            opening,
            self.company,
            Patience(),
            self.network.clock,
            SupervisorSettings(start_timeout=10.0, restart=False, deadlines=deadlines),
        )

    # --- the means --------------------------------------------------------------------

    def begin(self, tool: str, supervisor: Supervisor | None = None, **arguments: Any) -> Asked:
        """Call a tool; what comes of it will be there after a turn."""
        return Asked(supervisor or self.supervisor, self.era, tool, arguments)

    def call(self: Any, tool: str, **arguments: Any) -> str:
        """The text that a tool answers with."""
        asked = self.begin(tool, **arguments)
        self.network.turn()
        return asked.text(self)

    # --- the promises -----------------------------------------------------------------

    def test_it_is_a_connector(self: Any) -> None:
        verifyObject(IConnector, self.make_connector(self.house))

    def test_a_call_is_answered(self: Any) -> None:
        self.assertIn("42", self.call("calculate", expression="6*7"))

    def test_the_server_knows_who_asks(self: Any) -> None:
        said = msgspec.json.decode(self.call("who_is_calling"))
        self.assertEqual((said["client"]["name"], said["era"]), ("contract", self.era))

    def test_each_has_its_own_answer(self: Any) -> None:
        asked = [self.begin("calculate", expression=f"{n}*{n}") for n in range(10)]
        self.network.turn()
        for number, one in enumerate(asked):
            self.assertIn(f'"{number * number}"', one.text(self))

    def test_later_answers_do_not_hold_up_earlier_ones(self: Any) -> None:
        slow = self.begin("wait", seconds=5)
        self.network.turn()
        self.assertIn("2", self.call("calculate", expression="1+1"))
        self.assertFalse(slow.over)
        self.network.turn(6, steps=6)
        self.assertIn("5 seconds", slow.text(self))

    def test_progress_comes_before_the_answer(self: Any) -> None:
        asked = self.begin("wait", seconds=3)
        self.network.turn()
        self.network.turn(2, steps=2)
        self.assertEqual(asked.progress, [1, 2])
        self.assertFalse(asked.over)
        self.network.turn(1)
        self.assertEqual(asked.progress, [1, 2, 3])
        asked.text(self)

    def test_an_error_is_an_answer(self: Any) -> None:
        asked = self.begin("no_such_tool")
        self.network.turn()
        refusal = self.failureResultOf(asked.answer, Refused).value
        self.assertIn("no_such_tool", str(refusal))

    def test_what_is_large_comes_whole(self: Any) -> None:
        text = "é\n" * 200_000
        answer = self.call("encode_base64", text=text)
        self.assertEqual(self.call("decode_base64", text=answer), text)

    def test_cancelling_reaches_the_server(self: Any) -> None:
        asked = self.begin("wait", seconds=200)
        self.network.turn()
        self.assertEqual(self.house.daemon.gateway.in_flight(), 1)
        asked.answer.addErrback(lambda _: None)
        asked.exchange.cancel("changed my mind")
        self.network.turn()
        self.assertEqual(self.house.daemon.gateway.in_flight(), 0)
        self.assertIn("2", self.call("calculate", expression="1+1"))

    def test_what_is_late_is_given_up_at_both_ends(self: Any) -> None:
        asked = self.begin("wait", seconds=200)
        self.network.turn(65, steps=65)
        failure = self.failureResultOf(asked.answer, Refused)
        self.assertEqual(failure.value.body.data["code"], "server-timeout")
        self.network.turn()
        self.assertEqual(self.house.daemon.gateway.in_flight(), 0)

    def test_two_conversations_do_not_mix(self: Any) -> None:
        other = self.supervise()
        mine = self.begin("calculate", expression="1+1")
        others = self.begin("calculate", supervisor=other, expression="2+2")
        self.network.turn()
        self.assertIn("2", mine.text(self))
        self.assertIn("4", others.text(self))

    def test_the_server_may_ask_back(self: Any) -> None:
        """In the legacy era; in the modern one it says that input is required."""
        asked = self.begin("ask_person", question="Which colour?")
        self.network.turn()
        if self.era == LEGACY:
            self.assertEqual(asked.text(self), "blue")
            self.assertEqual(self.company.asked[0]["message"], "Which colour?")
        else:
            self.failureResultOf(asked.answer, Refused)

    def test_when_the_far_end_is_gone_all_are_told(self: Any) -> None:
        asked = [self.begin("wait", seconds=200) for _ in range(3)]
        self.network.turn()
        self.network.up = False
        self.network.cut()
        self.network.turn(20, steps=20)
        for one in asked:
            failure = self.failureResultOf(one.answer, Refused)
            self.assertIn("server", failure.value.body.data["code"])

    def test_it_comes_back(self: Any) -> None:
        self.call("calculate", expression="1+1")
        self.network.up = False
        self.network.cut()
        self.network.turn(20, steps=20)
        self.network.up = True
        self.network.turn(70, steps=7)
        self.assertIn("4", self.call("calculate", expression="2+2"))

    def test_nobody_there(self: Any) -> None:
        self.network.up = False
        up = self.supervisor.when_up()
        self.network.turn(12, steps=12)
        problem = self.failureResultOf(up).value
        self.assertNotIsInstance(problem, EraMismatch)
        self.assertIn("connection", str(problem))

    def test_leaving_leaves_nothing(self: Any) -> None:
        self.call("calculate", expression="1+1")
        stopped = self.supervisor.stop()
        self.network.turn(5, steps=5)
        self.successResultOf(stopped)
        self.network.turn(5, steps=5)
        self.assertEqual(list(self.house.daemon.concourse.sessions), [])
        self.assertEqual(self.house.daemon.gateway.in_flight(), 0)


class Asked:
    """One call, and what came of it."""

    def __init__(
        self, supervisor: Supervisor, era: str, tool: str, arguments: dict[str, Any]
    ) -> None:
        self.progress: list[float] = []
        awaited = Awaited(self._heard)
        self.answer = awaited.answer
        meta = {"progressToken": "t", **(modern_meta(WHO) if era == MODERN else {})}
        params = {"name": tool, "arguments": arguments, "_meta": meta}
        self.exchange = awaited.begin(supervisor, "tools/call", encode_json(params))

    @property
    def over(self) -> bool:
        return self.exchange.over

    def text(self, case: Any) -> str:
        result = msgspec.json.decode(case.successResultOf(self.answer))
        case.assertFalse(result.get("isError"), result)
        text: str = result["content"][0]["text"]
        return text

    def _heard(self, notification: Notification) -> None:
        if notification.method == "notifications/progress":
            self.progress.append(msgspec.json.decode(notification.params)["progress"])
