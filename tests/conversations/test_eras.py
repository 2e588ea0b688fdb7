"""Stories of clients and servers that share no era.

A modern client at a legacy server: MCP 2026-07-28, *Multi Round-Trip Requests*, *Subscriptions*;
MCP 2025-11-25, *Elicitation*, *Sampling*, *Roots*. A legacy client at a modern server: the same
read the other way round.
"""

from __future__ import annotations

from typing import Any

from mcptwist.errors import ServerExited
from mcptwist.messages import Error, Notification, Request, Result, encode_json
from mcptwist.withdrawals import GRACE
from tests.conversations.era_stage import (
    ACKNOWLEDGED,
    CAN_ALL,
    INFO,
    LEVEL,
    MESSAGE,
    SUBSCRIPTION,
    TOOLS,
    UPDATED,
    FarWire,
    Stage,
)
from tests.scripted import Heard, opened

SERVER = "io.modelcontextprotocol/serverInfo"
YES = {"action": "accept", "content": {"name": "Ann"}}
MODEL = {"role": "assistant", "model": "m", "content": {"type": "text", "text": "hi"}}


def complete(words: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": words}]}


class ModernAtLegacy(Stage):
    """Modern clients at a server that only shakes hands."""

    def begun(self, **more: Any) -> tuple[FarWire, Request, Any, Heard]:
        """A call, at the process it was put to."""
        exchange, heard = self.call(**more)
        wire, request = self.far.calls()[-1]
        return wire, request, exchange, heard

    # --- without being asked -------------------------------------------------------------

    def test_discover(self) -> None:
        """Discovery is made from the server's welcome."""
        _, heard = self.visit("server/discover")
        self.assertEqual(heard.answer["supportedVersions"], ["2026-07-28"])
        self.assertEqual(heard.answer["_meta"], {SERVER: INFO})
        self.assertTrue(heard.answer["capabilities"]["tools"]["listChanged"])

    def test_list(self) -> None:
        """A list is completed with what the modern era requires of it."""
        _, heard = self.visit("tools/list")
        ((wire, request),) = self.far.calls("tools/list")
        self.assertNotIn(b"io.modelcontextprotocol", request.params)
        wire.answer(request, {"tools": []})
        expected = {"tools": [], "resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
        self.assertEqual(heard.answer, {**expected, "_meta": {SERVER: INFO}})

    def test_removed_and_unknown(self) -> None:
        """What the modern era does not have is not had by way of a legacy server."""
        for method in ("ping", "logging/setLevel", "resources/subscribe", "tasks/get"):
            _, heard = self.visit(method)
            self.assertEqual(heard.error["code"], -32601, method)
        _, heard = self.visit("no/such")
        ((wire, request),) = self.far.calls("no/such")
        wire.refuse(request, -32602)
        self.assertEqual(heard.error["code"], -32601)

    def test_not_found(self) -> None:
        """A missing resource has the code of the modern era, and says which."""
        _, heard = self.visit("resources/read", {"uri": "a:b"})
        ((wire, request),) = self.far.calls("resources/read")
        wire.refuse(request, -32002, {"uri": "a:b"})
        self.assertEqual((heard.error["code"], heard.error["data"]), (-32602, {"uri": "a:b"}))

    def test_clients_that_cannot_be_asked_share(self) -> None:
        """They have one process between them, which is offered no capability to ask."""
        for _ in range(3):
            self.call(capabilities={})
        (wire,) = self.far.up
        self.assertEqual(len(wire.requests("tools/call")), 3)
        self.assertEqual(wire.hello["capabilities"], {})

    # --- being asked ---------------------------------------------------------------------

    def test_one_input(self) -> None:
        """Ask, be told, go on: the call is the same all the while."""
        wire, request, _, heard = self.begun()
        self.assertEqual(wire.hello["capabilities"], CAN_ALL)
        id = wire.ask("elicitation/create", message="Who?", requestedSchema={"type": "object"})
        self.turn()
        self.assertEqual(heard.answer["resultType"], "input_required")
        ((key, wanted),) = heard.answer["inputRequests"].items()
        self.assertEqual(wanted["method"], "elicitation/create")
        self.assertEqual(wanted["params"]["message"], "Who?")
        _, again = self.retry(heard, {key: YES}, id=2)
        self.assertEqual(wire.told(id), YES)
        wire.answer(request, complete("Hello, Ann"))
        self.assertEqual(again.answer["content"], complete("Hello, Ann")["content"])
        self.assertEqual(again.answer["resultType"], "complete")
        self.assertEqual(len(self.far.calls()), 1)
        self.assert_quiet()

    def test_several_at_once(self) -> None:
        """What is asked at the same time is asked in one result."""
        wire, request, _, heard = self.begun()
        asked = {
            m: wire.ask(m) for m in ("elicitation/create", "sampling/createMessage", "roots/list")
        }
        self.turn()
        requests = heard.answer["inputRequests"]
        self.assertEqual({r["method"] for r in requests.values()}, set(asked))
        replies = {
            "elicitation/create": YES,
            "sampling/createMessage": MODEL,
            "roots/list": {"roots": []},
        }
        _, again = self.retry(heard, {k: replies[r["method"]] for k, r in requests.items()})
        for method, id in asked.items():
            self.assertEqual(wire.told(id), replies[method])
        wire.answer(request, complete("done"))
        self.assertEqual(again.answers, 1)
        self.assert_quiet()

    def test_several_rounds(self) -> None:
        """Each round has a state of its own; an old one is of no more use."""
        wire, request, _, heard = self.begun()
        states = []
        for number in range(3):
            id = wire.ask("elicitation/create", message=str(number))
            self.turn()
            states.append(heard.answer["requestState"])
            ((key, wanted),) = heard.answer["inputRequests"].items()
            self.assertEqual(wanted["params"]["message"], str(number))
            _, following = self.retry(heard, {key: YES})
            self.assertEqual(wire.told(id), YES)
            _, replayed = self.retry(heard, {key: YES})
            self.assertEqual(replayed.error["code"], -32602)
            heard = following
        wire.answer(request, complete("done"))
        self.assertEqual((heard.answers, len(set(states))), (1, 3))
        self.assert_quiet()

    def test_missing_input(self) -> None:
        """What is missing is asked again; what nobody asked for is ignored."""
        wire, request, _, heard = self.begun()
        ids = [wire.ask("roots/list"), wire.ask("elicitation/create", message="Who?")]
        self.turn()
        roots, form = heard.answer["inputRequests"]
        _, second = self.retry(heard, {roots: {"roots": []}, "nobody-asked": YES})
        self.assertEqual(list(second.answer["inputRequests"]), [form])
        self.assertEqual(wire.told(ids[0]), {"roots": []})
        _, third = self.retry(second, {form: YES})
        self.assertEqual(wire.told(ids[1]), YES)
        wire.answer(request, complete("done"))
        self.assertEqual(third.answer["resultType"], "complete")
        self.assert_quiet()

    def test_malformed_input(self) -> None:
        """An input that is no object is refused, and the call waits on."""
        wire, request, _, heard = self.begun()
        wire.ask("roots/list")
        self.turn()
        ((key, _),) = heard.answer["inputRequests"].items()
        _, wrong = self.retry(heard, {key: 12345})
        self.assertEqual(wrong.error["code"], -32602)
        _, right = self.retry(heard, {key: {"roots": []}})
        wire.answer(request, complete("done"))
        self.assertEqual(right.answers, 1)

    def test_early_input(self) -> None:
        """Answers that come before any question are for nobody."""
        params = {"name": "t", "inputResponses": {"user_name": YES}}
        _, heard = self.visit("tools/call", params)
        ((wire, request),) = self.far.calls()
        self.assertEqual(opened(request.params), {"name": "t"})
        wire.ask("roots/list")
        self.turn()
        self.assertEqual(heard.answer["resultType"], "input_required")

    def test_prompts_and_resources(self) -> None:
        """Prompts and resources may need inputs as tools do."""
        for method, params in (("prompts/get", {"name": "p"}), ("resources/read", {"uri": "a:b"})):
            _, heard = self.visit(method, params)
            wire, request = self.far.calls(method)[-1]
            wire.ask("roots/list")
            self.turn()
            ((key, _),) = heard.answer["inputRequests"].items()
            more = {
                "requestState": heard.answer["requestState"],
                "inputResponses": {key: {"roots": []}},
            }
            _, again = self.visit(method, {**params, **more})
            wire.answer(request, {"x": 1})
            self.assertEqual((again.answer["x"], again.answer["resultType"]), (1, "complete"))
        self.assert_quiet()

    def test_answer_while_away(self) -> None:
        """A server that does not wait for the answer is heard when the client comes back."""
        wire, request, _, heard = self.begun()
        id = wire.ask("roots/list")
        self.turn()
        wire.answer(request, complete("never mind"))
        self.turn()
        self.assertIn("code", wire.told(id))
        ((key, _),) = heard.answer["inputRequests"].items()
        _, again = self.retry(heard, {key: {"roots": []}})
        self.assertEqual(again.answer["content"], complete("never mind")["content"])
        self.assert_quiet()

    def test_question_withdrawn(self) -> None:
        """A question that the server takes back is not asked again."""
        wire, request, _, heard = self.begun()
        ids = [wire.ask("roots/list"), wire.ask("elicitation/create", message="Who?")]
        self.turn()
        roots, _ = heard.answer["inputRequests"]
        wire.say("notifications/cancelled", requestId=ids[1])
        _, again = self.retry(heard, {roots: {"roots": []}})
        wire.answer(request, complete("done"))
        self.assertEqual(again.answer["resultType"], "complete")

    def test_own_processes(self) -> None:
        """Calls of clients that may be asked have a process each, so no question goes astray."""
        first, second = self.begun(name="a"), self.begun(name="b")
        self.assertIsNot(first[0], second[0])
        for wire, request, _, heard in (second, first):
            wire.ask("elicitation/create", message=opened(request.params)["name"])
            self.turn()
            ((_, wanted),) = heard.answer["inputRequests"].items()
            self.assertEqual(wanted["params"]["message"], opened(request.params)["name"])

    def test_probed_process(self) -> None:
        """The process that was probed serves the first call: nobody waits for another."""
        wire, *_ = self.begun()
        self.assertEqual(self.far.wires, [wire])
        self.assertEqual(
            [m.method for m in wire.sent if isinstance(m, Request)][:2],
            ["server/discover", "initialize"],
        )

    def test_probed_process_of_one_that_runs(self) -> None:
        """Where another process is shared already, it is kept for the first that asks."""
        self.stay()
        self.visit("tools/list")
        self.assertEqual((len(self.far.wires), len(self.far.up)), (2, 1))
        wire, *_ = self.begun()
        self.assertIs(wire, self.far.wires[1])
        self.assertEqual(len(self.far.wires), 2)

    def test_prepared_process(self) -> None:
        """Who asks what the server is, and may be asked, finds a process that runs already."""
        self.visit("server/discover", capabilities={})
        self.assertEqual(len(self.far.wires), 1)
        for _ in range(2):
            self.visit("server/discover")
            self.assertEqual([w.hello["capabilities"] for w in self.far.up], [{}, CAN_ALL])
        wire, *_ = self.begun()
        self.assertIs(wire, self.far.wires[1])
        self.assertEqual(len(self.far.wires), 2)

    def test_upgraded(self) -> None:
        """A server that is restarted may speak another era than before, and is asked anew."""
        self.visit("tools/list")
        self.far.era = "modern"
        self.backend.restart()
        self.turn()
        _, heard = self.visit("tools/call", {"name": "t"})
        wire, request = self.far.calls()[-1]
        self.assertEqual(wire.era, "modern")
        wire.answer(request, {**complete("x"), "resultType": "complete"})
        self.assertEqual(heard.answers, 1)

    def test_prepared_process_that_fails(self) -> None:
        """One that could not be prepared is no hindrance."""
        self.visit("server/discover", capabilities={})
        self.far.falls = True
        _, heard = self.visit("server/discover")
        self.assertIn("capabilities", heard.answer)
        self.assertEqual((len(self.far.wires), len(self.backend.leases.all)), (2, 0))
        self.far.falls = False
        self.turn(2)
        wire, *_ = self.begun()
        self.assertEqual(wire.hello["capabilities"], CAN_ALL)

    def test_probed_process_that_nobody_needs(self) -> None:
        """It is stopped after a while, and with the daemon."""
        for stop in (
            lambda: self.turn(61),
            lambda: self.backend.restart(),
            lambda: self.backend.stop(),
        ):
            self.setUp()
            self.stay()
            self.visit("tools/list")
            stop()
            self.turn()
            self.assertTrue(self.far.wires[1].gone)

    def test_process_is_used_again(self) -> None:
        """The process of a call that is over serves the next client of the same capabilities."""
        wire, request, *_ = self.begun()
        wire.answer(request, complete("done"))
        following, *_ = self.begun()
        self.assertIs(following, wire)
        other, *_ = self.begun(capabilities={"roots": {}})
        self.assertIsNot(other, wire)
        self.assertEqual(other.hello["capabilities"], {"roots": {}})

    def test_idle_process_is_stopped(self) -> None:
        """Such a process is not kept for ever."""
        wire, request, *_ = self.begun()
        wire.answer(request, complete("done"))
        self.turn(61)
        self.assertTrue(wire.gone)

    def test_malformed_result(self) -> None:
        """A server whose result is none is told of, and nobody waits for ever."""
        for capabilities in ({}, None):
            wire, request, _, heard = self.begun(capabilities=capabilities)
            wire.receive(Result(request.id, b"[1]"))
            self.assertEqual(heard.error["data"]["code"], "server-misbehaved")
        _, heard = self.visit("tools/list")
        wire, request = self.far.calls("tools/list")[-1]
        wire.answer(request, {"tools": {"execution": 1}})
        self.assertEqual(heard.error["data"]["code"], "server-misbehaved")
        self.assert_quiet()

    # --- clients that do not come back ---------------------------------------------------

    def test_never_back(self) -> None:
        """A client that never comes back costs nothing after a while."""
        wire, request, _, heard = self.begun()
        id = wire.ask("roots/list")
        self.turn()
        for _ in range(60):
            self.turn(10)
        self.assertEqual(wire.notified("notifications/cancelled")[0]["requestId"], request.id)
        self.assertIn("code", wire.told(id))
        self.turn()
        self.assertEqual((wire.gone, self.held.expired, self.far.up), (True, 1, []))
        self.assert_quiet()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        ((key, _),) = heard.answer["inputRequests"].items()
        _, late = self.retry(heard, {key: {"roots": []}})
        self.assertEqual(late.error["code"], -32602)

    def test_long_thought(self) -> None:
        """The time that a person takes to answer does not count as the server's."""
        wire, request, _, heard = self.begun()
        wire.ask("roots/list")
        for _ in range(59):
            self.turn(10)
        ((key, _),) = heard.answer["inputRequests"].items()
        _, again = self.retry(heard, {key: {"roots": []}})
        wire.answer(request, complete("done"))
        self.assertEqual(again.answer["content"], complete("done")["content"])

    def test_closes_before_the_question(self) -> None:
        """Closing the stream cancels the call."""
        wire, request, exchange, heard = self.begun()
        exchange.cancel("the stream was closed")
        self.turn()
        self.assertEqual(wire.notified("notifications/cancelled")[0]["requestId"], request.id)
        self.assertEqual(heard.answers, 0)
        self.turn()
        self.assertTrue(wire.gone)
        self.assert_quiet()

    def test_closes_after_coming_back(self) -> None:
        """So does closing that of a retry: the process, which is this call's alone, is stopped."""
        wire, _, _, heard = self.begun()
        wire.ask("roots/list")
        self.turn()
        ((key, _),) = heard.answer["inputRequests"].items()
        exchange, _ = self.retry(heard, {key: {"roots": []}})
        exchange.cancel("the stream was closed")
        self.turn(GRACE)
        self.assertTrue(wire.gone)
        self.assert_quiet()

    def test_closes_a_plain_call(self) -> None:
        """And that of one that cannot be asked."""
        wire, request, exchange, _ = self.begun(capabilities={})
        exchange.cancel("the stream was closed")
        self.turn()
        self.assertEqual(wire.notified("notifications/cancelled")[0]["requestId"], request.id)
        self.assertFalse(wire.gone)

    def test_server_dies_while_held(self) -> None:
        """The client that comes back is told what happened meanwhile."""
        wire, _, _, heard = self.begun()
        wire.ask("roots/list")
        self.turn()
        wire.lose(ServerExited("it fell", exitStatus=3))
        ((key, _),) = heard.answer["inputRequests"].items()
        _, again = self.retry(heard, {key: {"roots": []}})
        self.assertEqual(again.error["data"]["exitStatus"], 3)
        self.assert_quiet()

    def test_server_dies_during_a_call(self) -> None:
        """The client that waits is told at once."""
        wire, _, _, heard = self.begun()
        wire.lose(ServerExited("it fell", exitStatus=3))
        self.assertEqual((heard.answers, heard.error["data"]["exitStatus"]), (1, 3))

    # --- when there are too many ---------------------------------------------------------

    def held_call(self, who: str = "alice", name: str = "t") -> tuple[FarWire, Heard]:
        """A call whose client was sent for inputs."""
        _, heard = self.call(name, who=who)
        if heard.answers:
            return self.far.wires[-1], heard
        wire, _ = self.far.calls()[-1]
        wire.ask("roots/list")
        self.turn()
        return wire, heard

    def come_back(self, heard: Heard, **more: Any) -> Heard:
        keys = heard.answer["inputRequests"]
        _, again = self.retry(heard, {key: {"roots": []} for key in keys}, **more)
        found: Heard = again
        return found

    def test_too_many_at_once(self) -> None:
        """Where all clients may be back any moment, it is the new call that is refused."""
        calls = [self.held_call() for _ in range(4)]
        _, refused = self.held_call()
        self.assertEqual(refused.error["data"]["limit"], "call_processes")
        self.assertEqual((self.backend.leases.refused, self.backend.leases.evicted), (1, 0))
        self.assertEqual(self.backend.tally.refused, 1)
        for _, heard in calls:
            self.assertEqual(self.come_back(heard).answers, 0)

    def test_longest_away(self) -> None:
        """Calls that nobody comes back for do not keep others out: the oldest is given up."""
        calls = []
        for _ in range(4):
            calls.append(self.held_call())
            self.turn(10)
        (first, lost), (second, kept), *_ = calls
        _, heard = self.held_call()
        self.assertEqual(heard.answer["resultType"], "input_required")
        self.assertEqual((self.backend.leases.evicted, len(self.backend.leases.all)), (1, 4))
        self.assertEqual((first.gone, second.gone), (True, False))
        told = self.come_back(lost)
        self.assertEqual(told.error["data"]["limit"], "call_processes")
        self.assertIn("make it again", told.error["message"])
        self.assertEqual(self.come_back(kept).answers, 0)
        replayed = self.come_back(lost)
        self.assertEqual(replayed.error["code"], -32602)

    def test_of_whoever_has_most(self) -> None:
        """Many calls of one client cost that client's own, though another's is older."""
        mine, _ = self.held_call("alice")
        theirs = [self.held_call("mallory")[0] for _ in range(3)]
        self.turn(40)
        for _ in range(3):
            self.held_call("mallory")
            self.turn(40)
        self.assertFalse(mine.gone)
        self.assertTrue(all(wire.gone for wire in theirs))

    def test_calls_that_run(self) -> None:
        """A call whose client waits is not given up for another, however long it takes."""
        running = [self.begun() for _ in range(4)]
        self.turn(100)
        _, refused = self.call()
        self.assertEqual(refused.error["data"]["limit"], "call_processes")
        self.assertFalse(any(wire.gone for wire, *_ in running))

    # --- whose it is ---------------------------------------------------------------------

    def test_foreign_state(self) -> None:
        """Another's state, or one for another call, is refused; its owner can go on."""
        wire, request, _, heard = self.begun()
        wire.ask("roots/list")
        self.turn()
        ((key, _),) = heard.answer["inputRequests"].items()
        for different in ({"who": "mallory"}, {"name": "other"}):
            _, refused = self.retry(heard, {key: {"roots": []}}, **different)
            self.assertEqual(refused.error["code"], -32602)
        _, again = self.retry(heard, {key: {"roots": []}})
        wire.answer(request, complete("done"))
        self.assertEqual(again.answer["resultType"], "complete")

    def test_attacks(self) -> None:
        """Altered, used, expired, another's, another request's or server's: each is refused, and
        the call goes on as if nothing had been tried."""
        wire, request, _, heard = self.begun()
        wire.ask("roots/list")
        self.turn()
        ((key, _),) = heard.answer["inputRequests"].items()
        state = heard.answer["requestState"]
        good = {"name": "t", "requestState": state, "inputResponses": {key: {"roots": []}}}
        altered = state[:-1] + ("A" if state[-1] != "A" else "B")
        tries: list[tuple[dict[str, Any], dict[str, Any]]] = [
            ({"requestState": altered}, {}),
            ({"requestState": ""}, {}),
            ({"requestState": state * 2}, {}),
            ({"name": "u"}, {}),
            ({"arguments": {"a": 1}}, {}),
            ({}, {"who": "mallory"}),
            ({}, {"who": ""}),
        ]
        for params, more in tries:
            _, refused = self.visit("tools/call", {**good, **params}, **more)
            self.assertEqual(refused.error["code"], -32602, params)
        _, refused = self.visit("prompts/get", good)
        self.assertEqual(refused.error["code"], -32602)
        mine, self.backend = self.backend, self.make_backend("other")
        _, refused = self.visit("tools/call", good)
        self.assertEqual(refused.error["code"], -32602)
        self.backend = mine
        self.assertEqual(len(self.far.calls()), 1)
        _, again = self.visit("tools/call", good)
        _, replayed = self.visit("tools/call", good)
        self.assertEqual(replayed.error["code"], -32602)
        wire.answer(request, complete("done"))
        self.assertEqual((again.answers, heard.answers), (1, 1))

    # --- capabilities --------------------------------------------------------------------

    def lacks(self, heard: Heard) -> Any:
        return heard.error["code"], heard.error["data"]["requiredCapabilities"]

    def test_undeclared(self) -> None:
        """A server that asks what the client did not declare ends the call with -32021."""
        wire, _, _, heard = self.begun(capabilities={"roots": {}})
        id = wire.ask("sampling/createMessage")
        self.turn()
        self.assertEqual(self.lacks(heard), (-32021, {"sampling": {}}))
        self.assertIn("code", wire.told(id))
        self.turn(GRACE)
        self.assertTrue(wire.gone)
        self.assert_quiet()

    def test_undeclared_on_the_shared_process(self) -> None:
        """So does one that asks a client who declared nothing, where it is the only one."""
        wire, request, _, heard = self.begun(capabilities={})
        wire.ask("sampling/createMessage")
        self.turn()
        self.assertEqual(self.lacks(heard), (-32021, {"sampling": {}}))
        self.turn(GRACE)
        self.assertEqual(wire.notified("notifications/cancelled")[0]["requestId"], request.id)

    def test_undeclared_among_several(self) -> None:
        """Where there are more, nobody can tell who was meant, and the server hears that."""
        *_, first = self.begun(capabilities={})
        wire, _, _, second = self.begun(capabilities={})
        id = wire.ask("sampling/createMessage")
        self.turn()
        self.assertEqual(wire.told(id)["code"], -32601)
        self.assertEqual((first.answers, second.answers), (0, 0))

    def test_url_mode_undeclared(self) -> None:
        """An empty elicitation capability means forms, not URLs."""
        wire, _, _, heard = self.begun(capabilities={"elicitation": {}})
        wire.ask("elicitation/create", mode="url", url="https://x.example", message="go")
        self.turn()
        self.assertEqual(self.lacks(heard), (-32021, {"elicitation": {"url": {}}}))

    def test_unknown_question(self) -> None:
        """A question that no client knows is refused, and the call goes on."""
        wire, request, _, heard = self.begun()
        id = wire.ask("no/such")
        self.turn()
        self.assertEqual(wire.told(id)["code"], -32601)
        wire.answer(request, complete("done"))
        self.assertEqual(heard.answers, 1)

    WANTED = {"elicitations": [{"url": "https://x.example", "elicitationId": "1", "message": "go"}]}

    def test_url_required(self) -> None:
        """A -32042 sends the client to the URL; then the call is made from the start."""
        by_url = {"elicitation": {"url": {}}}
        wire, request, _, heard = self.begun(capabilities=by_url)
        wire.refuse(request, -32042, self.WANTED)
        ((key, wanted),) = heard.answer["inputRequests"].items()
        self.assertEqual(
            (wanted["method"], wanted["params"]["mode"]), ("elicitation/create", "url")
        )
        self.assertEqual(wanted["params"]["url"], "https://x.example")
        _, again = self.retry(heard, {key: {"action": "accept"}}, capabilities=by_url)
        wire, request = self.far.calls()[-1]
        self.assertEqual(len(self.far.calls()), 2)
        wire.answer(request, complete("welcome"))
        self.assertEqual(again.answer["content"], complete("welcome")["content"])
        self.assert_quiet()

    def test_url_required_by_a_server_put_there_anew(self) -> None:
        """The call is made by who takes it then: nothing is started for one that was stopped."""
        by_url = {"elicitation": {"url": {}}}
        wire, request, _, heard = self.begun(capabilities=by_url)
        wire.refuse(request, -32042, self.WANTED)
        ((key, _),) = heard.answer["inputRequests"].items()
        self.backend.stop()
        self.turn()
        self.backend = self.make_backend("far")
        _, again = self.retry(heard, {key: {"action": "accept"}}, capabilities=by_url)
        wire, request = self.far.calls()[-1]
        wire.answer(request, complete("welcome"))
        self.assertEqual(again.answer["content"], complete("welcome")["content"])
        self.backend.stop()
        self.turn()
        self.assertEqual(self.far.up, [])
        self.assert_quiet()

    def test_url_declined(self) -> None:
        """A user who declines ends the call: the server is not asked again."""
        by_url = {"elicitation": {"url": {}}}
        wire, request, _, heard = self.begun(capabilities=by_url)
        wire.refuse(request, -32042, self.WANTED)
        ((key, _),) = heard.answer["inputRequests"].items()
        _, nothing = self.retry(heard, {}, capabilities=by_url)
        self.assertEqual(list(nothing.answer["inputRequests"]), [key])
        _, again = self.retry(nothing, {key: {"action": "decline"}}, capabilities=by_url)
        self.assertEqual((again.error["code"], len(self.far.calls())), (-32602, 1))
        self.assert_quiet()

    def test_url_required_of_others(self) -> None:
        """A client that cannot be sent to a URL is told so, and never hears -32042."""
        for capabilities in ({}, {"roots": {}}, {"elicitation": {}}):
            wire, request, _, heard = self.begun(capabilities=capabilities)
            wire.refuse(request, -32042, self.WANTED)
            self.assertEqual(self.lacks(heard), (-32021, {"elicitation": {"url": {}}}))
        self.assert_quiet()

    # --- progress and logs ---------------------------------------------------------------

    def test_progress(self) -> None:
        """Progress goes on under the token of the exchange that is open, if that has one."""
        _, heard = self.call(meta={"progressToken": "one"})
        wire, request = self.far.calls()[-1]
        token = opened(request.params)["_meta"]["progressToken"]
        wire.say("notifications/progress", progressToken=token, progress=1)
        self.assertEqual(heard.said[0][1], {"progressToken": "one", "progress": 1})
        wire.ask("roots/list")
        self.turn()
        wire.say("notifications/progress", progressToken=token, progress=2)
        ((key, _),) = heard.answer["inputRequests"].items()
        _, again = self.retry(heard, {key: {"roots": []}}, meta={"progressToken": "two"})
        wire.say("notifications/progress", progressToken=token, progress=3)
        self.assertEqual(again.said[0][1], {"progressToken": "two", "progress": 3})
        self.assertEqual(len(heard.said), 1)

    def test_logs(self) -> None:
        """Log messages reach a call that asked for such, and no other."""
        for capabilities in (None, {}):
            wire, request, _, heard = self.begun(level="warning", capabilities=capabilities)
            for level in ("info", "warning", "error"):
                wire.say(MESSAGE, level=level, data=level)
            self.assertEqual([params["data"] for _, params in heard.said], ["warning", "error"])
            wire.answer(request, complete("done"))
            wire, request, _, heard = self.begun(capabilities=capabilities)
            wire.say(MESSAGE, level="error", data="x")
            self.assertEqual(heard.said, [])
            wire.answer(request, complete("done"))

    def test_level_is_set(self) -> None:
        """The process of a call is told the level before the call."""
        wire, request, *_ = self.begun(level="debug")
        (told,) = wire.requests("logging/setLevel")
        self.assertEqual(opened(told.params), {"level": "debug"})
        self.assertLess(wire.heard.index(told), wire.heard.index(request))

    # --- subscriptions -------------------------------------------------------------------

    def listen(self, id: Any = "L", **wanted: Any) -> tuple[Any, Heard]:
        return self.visit("subscriptions/listen", {"notifications": wanted}, id=id)

    def test_listen(self) -> None:
        """A subscription is acknowledged, and fed from what the server says unasked."""
        exchange, heard = self.listen(toolsListChanged=True, resourceSubscriptions=["a:b"])
        (wire,) = self.far.up
        tag = {SUBSCRIPTION: "L"}
        granted = {"toolsListChanged": True, "resourceSubscriptions": ["a:b"]}
        self.assertEqual(heard.said, [(ACKNOWLEDGED, {"notifications": granted, "_meta": tag})])
        self.assertEqual(opened(wire.requests("resources/subscribe")[0].params), {"uri": "a:b"})
        heard.said.clear()
        wire.say(TOOLS)
        wire.say("notifications/prompts/list_changed")
        wire.say(UPDATED, uri="a:b")
        wire.say(UPDATED, uri="not:wanted")
        wire.say(MESSAGE, level="error", data="x")
        self.assertEqual(
            heard.said, [(TOOLS, {"_meta": tag}), (UPDATED, {"uri": "a:b", "_meta": tag})]
        )
        exchange.cancel("the stream was closed")
        self.turn()
        self.assertEqual(opened(wire.requests("resources/unsubscribe")[0].params), {"uri": "a:b"})
        wire.say(TOOLS)
        self.assertEqual(len(heard.said), 2)

    def test_not_honoured(self) -> None:
        """What the server will not tell is not promised."""
        _, heard = self.listen(promptsListChanged=True, toolsListChanged=True)
        self.assertEqual(heard.said[0][1]["notifications"], {"toolsListChanged": True})

    def listen_slowly(self) -> tuple[Any, Heard, FarWire, list[Request]]:
        """A subscription to two resources, which the server has not granted yet."""
        self.far.grants = False
        exchange, heard = self.listen(toolsListChanged=True, resourceSubscriptions=["a:b", "c:d"])
        (wire,) = self.far.up
        return exchange, heard, wire, wire.requests("resources/subscribe")

    def test_not_granted(self) -> None:
        """What the server refuses is not promised; what it says meanwhile comes after."""
        _, heard, wire, (one, two) = self.listen_slowly()
        wire.answer(one, {})
        wire.say(UPDATED, uri="a:b")
        wire.say(UPDATED, uri="c:d")
        self.assertEqual(heard.said, [])
        wire.refuse(two, -32002)
        (acknowledged, params), *rest = heard.said
        self.assertEqual(acknowledged, ACKNOWLEDGED)
        self.assertEqual(
            params["notifications"], {"toolsListChanged": True, "resourceSubscriptions": ["a:b"]}
        )
        self.assertEqual([p["uri"] for _, p in rest], ["a:b"])

    def test_granted_too_late(self) -> None:
        """A server that is slow to grant is not waited for, and not listened to later."""
        _, heard, wire, (one, two) = self.listen_slowly()
        wire.answer(one, {})
        self.turn(5)
        self.assertEqual(heard.said[0][1]["notifications"]["resourceSubscriptions"], ["a:b"])
        wire.answer(two, {})
        self.turn()
        (told,) = wire.requests("resources/unsubscribe")
        self.assertEqual(opened(told.params), {"uri": "c:d"})
        wire.say(UPDATED, uri="c:d")
        self.assertEqual(len(heard.said), 1)

    def test_left_before_it_was_granted(self) -> None:
        """Who does not wait is not listened for."""
        exchange, heard, wire, (one, two) = self.listen_slowly()
        wire.answer(one, {})
        exchange.cancel("enough")
        wire.answer(two, {})
        self.turn(5)
        left = [opened(r.params)["uri"] for r in wire.requests("resources/unsubscribe")]
        self.assertEqual((left, heard.said), (["a:b", "c:d"], []))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_two_listen(self) -> None:
        """Two who want the same resource subscribe once, and neither ends it for the other."""
        first, _ = self.listen(1, resourceSubscriptions=["a:b"])
        _, second = self.listen(2, resourceSubscriptions=["a:b"])
        (wire,) = self.far.up
        self.assertEqual(len(wire.requests("resources/subscribe")), 1)
        first.cancel("enough")
        self.turn()
        self.assertEqual(wire.requests("resources/unsubscribe"), [])
        wire.say(UPDATED, uri="a:b")
        self.assertEqual(second.said[-1], (UPDATED, {"uri": "a:b", "_meta": {SUBSCRIPTION: 2}}))

    def test_listen_hears_calls_processes(self) -> None:
        """Changes that a call makes in its own process are heard as well."""
        _, heard = self.listen(toolsListChanged=True, resourceSubscriptions=["a:b"])
        wire, request, *_ = self.begun()
        (told,) = wire.requests("resources/subscribe")
        self.assertLess(wire.heard.index(told), wire.heard.index(request))
        wire.say(TOOLS)
        wire.say(UPDATED, uri="a:b")
        self.assertEqual([method for method, _ in heard.said[1:]], [TOOLS, UPDATED])

    def test_listen_through_a_crash(self) -> None:
        """A process that is started anew is told what is wanted."""
        self.listen(resourceSubscriptions=["a:b"])
        (wire,) = self.far.up
        wire.lose(ServerExited("it fell", exitStatus=3))
        self.turn(2)
        (again,) = self.far.up
        self.assertEqual(opened(again.requests("resources/subscribe")[0].params), {"uri": "a:b"})

    def test_graceful_end(self) -> None:
        """When the daemon stops, subscriptions end with a result."""
        _, heard = self.listen(toolsListChanged=True)
        self.backend.end_listening()
        self.assertEqual(heard.answer, {"resultType": "complete", "_meta": {SUBSCRIPTION: "L"}})

    def test_stop(self) -> None:
        """A stopping server fails what waits, and leaves no process and no timer."""
        *_, waiting = self.begun()
        wire, _, _, heard = self.begun()
        wire.ask("roots/list")
        self.turn()
        self.backend.stop()
        self.held.clear()
        self.turn()
        self.assertEqual((waiting.answers, heard.answers, self.far.up), (1, 1, []))
        self.assertEqual(self.clock.getDelayedCalls(), [])


class LegacyAtModern(Stage):
    """Legacy clients at a server that shakes no hands."""

    era = "modern"

    def begun(self, **more: Any) -> tuple[Any, Heard, FarWire, Request]:
        session = self.stay(**more)
        heard = self.ask(session, "tools/call", {"name": "t"})
        wire, request = self.far.calls()[-1]
        return session, heard, wire, request

    def require(
        self, wire: FarWire, request: Request, state: str | None = None, **wanted: Any
    ) -> None:
        """The server requires inputs: method and params of each by key."""
        requests = {key: {"method": m, "params": p} for key, (m, p) in wanted.items()}
        result = {"resultType": "input_required", "inputRequests": requests}
        wire.answer(request, result | ({} if state is None else {"requestState": state}))
        self.turn()

    FORM: Any = ("elicitation/create", {"message": "Who?"})
    ROOTS: Any = ("roots/list", {})

    def test_welcome(self) -> None:
        """A client shakes hands with the daemon, on the server's behalf."""
        self.stay()
        welcome = self.welcomed.answer
        self.assertEqual(welcome["protocolVersion"], "2025-11-25")
        self.assertTrue(welcome["capabilities"]["resources"]["subscribe"])

    def test_call(self) -> None:
        """Each call says what the client said once; its answer loses what is too modern."""
        _, heard, wire, request = self.begun(capabilities={"roots": {}})
        meta = opened(request.params)["_meta"]
        self.assertEqual(meta["io.modelcontextprotocol/clientCapabilities"], {"roots": {}})
        self.assertEqual(meta["io.modelcontextprotocol/clientInfo"]["name"], "tester")
        wire.answer(request, {**complete("x"), "resultType": "complete", "structuredContent": [1]})
        self.assertEqual(heard.answer, {**complete("x"), "structuredContent": {"result": [1]}})

    def test_ping(self) -> None:
        """The daemon answers for itself: a modern server knows no ping."""
        session = self.stay()
        self.assertEqual(self.ask(session, "ping").answer, {})
        self.assertEqual(self.far.calls("ping"), [])

    def test_by_url(self) -> None:
        """Legacy revisions require that an elicitation by URL has a name, and no other has it."""
        ids = []
        for _ in range(2):
            _, heard, wire, request = self.begun(capabilities={"elicitation": {"url": {}}})
            asked = {"mode": "url", "url": "https://x.example", "message": "go"}
            self.require(
                wire, request, a=("elicitation/create", asked), b=("elicitation/create", asked)
            )
            ids += [opened(q.request.params)["elicitationId"] for q in heard.questions]
        self.assertEqual(len(set(ids)), 4)

    def test_input(self) -> None:
        """What the server requires is asked on the call's stream, and the call is made again."""
        _, heard, wire, request = self.begun()
        self.require(wire, request, "s", who=self.FORM)
        (question,) = heard.questions
        self.assertEqual(question.request.method, "elicitation/create")
        self.assertEqual(opened(question.request.params), {"message": "Who?"})
        question.succeed(YES)
        self.turn()
        again = wire.requests("tools/call")[-1]
        self.assertNotEqual(again.id, request.id)
        params = opened(again.params)
        self.assertEqual((params["inputResponses"], params["requestState"]), ({"who": YES}, "s"))
        self.assertEqual(params["name"], "t")
        wire.answer(again, complete("Ann"))
        self.assertEqual((heard.answers, heard.answer), (1, complete("Ann")))
        self.assert_quiet()

    def test_several_inputs(self) -> None:
        """Several are asked at once, and the call goes on when all are there."""
        _, heard, wire, request = self.begun()
        self.require(wire, request, a=self.FORM, b=self.ROOTS)
        one, two = heard.questions
        two.succeed({"roots": []})
        self.turn()
        self.assertEqual(len(wire.requests("tools/call")), 1)
        one.succeed(YES)
        self.turn()
        params = opened(wire.requests("tools/call")[-1].params)
        self.assertEqual(params["inputResponses"], {"a": YES, "b": {"roots": []}})
        self.assertNotIn("requestState", params)

    def test_several_rounds(self) -> None:
        """Each round carries the last state, and the inputs of that round alone."""
        _, heard, wire, request = self.begun()
        for number in range(3):
            self.require(wire, request, str(number), **{f"k{number}": self.FORM})
            heard.questions[-1].succeed(YES)
            self.turn()
            request = wire.requests("tools/call")[-1]
            params = opened(request.params)
            self.assertEqual(list(params["inputResponses"]), [f"k{number}"])
            self.assertEqual(params["requestState"], str(number))
        wire.answer(request, complete("done"))
        self.assertEqual(heard.answers, 1)

    def test_state_alone(self) -> None:
        """A server may ask for nothing but to be asked again."""
        _, heard, wire, request = self.begun()
        self.require(wire, request, "later")
        again = wire.requests("tools/call")[-1]
        self.assertEqual(opened(again.params)["requestState"], "later")
        self.assertEqual(heard.questions, [])

    def test_rounds_are_bounded(self) -> None:
        """A server that is never satisfied is not asked for ever."""
        _, heard, wire, request = self.begun()
        for _ in range(40):
            if heard.answers:
                break
            self.require(wire, request, "again")
            request = wire.requests("tools/call")[-1]
        self.assertEqual((heard.answers, heard.error["data"]["code"]), (1, "server-misbehaved"))
        self.assertLess(len(wire.requests("tools/call")), 40)
        self.assert_quiet()

    def test_client_refuses(self) -> None:
        """A client that answers with an error gets it back as the end of its call."""
        _, heard, wire, request = self.begun()
        self.require(wire, request, a=self.FORM, b=self.ROOTS)
        one, two = heard.questions
        one.answer(Error(0, encode_json({"code": -1, "message": "the user said no"})))
        self.turn()
        self.assertEqual((heard.answers, heard.error["code"]), (1, -1))
        self.assertTrue(two.over)
        self.assertEqual(len(wire.requests("tools/call")), 1)

    def test_undeclared(self) -> None:
        """A server that asks what the client cannot answer misbehaves, and the client hears so."""
        for capabilities, wanted in (
            ({}, self.FORM),
            ({"elicitation": {}}, ("elicitation/create", {"mode": "url"})),
            ({"elicitation": {}}, ("no/such", {})),
        ):
            _, heard, wire, request = self.begun(capabilities=capabilities)
            self.require(wire, request, a=wanted)
            self.assertEqual(heard.error["data"]["code"], "server-misbehaved")
            self.assertEqual(heard.questions, [])

    def test_malformed(self) -> None:
        """So does one that requires something nobody can make sense of."""
        _, heard, wire, request = self.begun()
        wire.answer(request, {"resultType": "input_required", "inputRequests": [1]})
        self.assertEqual(heard.error["data"]["code"], "server-misbehaved")

    def test_cancel_during_the_call(self) -> None:
        """A cancelled call is cancelled at the server."""
        session, heard, wire, request = self.begun()
        self.cancel(session)
        self.assertEqual(wire.notified("notifications/cancelled")[-1]["requestId"], request.id)
        self.assertEqual(heard.answers, 0)

    def test_cancel_during_the_question(self) -> None:
        """One that waits for its client takes its questions back."""
        session, heard, wire, request = self.begun()
        self.require(wire, request, a=self.FORM)
        self.cancel(session)
        self.assertTrue(heard.questions[0].over)
        self.assertEqual(len(wire.requests("tools/call")), 1)
        self.assert_quiet()

    def cancel(self, session: Any) -> None:
        params = {"requestId": self.numbers, "reason": "enough"}
        session.notification(Notification("notifications/cancelled", encode_json(params)))
        self.turn()

    def test_server_dies_during_the_question(self) -> None:
        """The answer is put to the server's next process; what it makes of it is the answer."""
        _, heard, wire, request = self.begun()
        self.require(wire, request, "s", a=self.FORM)
        wire.lose(ServerExited("it fell", exitStatus=3))
        self.turn(2)
        heard.questions[0].succeed(YES)
        self.turn(2)
        again, request = self.far.calls()[-1]
        self.assertIsNot(again, wire)
        again.answer(request, complete("done"))
        self.assertEqual(heard.answer, complete("done"))

    def test_errors(self) -> None:
        """A legacy client hears no code of the modern era."""
        for code in (-32020, -32021, -32022):
            _, heard, wire, request = self.begun()
            wire.refuse(request, code)
            self.assertEqual(heard.error["code"], -32600)

    def test_tasks(self) -> None:
        """Tasks of the two eras are different things."""
        heard = self.ask(self.stay(), "tasks/list")
        self.assertEqual(heard.error["code"], -32601)

    # --- levels and subscriptions ----------------------------------------------------------

    def test_level(self) -> None:
        """A level is remembered, and goes with every request."""
        session, _, _, request = self.begun()
        self.assertEqual(opened(request.params)["_meta"][LEVEL], "info")
        self.assertEqual(self.ask(session, "logging/setLevel", {"level": "error"}).answer, {})
        self.ask(session, "tools/call", {"name": "t"})
        _, request = self.far.calls()[-1]
        self.assertEqual(opened(request.params)["_meta"][LEVEL], "error")
        self.assertEqual(self.far.calls("logging/setLevel"), [])
        refused = self.ask(session, "logging/setLevel", {"level": "loud"})
        self.assertEqual(refused.error["code"], -32602)

    def test_logs(self) -> None:
        """Log messages are for the one who has a call open; with two, nobody can tell."""
        _, first, wire, _ = self.begun()
        wire.say(MESSAGE, level="info", data=1)
        self.assertEqual(first.said, [(MESSAGE, {"level": "info", "data": 1})])
        _, second, _, _ = self.begun()
        wire.say(MESSAGE, level="info", data=2)
        self.assertEqual((len(first.said), second.said), (1, []))
        self.assertEqual(self.backend.unattributed, 1)

    def listens(self) -> list[Any]:
        return [
            opened(r.params)["notifications"] for _, r in self.far.calls("subscriptions/listen")
        ]

    def test_changes(self) -> None:
        """The daemon listens for the client, and tells it what a legacy client knows."""
        session = self.stay()
        (wire,) = self.far.up
        (listen,) = wire.requests("subscriptions/listen")
        wire.say(TOOLS, _meta={SUBSCRIPTION: listen.id})
        self.assertEqual(self.back(session), [(TOOLS, {})])

    def test_subscribe(self) -> None:
        """A subscription is made anew with each resource, and heard under no id."""
        session = self.stay()
        (wire,) = self.far.up
        self.assertEqual(self.ask(session, "resources/subscribe", {"uri": "a:b"}).answer, {})
        first, second = wire.requests("subscriptions/listen")
        self.assertEqual(self.listens()[-1]["resourceSubscriptions"], ["a:b"])
        self.assertEqual(wire.notified("notifications/cancelled")[-1]["requestId"], first.id)
        wire.say(UPDATED, uri="a:b", _meta={SUBSCRIPTION: second.id})
        self.assertEqual(self.back(session), [(UPDATED, {"uri": "a:b"})])
        self.assertEqual(self.ask(session, "resources/unsubscribe", {"uri": "a:b"}).answer, {})
        self.assertEqual(self.listens()[-1].get("resourceSubscriptions", []), [])

    def test_crash(self) -> None:
        """A process that is started anew is listened to as before."""
        session = self.stay()
        self.ask(session, "resources/subscribe", {"uri": "a:b"})
        (wire,) = self.far.up
        wire.lose(ServerExited("it fell", exitStatus=3))
        self.turn(2)
        (again,) = self.far.up
        listens = again.requests("subscriptions/listen")
        self.assertEqual(
            opened(listens[-1].params)["notifications"]["resourceSubscriptions"], ["a:b"]
        )
        again.say(TOOLS, _meta={SUBSCRIPTION: listens[-1].id})
        self.assertEqual(self.back(session)[-1], (TOOLS, {}))

    def test_leave(self) -> None:
        """Who leaves is listened for no more."""
        session = self.stay()
        (wire,) = self.far.up
        (listen,) = wire.requests("subscriptions/listen")
        self.backend.detach(session)
        self.turn()
        self.assertEqual(wire.notified("notifications/cancelled")[-1]["requestId"], listen.id)
        self.assertFalse(wire.gone)

    def test_older_revision(self) -> None:
        """A client of an older revision is sent what that knows."""
        session = self.stay(revision="2024-11-05")
        self.assertEqual(self.welcomed.answer["protocolVersion"], "2024-11-05")
        heard = self.ask(session, "tools/list")
        ((wire, request),) = self.far.calls("tools/list")
        wire.answer(
            request, {"tools": [{"name": "t", "inputSchema": {}, "title": "T", "icons": []}]}
        )
        self.assertEqual(heard.answer["tools"], [{"name": "t", "inputSchema": {}}])
        heard = self.ask(session, "tools/call", {"name": "t", "_meta": {"progressToken": "p"}})
        wire, request = self.far.calls("tools/call")[-1]
        token = opened(request.params)["_meta"]["progressToken"]
        wire.say("notifications/progress", progressToken=token, progress=1, message="half")
        self.assertEqual(heard.said[0][1], {"progressToken": "p", "progress": 1})


class LegacyAtModernAlone(LegacyAtModern):
    """The same where each session has a process of its own."""

    scope = "session"

    def test_logs(self) -> None:
        """Every session hears its own log messages, whoever else calls."""
        _, first, wire, _ = self.begun()
        _, second, other, _ = self.begun()
        wire.say(MESSAGE, level="info", data=1)
        other.say(MESSAGE, level="info", data=2)
        self.assertEqual([params["data"] for _, params in first.said], [1])
        self.assertEqual([params["data"] for _, params in second.said], [2])

    def test_leave(self) -> None:
        """Who leaves takes the process along."""
        session = self.stay()
        (wire,) = self.far.up
        self.backend.detach(session)
        self.turn()
        self.assertTrue(wire.gone)
        self.assertEqual(self.clock.getDelayedCalls(), [])
