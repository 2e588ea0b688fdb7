"""A modern server as legacy clients see it.

Each request of a session carries what the client said when it shook hands. A
result that requires inputs becomes the questions a legacy client knows, asked on
the stream of its call; with the answers the call is made again
(:class:`Interview`). Change notifications come from a subscription that the
daemon keeps for the session.

MCP 2026-07-28, *Multi Round-Trip Requests*, *Subscriptions*; MCP 2025-11-25,
*Lifecycle*, *Logging*.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import Raw
from zope.interface import implementer

from mcptwist.attachment import Attachment
from mcptwist.awaited import Awaited, Refused
from mcptwist.catalog.subscription import ACKNOWLEDGED, Wanted
from mcptwist.company import Assembly
from mcptwist.eras.inputs import (
    ASKED_BY,
    InputRequest,
    inputs_required,
    lacking,
    question_params,
    retried,
)
from mcptwist.eras.revisions import revised, said
from mcptwist.eras.words import legacy_error, legacy_result, modern_params, unsolicited, welcome
from mcptwist.errors import ClientError, McpTwistError, MethodNotFound, ServerMisbehaved
from mcptwist.exchange import LISTEN, SUBSCRIPTION_ID, Behind, Exchange
from mcptwist.interfaces import IReply
from mcptwist.messages import Answer, Json, Notification, Request, Result, encode_json, open_fields
from mcptwist.negotiation import read_hello
from mcptwist.passing import pass_on
from mcptwist.session import Visit
from mcptwist.versions import LATEST, LATEST_LEGACY

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from mcptwist.link import Link
    from mcptwist.session import Session

_ROUNDS = 32
"""How often one call may require inputs before that is taken for a loop."""

DEFAULT_LEVEL = "info"
"""The log level of a session that set none; legacy servers send what they like then."""


class Interpreted(Attachment):
    """A legacy session at a modern server.

    :param assembly: those who ask the server's modern process.
    :param alone: whether that process is there for this session only.
    """

    def __init__(self, session: Session, assembly: Assembly, alone: bool = False) -> None:
        super().__init__(session, assembly.backend)
        self.owns_process = alone
        self.assembly = assembly
        self.supervisor = assembly.supervisor
        self._listening: Exchange | None = None
        self._logs = False
        assembly.interpreted.add(self)

    def put(self, exchange: Exchange) -> None:
        """Put it to the server in its own words."""
        if self._listening is None and self.supervisor.link is not None:
            self._prepare(self.supervisor.link)
        if exchange.request.method in ("resources/subscribe", "resources/unsubscribe"):
            exchange.succeed({})
            self._listen_anew()
        elif exchange.request.method.startswith("tasks/"):
            method = exchange.request.method
            exchange.fail(MethodNotFound(f"{method} means another thing in the server's era"))
        else:
            Interview(self, exchange).begin()

    def enquire(self, exchange: Exchange) -> None:
        """Put it to the server in its own words, and leave the answer in them."""
        pass_on(exchange, self.supervisor.begin, self.envelope(exchange.request.params))

    def begin_call(self, exchange: Exchange) -> None:
        """Put one round of a call to the modern process."""
        self.supervisor.begin(exchange)

    def welcome(self, link: Link) -> Any:
        """The result of ``initialize``, made from the server's discovery."""
        found = welcome(link.welcome, read_hello(self.session.hello).protocolVersion)
        self.session.revision = found["protocolVersion"]
        self._prepare(link)
        return found

    def _prepare(self, link: Link) -> None:
        """The server is up: see whether it logs, and listen to it."""
        capabilities = open_fields(open_fields(link.welcome).get("capabilities", b""))
        self._logs = "logging" in capabilities
        self.session.wants_log = self._logs
        if self._listening is None:
            self.listen(link)

    def set_level(self, exchange: Exchange, level: str) -> None:
        """Remember it; each request carries it."""
        exchange.succeed({})

    def envelope(self, params: Json) -> Json:
        """A request's params with what the client said when it shook hands."""
        level = (self.level or DEFAULT_LEVEL) if self._logs else None
        return modern_params(params, self.session.capabilities, self.session.client, level)

    def question(self, request: InputRequest) -> bytes:
        """What the server asks, in words that the session's client knows."""
        id = f"{self.backend.name}-{next(self.backend.elicitations)}"
        return question_params(request.method, request.params, self.session.revision, id)

    def leave(self) -> None:
        """The session is over."""
        self.assembly.interpreted.discard(self)
        self._stop_listening()
        if self.owns_process:
            self.backend.departing(self.supervisor.stop())

    # --- what the server tells of its own accord --------------------------------------

    def listen(self, link: Link) -> None:
        """Subscribe to what a legacy session is told unasked."""
        self._stop_listening()
        wanted = Wanted(True, True, True, sorted(self.subscriptions))
        awaited = Awaited(self._heard)
        awaited.answer.addCallbacks(self._heard_out, self._not_listening)
        params = self.envelope(encode_json({"notifications": wanted}))
        visit = Visit(LATEST, b"", b"{}", self.session.principal)
        self._listening = awaited.begin(link, LISTEN, params, visit)

    def _listen_anew(self) -> None:
        if self.supervisor.link is not None:
            self.listen(self.supervisor.link)

    def _stop_listening(self) -> None:
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.cancel("another subscription takes its place")

    def _heard(self, notification: Notification) -> None:
        if notification.method != ACKNOWLEDGED:
            owner = self.session if self.owns_process else None
            self.backend.changed(notification.method, owner)
            params = unsolicited(notification.params, SUBSCRIPTION_ID)
            self.session.tell(self.backend.name, Notification(notification.method, params))

    def _heard_out(self, result: Json) -> None:
        """The server ended it in good order; it is asked again with the next request."""
        self._listening = None

    def _not_listening(self, failure: Failure) -> None:
        """A server need not know subscriptions; it is asked again when it is up again."""
        failure.trap(Refused, McpTwistError)


