"""What every answering end promises, whatever carries the messages.

A daemon in memory answers, and the far server behind it is the test's. A client speaks
JSON-RPC over some wire; the contract is run over every wire, in both eras.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from mcptwist.asked import cancelled_notification
from mcptwist.caller import Caller
from mcptwist.errors import ServerExited
from mcptwist.messages import Error, Notification, Request, Result, encode_json
from mcptwist.negotiation import modern_meta
from mcptwist.protocols.httpsse import HttpSse
from mcptwist.protocols.pages import site_tree
from mcptwist.protocols.streamable import StreamableHttp
from mcptwist.protocols.wsplace import WebSocketPlace
from mcptwist.versions import LEGACY, MODERN
from tests.conversations.posting import BOB, House, rpc

FLOOD = 80
CAN: dict[str, Any] = {"elicitation": {}}
DONE = {"content": [{"type": "text", "text": "dønè"}], "x-unknown": {"kept": [1, None]}}


class Hall(House):
    """A daemon without sockets that answers on every wire."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.factory.site.resource = site_tree(
            self.gateway, self.places, self.daemon.health, self.daemon.ready
        )

    def places(self, view: Any) -> Mapping[bytes, Any]:
        keys = (f"sse-{number}" for number in range(1000))
        websockets = WebSocketPlace(lambda request: self.caller(view), self.clock)
        events = HttpSse(
            lambda request: self.caller(view), lambda: next(keys), self.concourse.pulse
        )
        self.daemon.closing += (websockets.close, events.close)
        return {
            b"mcp": StreamableHttp(self.concourse, view),
            b"ws": websockets,
            b"sse": events.listening,
            b"messages": events.speaking,
        }

    def caller(self, view: Any = None) -> Caller:
        """A client on a wire of its own."""
        return Caller(
            self.gateway.whole if view is None else view,
            self.concourse.sessions.begin,
            draining=lambda: self.concourse.draining,
        )

    def greeted(self) -> None:
        """The far server answers an opening, if it was just started for one."""
        if self.wire.sent and getattr(self.wire.sent[0], "method", "") in _OPENINGS:
            self.agree()


_OPENINGS = ("initialize", "server/discover")


class Client:
    """One client, on some wire; each wire has a class of its own.

    :ivar era: in which it speaks.
    """

    def __init__(self, hall: Hall, era: str) -> None:
        self.hall = hall
        self.era = era

    def open(self) -> None:
        """Connect, and shake hands where the era has that."""
        self.connect()
        if self.era == LEGACY:
            params = {"protocolVersion": self.revision, "capabilities": CAN, "clientInfo": BOB}
            self.put(rpc("initialize", params, "hello"))
            self.hall.greeted()
            self.put(rpc("notifications/initialized", id=None))
            self.hall.wire.take()
        self.settle()

    def ask(self, method: str = "tools/call", params: Any = None, id: Any = 1) -> None:
        """Ask something."""
        params = {"name": "x", **(params or {})}
        if self.era == MODERN:
            params["_meta"] = {**modern_meta(BOB), **params.get("_meta", {})}
        self.put(rpc(method, params, id))
        self.hall.greeted()

    def answer(self, id: Any, result: Any) -> None:
        """Answer a question."""
        self.put({"jsonrpc": "2.0", "id": id, "result": result})

    def cancel(self, id: Any) -> None:
        """Take a request back."""
        told = cancelled_notification(id, "enough")
        self.put(rpc(told.method, msgspec.json.decode(told.params), None))

    def answers(self, id: Any = 1) -> list[Any]:
        """The answers to a request, of which there should be one at most."""
        return [m for m in self.heard() if m.get("id") == id and "method" not in m]

    def said(self, method: str) -> list[Any]:
        """What it was told by that method."""
        return [m for m in self.heard() if m.get("method") == method]

    # --- what each wire does in its own way -------------------------------------------

    revision = "2025-11-25"

    def connect(self) -> None:
        raise NotImplementedError

    def put(self, message: Any) -> None:
        """Send one message."""
        raise NotImplementedError

    def put_raw(self, text: bytes) -> None:
        """Send something in the place of a message."""
        raise NotImplementedError

    def heard(self) -> list[Any]:
        """All that it was told, in order."""
        raise NotImplementedError

    def signs(self) -> int:
        """How many bytes arrived, of whatever kind."""
        raise NotImplementedError

    def leave(self) -> None:
        """Be gone without a word."""
        raise NotImplementedError

    def stop_reading(self) -> None:
        """Take nothing of what comes from now on."""
        raise NotImplementedError

    def read_on(self) -> None:
        """Take all that waits, and what comes."""
        raise NotImplementedError

    @property
    def gone(self) -> bool:
        """Whether the daemon closed what it had open."""
        raise NotImplementedError

    def settle(self) -> None:
        """Forget what belongs to the opening."""


