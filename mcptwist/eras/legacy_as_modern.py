"""A legacy server as modern clients see it.

Most exchanges are put to a process that all modern clients of the server share.
A call of a client that may be asked gets a process of its own for the time it
takes (:mod:`mcptwist.eras.leases`), because a legacy server's question carries no
hint of the call it belongs to. When the server asks, the client's exchange ends with
``input_required``, and the call is held until it comes back
(:mod:`mcptwist.eras.heldcall`).

MCP 2026-07-28, *Multi Round-Trip Requests*, *Discovery*, *Subscriptions*; MCP
2025-11-25, *Elicitation*, *Sampling*, *Roots*.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mcptwist.catalog.subscription import Wanted, read_wanted
from mcptwist.company import Crowd
from mcptwist.eras.crossing import Crossing
from mcptwist.eras.held import Held, read_retry
from mcptwist.eras.heldcall import Anew, HeldCall
from mcptwist.eras.inputs import ASKED_BY, INPUT_METHODS, required
from mcptwist.eras.leases import Leases, LeaseSettings
from mcptwist.eras.listening import Listening
from mcptwist.eras.words import discovery
from mcptwist.errors import McpTwistError, MethodNotFound
from mcptwist.exchange import LISTEN, Exchange
from mcptwist.messages import Json, Notification, encode_json, open_fields

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from mcptwist.backend import Backend
    from mcptwist.link import Link


DISCOVER = "server/discover"


class LegacyAsModern:
    """Puts modern clients' exchanges to a legacy server.

    :param crowd: the process that is shared.
    :param held: where calls wait for their clients; of the whole daemon.
    """

    def __init__(
        self,
        backend: Backend,
        crowd: Crowd,
        held: Held,
        clock: IReactorTime,
        identity: dict[str, str],
        settings: LeaseSettings | None = None,
    ) -> None:
        self.backend = backend
        self.held = held
        self.clock = clock
        self.leases = Leases(self, identity, settings or LeaseSettings())
        self.listening: set[Listening] = set()
        self._crowd = crowd

    def begin(self, exchange: Exchange) -> None:
        """Take charge of a modern client's exchange."""
        try:
            self._begin(exchange)
        except McpTwistError as problem:
            exchange.fail(problem)

    def _begin(self, exchange: Exchange) -> None:
        method = exchange.request.method
        if method == DISCOVER:
            self._with_link(exchange, lambda link: self._discover(exchange, link))
        elif method == LISTEN:
            wanted = read_wanted(exchange.request.params)
            self._with_link(exchange, lambda link: self._listen(exchange, wanted, link))
        elif method in INPUT_METHODS:
            self._call(exchange)
        elif method.startswith("tasks/"):
            exchange.fail(MethodNotFound(f"{method} means another thing in the server's era"))
        else:
            Crossing(exchange).begin(self._crowd.supervisor)

    def _discover(self, exchange: Exchange, link: Link) -> None:
        """Tell what the server is; whoever asks that, and may be asked, is about to call."""
        exchange.succeed(discovery(link.welcome))
        declared = _askable(exchange.stay.capabilities)
        if declared:
            self.leases.prepare(declared)

    def _call(self, exchange: Exchange) -> None:
        retry = read_retry(exchange.request.params)
        if retry.state is not None:
            principal, server = exchange.stay.principal, self.backend.name
            call = self.held.take(retry.state, exchange.request, principal, server)
            call.resume(self, exchange, retry.responses)
        else:
            self.call(exchange)

    def call(self, exchange: Exchange) -> None:
        """Put a call to the server for the first time."""
        declared = _askable(exchange.stay.capabilities)
        if declared:
            HeldCall(self, self.leases.take(declared), exchange).begin()
        else:
            Crossing(exchange).begin(self._crowd.supervisor)

    def again(self, exchange: Exchange, requests: dict[str, Any], server: Json) -> None:
        """End *exchange* with inputs that the server wants before it is asked anew."""
        retry = Anew(requests, server)
        principal = exchange.stay.principal
        state = self.held.hold(retry, exchange.request, principal, self.backend.name)
        exchange.succeed(required(requests, state, server))

    def _with_link(self, exchange: Exchange, then: Callable[[Link], None]) -> None:
        def up(link: Link) -> None:
            if not exchange.over:
                then(link)

        waiting: Deferred[Any] = self._crowd.supervisor.when_up()
        waiting.addCallback(up).addErrback(_fail, exchange)

    def _listen(self, exchange: Exchange, wanted: Wanted, link: Link) -> None:
        listening = Listening(exchange, wanted, self._crowd, self.listening.discard)
        self.listening.add(listening)
        listening.begin(link, self.clock)

    def changed(self, notification: Notification) -> None:
        """A call's own process told of a change: those who listen hear of it too."""
        for listening in list(self.listening):
            listening.tell(notification)

    def watched(self) -> set[str]:
        """The resources that somebody subscribed to."""
        return set().union(*(listening.subscriptions for listening in self.listening))

    def end_listening(self) -> None:
        """End all subscriptions in good order."""
        for listening in list(self.listening):
            listening.end()


def _fail(failure: Failure, exchange: Exchange) -> None:
    problem = failure.value
    if not isinstance(problem, McpTwistError):
        problem = McpTwistError("the daemon failed to ask the server; see its log")
    exchange.fail(problem)


def _askable(capabilities: Json) -> bytes:
    """The client's capabilities to be asked, as JSON; empty if it has none."""
    fields = open_fields(capabilities)
    found = {name: fields[name] for name in sorted(ASKED_BY.values()) if name in fields}
    return encode_json(found) if found else b""