@implementer(IReply)
class Interview:
    """One call of a legacy client, over as many rounds as the modern server requires.

    :param front: the client's exchange.
    """

    def __init__(self, session: Interpreted, front: Exchange) -> None:
        self._session = session
        self._front = front
        self._params = session.envelope(front.request.params)
        self._behind: Exchange | None = None
        self._rounds = 0
        self._open: dict[str, Exchange] = {}
        self._responses: dict[str, Json] = {}
        self._state: Raw | None = None

    def begin(self) -> None:
        """Put it to the server."""
        self._front.in_charge(self._cancelled)
        self._ask(self._params)

    def _ask(self, params: Json) -> None:
        front = self._front
        self._behind = Exchange(Request(0, front.request.method, params), self, front.stay)
        front.source = Behind(self._behind)
        self._session.begin_call(self._behind)

    def _cancelled(self, reason: str) -> None:
        """The client took its call back, and with it all that was asked of it."""
        if self._behind is not None:
            self._behind.cancel(reason)
        questions, self._open = self._open, {}
        for question in questions.values():
            question.cancel(reason)

    # --- what the server says ---------------------------------------------------------

    def notified(self, exchange: Exchange, notification: Notification) -> None:
        """Pass it on."""
        heard = said(notification, self._session.session.revision)
        if heard is not None:
            self._front.notify(heard)

    def asked(self, exchange: Exchange, question: Exchange) -> None:
        """A modern server may not ask this way."""
        question.fail(McpTwistError("a modern server asks by input_required"))

    def cancelled(self, exchange: Exchange, reason: str) -> None:
        """It was cancelled from this side."""

    def answered(self, exchange: Exchange, answer: Answer) -> None:
        """The call is over, or requires inputs."""
        try:
            if isinstance(answer, Result):
                self._result(answer)
            else:
                self._front.answer(legacy_error(answer))
        except McpTwistError as problem:
            self._front.fail(_misbehaved(self._session.backend.name, problem))

    def _result(self, answer: Result) -> None:
        inputs = inputs_required(answer.result)
        if inputs is None:
            self._deliver(answer)
            return
        self._rounds += 1
        if self._rounds > _ROUNDS:
            raise ServerMisbehaved(f"it required inputs more than {_ROUNDS} times")
        self._state = inputs.state
        self._responses = {}
        self._put_all(inputs.requests)

    def _deliver(self, answer: Result) -> None:
        method, revision = self._front.request.method, self._session.session.revision
        result = legacy_result(method, answer.result)
        if revision < LATEST_LEGACY:
            result = revised(method, result, revision)
        self._front.answer(Result(answer.id, result))

    # --- asking the client ------------------------------------------------------------

    def _put_all(self, requests: dict[str, InputRequest]) -> None:
        declared = self._session.session.capabilities
        for request in requests.values():
            if request.method not in ASKED_BY or lacking(declared, request.method, request.params):
                raise ServerMisbehaved(f"it asks {request.method}, which the client cannot answer")
        if not requests:
            self._go_on()
            return
        for key, request in requests.items():
            question = Request(0, request.method, self._session.question(request))
            self._open[key] = Exchange(question, _Collecting(partial(self._collected, key)))
        for question_exchange in list(self._open.values()):
            self._front.ask(question_exchange)

    def _collected(self, key: str, answer: Answer) -> None:
        if self._open.pop(key, None) is None or self._front.over:
            return
        if not isinstance(answer, Result):
            self._refused(answer)
            return
        self._responses[key] = answer.result
        if not self._open:
            self._go_on()

    def _refused(self, answer: Answer) -> None:
        """The client answered a question with an error: the call cannot go on."""
        questions, self._open = self._open, {}
        for question in questions.values():
            question.cancel("another input was refused")
        self._front.answer(answer)

    def _go_on(self) -> None:
        self._ask(retried(self._params, self._responses, self._state))


@implementer(IReply)
class _Collecting:
    """The way back of a question: to the interview it belongs to."""

    def __init__(self, collected: Any) -> None:
        self._collected = collected

    def notified(self, exchange: Exchange, notification: Notification) -> None:
        """Progress of an answer has nobody to go to: a modern server is not waiting."""

    def asked(self, exchange: Exchange, question: Exchange) -> None:
        """A question is not answered with a question."""
        question.fail(McpTwistError("a question may not be answered with a question"))

    def answered(self, exchange: Exchange, answer: Answer) -> None:
        """The client's answer."""
        self._collected(answer)

    def cancelled(self, exchange: Exchange, reason: str) -> None:
        """It was taken back from this side."""


def _misbehaved(server: str, problem: McpTwistError) -> McpTwistError:
    if isinstance(problem, ClientError):
        return ServerMisbehaved(f"{server}: {problem.message}", server=server)
    return problem