class AnsweringContract:
    """Mixed into a test case that says with which clients, in which ``era``.

    :cvar cancels_when_lost: whether a client that is gone takes its requests back with it
        (not so in Streamable HTTP's legacy era, where it may come back for the answers).
    :cvar keeps_alive: whether a silent connection is given signs of life.
    :cvar stands_alone: whether each request has an answer of its own, so that ids need not
        be unique among those of one client.
    """

    client_class: type[Client]
    era = LEGACY
    cancels_when_lost = True
    keeps_alive = True
    stands_alone = False

    def setUp(self: Any) -> None:
        super().setUp()  # type: ignore[misc]
        self.hall = Hall()
        self.client = self.make_client()

    def make_client(self: Any) -> Client:
        client: Client = self.client_class(self.hall, self.era)
        client.open()
        return client

    def asked(self: Any) -> Request:
        """The one request that the far server got."""
        request: Request = self.hall.asked()
        return request

    # --- answers ----------------------------------------------------------------------

    def test_exactly_once(self: Any) -> None:
        """A request is answered exactly once, however often the server answers."""
        self.client.ask()
        asked = self.asked()
        self.assertEqual(self.client.answers(), [])
        for _ in range(3):
            self.hall.answer(asked, DONE)
        (answer,) = self.client.answers()
        self.assertEqual(answer, {"jsonrpc": "2.0", "id": 1, "result": answer["result"]})

    def test_unchanged(self: Any) -> None:
        """What the server answers arrives as it was said."""
        for id in (1, "a", "é😀", 2**53):
            self.client.ask(id=id)
            self.hall.answer(self.asked(), DONE)
            (answer,) = self.client.answers(id)
            result = answer["result"]
            self.assertEqual({**result, **DONE}, result)

    def test_params_unchanged(self: Any) -> None:
        """So does what the client asks."""
        params = {"name": "x", "arguments": {"ü": [1.5, True, {"deep": None}]}}
        self.client.ask("tools/call", params)
        got = msgspec.json.decode(self.asked().params)
        self.assertEqual({**got, **params}, got)

    def test_errors(self: Any) -> None:
        """A server's error is an answer like any other."""
        self.client.ask()
        body = b'{"code":-32002,"message":"no such thing","data":{"uri":"x:y"}}'
        self.hall.say(Error(self.asked().id, body))
        (answer,) = self.client.answers()
        self.assertEqual(answer["error"], msgspec.json.decode(body))

    def test_ids_of_two_clients(self: Any) -> None:
        """Two clients with equal ids never get each other's answers, in whatever order."""
        other = self.make_client()
        asked = {}
        for name, client in (("one", self.client), ("two", other)):
            client.ask(params={"arguments": {"whose": name}})
            asked[name] = self.asked()
        self.assertNotEqual(asked["one"].id, asked["two"].id)
        for name in ("two", "one"):
            self.hall.answer(asked[name], {"content": [], "whose": name})
        for name, client in (("one", self.client), ("two", other)):
            (answer,) = client.answers()
            self.assertEqual(answer["result"]["whose"], name)

    def test_many_at_once(self: Any) -> None:
        """One client may ask many things at once, and is answered in the server's order."""
        asked = {}
        for id in range(20):
            self.client.ask(id=id)
            asked[id] = self.asked()
        for id in reversed(range(20)):
            self.hall.answer(asked[id], {"content": [], "n": id})
        for id in range(20):
            (answer,) = self.client.answers(id)
            self.assertEqual(answer["result"]["n"], id)

    def test_large(self: Any) -> None:
        """A large answer arrives whole."""
        text = "é" * 700_000
        self.client.ask()
        self.hall.answer(self.asked(), {"content": [{"type": "text", "text": text}]})
        (answer,) = self.client.answers()
        self.assertEqual(answer["result"]["content"][0]["text"], text)

    def test_duplicate(self: Any) -> None:
        """A second request by an id that is open never gets the first one's answer."""
        self.client.ask(params={"arguments": {"n": 1}})
        first = self.asked()
        self.client.ask(params={"arguments": {"n": 2}})
        if self.stands_alone:
            self.hall.answer(self.asked(), {"content": [], "n": 2})
            self.hall.answer(first, {"content": [], "n": 1})
            self.assertEqual([a["result"]["n"] for a in self.client.answers()], [1, 2])
            return
        self.assertEqual(self.hall.wire.take(), [])
        self.hall.answer(first, {"content": [], "n": 1})
        results = [a["result"]["n"] for a in self.client.answers() if "result" in a]
        refusals = [m["error"]["data"]["code"] for m in self.client.heard() if "error" in m]
        self.assertEqual((results, refusals), ([1], ["duplicate-id"]))

    def test_malformed(self: Any) -> None:
        """What is no message is told so, and what comes after it is answered."""
        self.client.put_raw(b"{]")
        (error,) = [m["error"] for m in self.client.heard() if "error" in m]
        self.assertEqual(error["code"], -32700)
        self.client.ask()
        self.hall.answer(self.asked(), DONE)
        self.assertEqual(len(self.client.answers()), 1)

    def test_unknown_method(self: Any) -> None:
        """Methods we do not know are the server's business."""
        self.client.ask("vendor/thing")
        asked = self.asked()
        self.assertEqual(asked.method, "vendor/thing")
        self.hall.answer(asked, DONE)
        self.assertEqual(len(self.client.answers()), 1)

    # --- before the answer ------------------------------------------------------------

    def test_progress(self: Any) -> None:
        """Progress arrives before the answer, in order and under the client's own token."""
        self.client.ask(params={"_meta": {"progressToken": "mine"}})
        asked = self.asked()
        token = msgspec.json.decode(asked.params)["_meta"]["progressToken"]
        self.assertNotEqual(token, "mine")
        for number in range(3):
            params = {"progressToken": token, "progress": number}
            self.hall.say(Notification("notifications/progress", encode_json(params)))
        self.hall.answer(asked, DONE)
        heard = [m for m in self.client.heard() if m.get("id") == 1 or "progress" in str(m)]
        self.assertEqual(
            [(m["params"]["progressToken"], m["params"]["progress"]) for m in heard[:-1]],
            [("mine", 0), ("mine", 1), ("mine", 2)],
        )
        self.assertEqual(heard[-1]["id"], 1)

    def test_progress_of_two_clients(self: Any) -> None:
        """Equal tokens of two clients do not cross either."""
        other = self.make_client()
        for client in (self.client, other):
            client.ask(params={"_meta": {"progressToken": 5}})
        first, second = self.hall.wire.take()
        for number, asked in ((1, first), (2, second)):
            token = msgspec.json.decode(asked.params)["_meta"]["progressToken"]
            params = {"progressToken": token, "progress": number}
            self.hall.say(Notification("notifications/progress", encode_json(params)))
        for number, client in ((1, self.client), (2, other)):
            (said,) = client.said("notifications/progress")
            self.assertEqual(said["params"], {"progressToken": 5, "progress": number})

    # --- giving up --------------------------------------------------------------------

    def test_cancel(self: Any) -> None:
        """A request that is taken back is taken back at the server too, and not answered."""
        self.client.ask()
        asked = self.asked()
        self.client.cancel(1)
        (told,) = self.hall.wire.take()
        self.assertEqual(told.method, "notifications/cancelled")
        self.assertEqual(msgspec.json.decode(told.params)["requestId"], asked.id)
        self.hall.answer(asked, DONE)
        self.assertEqual([a for a in self.client.answers() if "result" in a], [])

    def test_cancel_is_ones_own(self: Any) -> None:
        """Nobody can take another's request back."""
        other = self.make_client()
        other.ask()
        asked = self.asked()
        self.client.ask(id=2)
        second = self.asked()
        self.client.cancel(2)
        (told,) = self.hall.wire.take()
        self.assertEqual(msgspec.json.decode(told.params)["requestId"], second.id)
        if self.era == LEGACY or not self.stands_alone:
            self.client.cancel(1)
            self.assertEqual(self.hall.wire.take(), [])
        self.hall.answer(asked, DONE)
        self.assertEqual(len(other.answers()), 1)

    def test_client_is_lost(self: Any) -> None:
        """What a client that is gone had asked is taken back, where it cannot come for it."""
        self.client.ask()
        asked = self.asked()
        self.client.leave()
        self.hall.clock.advance(0)
        told = self.hall.wire.take()
        if self.cancels_when_lost:
            self.assertEqual([m.method for m in told], ["notifications/cancelled"])
        else:
            self.assertEqual(told, [])
        self.hall.answer(asked, DONE)
        self.assert_serves(self.make_client())

    def assert_serves(self: Any, client: Client) -> None:
        client.ask(id="again")
        self.hall.answer(self.asked(), DONE)
        self.assertEqual(len(client.answers("again")), 1)

    def test_server_is_lost(self: Any) -> None:
        """When the server is gone, those who wait are told why."""
        self.client.ask()
        self.asked()
        self.hall.wire.lose(ServerExited("it crashed", exitStatus=3))
        self.hall.clock.advance(0)
        (answer,) = self.client.answers()
        data = answer["error"]["data"]
        self.assertEqual((data["code"], data["exitStatus"]), ("server-exited", 3))

    # --- back-pressure ----------------------------------------------------------------

    def flood(self: Any, client: Client) -> None:
        """The server says 8 MB in the course of a call of *client*'s, who does not read."""
        client.ask(params={"_meta": {"progressToken": 1}})
        asked = self.asked()
        token = msgspec.json.decode(asked.params)["_meta"]["progressToken"]
        self.hall.clock.advance(1.5)
        client.stop_reading()
        for number in range(FLOOD):
            # Every revision knows _meta; a message beside the progress is not for all.
            params = {"progressToken": token, "progress": number, "_meta": {"x": "x" * 100_000}}
            self.hall.say(Notification("notifications/progress", encode_json(params)))
        self.hall.say(Result(asked.id, encode_json(DONE)))

    def test_slow_client(self: Any) -> None:
        """The server of a client that does not read is held back; nothing is lost or doubled."""
        self.flood(self.client)
        self.assertTrue(self.hall.wire.paused)
        self.assertGreater(len(self.hall.wire._held), FLOOD - 25)
        self.client.read_on()
        self.assertFalse(self.hall.wire.paused)
        said = self.client.said("notifications/progress")
        self.assertEqual([m["params"]["progress"] for m in said], list(range(FLOOD)))
        self.assertEqual(len(self.client.answers()), 1)

    def test_slow_client_beside_another(self: Any) -> None:
        """But not where another waits for the same server, who is served meanwhile."""
        other = self.make_client()
        other.ask(id="other")
        asked = self.asked()
        self.flood(self.client)
        self.assertFalse(self.hall.wire.paused)
        self.hall.answer(asked, DONE)
        self.assertEqual(len(other.answers("other")), 1)

    # --- the server's own words -------------------------------------------------------

    def test_question(self: Any) -> None:
        """What a server asks in the course of a call reaches the client that called."""
        if self.era == MODERN:
            return  # modern servers ask by answering
        self.hall = Hall(scope="session")
        client, other = self.make_client(), self.make_client()
        wire, _ = self.hall.connector.wires
        for each in (client, other):
            each.ask()
        (asked,) = wire.take()
        wire.receive(Request("q", "elicitation/create", b'{"message":"?"}'))
        (question,) = client.said("elicitation/create")
        self.assertEqual(other.said("elicitation/create"), [])
        self.assertEqual(question["params"], {"message": "?"})
        client.answer(question["id"], {"action": "decline"})
        (told,) = wire.take()
        self.assertEqual((told.id, bytes(told.result)), ("q", b'{"action":"decline"}'))
        wire.receive(Result(asked.id, encode_json(DONE)))
        self.assertEqual((len(client.answers()), len(other.answers())), (1, 0))

    def test_question_of_nobody(self: Any) -> None:
        """An answer to what was never asked goes nowhere."""
        if self.era == MODERN:
            return
        self.client.ask()
        self.asked()
        self.client.answer(99, {})
        self.client.answer("q", {})
        self.assertEqual(self.hall.wire.take(), [])

    def test_unsolicited(self: Any) -> None:
        """What a server says to all, all who stay hear."""
        if self.era == MODERN:
            return
        other = self.make_client()
        self.hall.say(Notification("notifications/tools/list_changed"))
        for client in (self.client, other):
            self.assertEqual(len(client.said("notifications/tools/list_changed")), 1)

    # --- time -------------------------------------------------------------------------

    def test_signs_of_life(self: Any) -> None:
        """While nothing is said, something is sent now and then."""
        self.client.ask()
        self.hall.turn(5)
        before = self.client.signs()
        self.hall.turn(25)
        self.assertEqual(self.client.signs() > before, self.keeps_alive)

    def test_drain(self: Any) -> None:
        """A daemon that stops finishes what is open, takes nothing new, and closes."""
        self.client.ask()
        asked = self.asked()
        stopping = self.hall.stop()
        self.client.ask(id="late")
        (late,) = self.client.answers("late")
        self.assertEqual(late["error"]["data"]["code"], "draining")
        self.hall.answer(asked, DONE)
        self.hall.turn(5, 0.05)
        self.assertEqual(len(self.client.answers()), 1)
        self.assertTrue(self.client.gone)
        self.successResultOf(stopping)
