"""What ties one legacy session to one server.

An attachment remembers what the session told the server, so that a process that
is started anew can be told again. A session has a process of its own
(:class:`OwnProcess`), or is a member of a crowd (:class:`Membership`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import Raw
from twisted.python.failure import Failure

from mcptwist.company import LEVELS, Company, Crowd, Member, remind, text_member
from mcptwist.eras.revisions import revise, revised, said
from mcptwist.errors import (
    EraMismatch,
    InvalidMessage,
    InvalidParams,
    McpTwistError,
    Overloaded,
    ServerMisbehaved,
)
from mcptwist.exchange import Exchange
from mcptwist.messages import Answer, Json, Notification, Result, encode_json, open_fields
from mcptwist.negotiation import agree, read_hello
from mcptwist.opening import Handshake
from mcptwist.passing import pass_on

if TYPE_CHECKING:
    from mcptwist.backend import Backend
    from mcptwist.link import Link
    from mcptwist.session import Session
    from mcptwist.supervisor import Supervisor

_SUBSCRIPTIONS = 10_000


class Attachment:
    """What ties one legacy session to one server.

    :ivar level: the log level the session set.
    :ivar subscriptions: the URIs it subscribed to.
    :ivar owns_process: whether the process is there for this session alone.
    """

    supervisor: Supervisor
    subscriptions: set[str]
    owns_process = False

    def __init__(self, session: Session, backend: Backend) -> None:
        self.session = session
        self.backend = backend
        self.level: str | None = None
        self.subscriptions = set()

    def begin(self, exchange: Exchange) -> None:
        """Put the session's *exchange* to the server."""
        method = exchange.request.method
        if method == "initialize":
            self.greet(exchange)
        elif method == "logging/setLevel":
            self._level(exchange)
        elif method == "resources/subscribe":
            self._subscribe(exchange)
        elif method == "resources/unsubscribe":
            self._unsubscribe(exchange)
        else:
            self.put(exchange)

    def put(self, exchange: Exchange) -> None:
        """Put an exchange to the server as it is."""
        self.supervisor.begin(exchange)

    def enquire(self, exchange: Exchange) -> None:
        """Put an exchange to the server whose answer is left in the server's own words."""
        self.supervisor.begin(exchange)

    def overhear(self, notification: Notification) -> None:
        """The client said something that wants no answer."""

    def leave(self) -> None:
        """The session is over."""

    def greet(self, exchange: Exchange) -> None:
        """Answer ``initialize`` from the server's own welcome."""

        def down(failure: Failure) -> None:
            problem = failure.value
            if isinstance(problem, EraMismatch):
                self.backend.legacy_refused(exchange, problem)
            elif isinstance(problem, McpTwistError):
                exchange.fail(problem)
            else:
                exchange.fail(McpTwistError("the daemon failed to ask the server; see its log"))

        waiting = self.supervisor.when_up()
        waiting.addCallbacks(lambda link: exchange.succeed(self.welcome(link)), down)

    def welcome(self, link: Link) -> Any:
        """The result of ``initialize`` for this session."""
        raise NotImplementedError

    def set_level(self, exchange: Exchange, level: str) -> None:
        """The session wants log messages from *level* on."""
        self.put(exchange)

    def _level(self, exchange: Exchange) -> None:
        level = text_member(exchange.request.params, "level")
        if level is None or level not in LEVELS:
            exchange.fail(InvalidParams(f"level must be one of {', '.join(LEVELS)}"))
            return
        self.level = level
        self.set_level(exchange, level)

    def _subscribe(self, exchange: Exchange) -> None:
        uri = text_member(exchange.request.params, "uri")
        if len(self.subscriptions) >= _SUBSCRIPTIONS:
            self.backend.tally.refused += 1
            exchange.fail(
                Overloaded(
                    f"{_SUBSCRIPTIONS} resources are subscribed to already; end a subscription",
                    limit="subscriptions",
                )
            )
            return
        if uri is not None:
            _once_accepted(exchange, partial(self.subscriptions.add, uri))
        self.put(exchange)

    def _unsubscribe(self, exchange: Exchange) -> None:
        uri = text_member(exchange.request.params, "uri")
        forget = partial(self.subscriptions.discard, uri or "")
        forget()
        _once_accepted(exchange, forget)  # for one that is being made meanwhile
        if self.others_want(uri):
            exchange.succeed({})
        else:
            self.put(exchange)

    def others_want(self, uri: str | None) -> bool:
        """Whether the server must go on telling of that resource."""
        return False


def _once_accepted(exchange: Exchange, do: Callable[[], None]) -> None:
    """Have something done when the server has granted what it is asked."""

    def see(exchange: Exchange, answer: Answer) -> Answer:
        if isinstance(answer, Result):
            do()
        return answer

    exchange.see_through(see)


class OwnProcess(Attachment, Company):
    """A session with a process of its own, opened with the client's own handshake."""

    owns_process = True

    def __init__(self, backend: Backend, session: Session) -> None:
        Attachment.__init__(self, session, backend)
        Company.__init__(self, backend, Handshake(session.hello), restart=backend.settings.revive)

    def welcome(self, link: Link) -> Any:
        """The server's own words: it spoke to this client and to no other."""
        self.session.revision = link.revision
        return Raw(link.welcome)

    def overhear(self, notification: Notification) -> None:
        """Pass it on."""
        if self.supervisor.link is not None:
            self.supervisor.link.tell(notification)

    def told(self, link: Link, notification: Notification) -> None:
        """Everything this process says is for this session."""
        self.backend.changed(notification.method, self.session)
        self.session.tell(self.backend.name, notification)

    def questioned(self, link: Link, question: Exchange) -> None:
        """Everything this process asks is for this session."""
        self.session.begin(question)

    def up(self, link: Link) -> None:
        """Tell a process that was started anew what its predecessor knew."""
        remind(link, self.level, self.subscriptions)
        self.backend.came_up(link, self.session)

    def leave(self) -> None:
        """Nobody needs the process any more."""
        self.backend.departing(self.supervisor.stop())


class Membership(Attachment, Member):
    """A session's part in a process that it shares."""

    def __init__(self, session: Session, crowd: Crowd) -> None:
        Attachment.__init__(self, session, crowd.backend)
        self.stay = session
        self.crowd = crowd
        self.supervisor = crowd.supervisor
        crowd.members.add(self)

    def put(self, exchange: Exchange) -> None:
        """Put it to the process; its answer loses what the client's revision does not know."""
        link = self.supervisor.link
        if link is None or link.revision <= self.session.revision:
            self.supervisor.begin(exchange)
        else:
            edit = partial(_in_older_words, exchange.request.method, self.session.revision)
            heard = partial(said, revision=self.session.revision)
            pass_on(exchange, self.supervisor.begin, exchange.request.params, edit, heard)

    def welcome(self, link: Link) -> Any:
        """The server's words, in the revision this client and the server can both do."""
        fields = open_fields(link.welcome)
        revision = agree(read_hello(self.session.hello).protocolVersion, link.revision)
        self.session.revision = revision
        fields["protocolVersion"] = Raw(encode_json(revision))
        if revision < link.revision:
            revise("initialize", fields, revision)
        return fields

    def set_level(self, exchange: Exchange, level: str) -> None:
        """The process is set to what the most curious wants; each hears what it asked for."""
        exchange.succeed({})
        if self.supervisor.link is not None:
            remind(self.supervisor.link, self.crowd.level(), ())

    def others_want(self, uri: str | None) -> bool:
        """Whether another member subscribed to it."""
        return any(uri in member.subscriptions for member in self.crowd.members)

    def tell(self, notification: Notification) -> None:
        """The process said something that is for this session too."""
        heard = said(notification, self.session.revision)
        if heard is not None:
            self.session.tell(self.backend.name, heard)

    def leave(self) -> None:
        """The session is over."""
        self.crowd.leave(self)


def _in_older_words(method: str, revision: str, result: Json) -> Json:
    """A server's result as a client of an older revision reads it."""
    try:
        return revised(method, result, revision)
    except InvalidMessage as problem:
        raise ServerMisbehaved(f"its result: {problem.message}") from None
