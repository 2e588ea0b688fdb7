"""A configured server, and how clients share it.

A :class:`Backend` decides which link an exchange is put on: by the era of the
client, and by the server's scope. ``shared``: one process for all; ``pool``:
several, each client keeping to one; ``session``: one for each legacy session,
opened with that client's own handshake, so that it may be asked back.

A server may be asked in both eras and then has a process for each, because a
process is locked to the era of its first request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw
from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from mcptwist.errors import (
    EraMismatch,
    InvalidMessage,
    InvalidParams,
    McpTwistError,
    MethodNotFound,
)
from mcptwist.exchange import Exchange, ask
from mcptwist.interfaces import IAnswerer, IConnector
from mcptwist.link import Link
from mcptwist.messages import Json, Notification, encode_json, open_fields
from mcptwist.negotiation import agree, hello_params, read_hello
from mcptwist.opening import Discovering, Handshake
from mcptwist.supervisor import UP, Supervisor, SupervisorSettings
from mcptwist.versions import MODERN, REMOVED

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from mcptwist.patience import Patience
    from mcptwist.session import Session

LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
SHARED, POOL, SESSION = "shared", "pool", "session"
_MESSAGE = "notifications/message"
_UPDATED = "notifications/resources/updated"
_SUBSCRIPTIONS = 10_000


class BackendSettings(msgspec.Struct, frozen=True):
    """How a server is shared and kept.

    :ivar scope: ``shared``, ``pool`` or ``session``.
    :ivar pool: how many processes of one era a pool has.
    :ivar lazy: whether it is started when first asked rather than with the daemon.
    :ivar eras: which eras it may be asked in.
    """

    scope: str = SHARED
    pool: int = 1
    lazy: bool = True
    eras: tuple[str, ...] = ("legacy", "modern")
    supervision: SupervisorSettings = SupervisorSettings()


@implementer(IAnswerer)
class Backend:
    """One configured server.

    :param name: as configured; a segment of URLs and the prefix of its tools.
    :param connector: makes wires to it.
    :param make_patience: makes one back-off for each process.
    :param identity: name and version of the daemon, told to the server where no
        single client stands behind the link.
    :ivar unattributed: log messages dropped because nobody could tell whose
        call on a shared process they belong to.
    """

    log = Logger()

    def __init__(
        self,
        name: str,
        connector: IConnector,
        clock: IReactorTime,
        make_patience: Callable[[], Patience],
        identity: dict[str, str],
        settings: BackendSettings | None = None,
    ) -> None:
        self.name = name
        self.settings = settings or BackendSettings()
        self.unattributed = 0
        self._connector = connector
        self._clock = clock
        self._make_patience = make_patience
        self._attachments: dict[Session, Attachment] = {}
        size = self.settings.pool if self.settings.scope == POOL else 1
        self._modern = [Assembly(self, Discovering(identity)) for _ in range(size)]
        hello = hello_params({}, identity)
        self._crowds = [Crowd(self, Handshake(hello)) for _ in range(size)]
        self._stopped: McpTwistError | None = None

    def __repr__(self) -> str:
        return f"<Backend {self.name} {self.settings.scope}>"

    # --- asking -----------------------------------------------------------------------

    def begin(self, exchange: Exchange) -> None:
        """Put *exchange* to the process that serves its client."""
        stay = exchange.stay
        if stay.era not in self.settings.eras:
            exchange.fail(_wrong_era(self.name, stay.era))
        elif stay.era == MODERN:
            self._begin_modern(exchange)
        else:
            self.attach(stay).begin(exchange)

    def _begin_modern(self, exchange: Exchange) -> None:
        if exchange.request.method in REMOVED:
            exchange.fail(
                MethodNotFound(f"{exchange.request.method} is not in revision 2026-07-28 any more")
            )
        elif len(self._modern) == 1:
            self._modern[0].supervisor.begin(exchange)
        else:
            min(self._modern, key=lambda a: a.load()).supervisor.begin(exchange)

    def attach(self, session: Session) -> Attachment:
        """What ties a legacy session to this server; made on first use."""
        attachment = self._attachments.get(session)
        if attachment is None:
            attachment = self._attachment(session)
            self._attachments[session] = attachment
        return attachment

    def _attachment(self, session: Session) -> Attachment:
        if self.settings.scope == SESSION:
            return OwnProcess(self, session)
        crowd = min(self._crowds, key=len)
        return Membership(session, crowd)

    def detach(self, session: Session) -> None:
        """That session is over."""
        attachment = self._attachments.pop(session, None)
        if attachment is not None:
            attachment.leave()

    def overhear(self, session: Session, notification: Notification) -> None:
        """A client said something that wants no answer."""
        attachment = self._attachments.get(session)
        if attachment is not None:
            attachment.overhear(notification)

    # --- keeping it up ----------------------------------------------------------------

    def start(self) -> None:
        """Start what shall not wait to be asked: in the legacy era, whose clients are the norm."""
        if self.settings.lazy or self.settings.scope == SESSION:
            return
        for crowd in self._crowds:
            crowd.supervisor.when_up().addErrback(self._not_up)

    def _not_up(self, failure: Failure) -> None:
        self.log.warn("{server}: {reason}", server=self.name, reason=failure.getErrorMessage())

    def supervise(self, opening: Any, company: Any, restart: bool = True) -> Supervisor:
        """A supervisor for one more process of this server."""
        supervision = self.settings.supervision
        if not restart:
            supervision = msgspec.structs.replace(supervision, restart=False)
        return Supervisor(
            self.name,
            self._connector,
            opening,
            company,
            self._make_patience(),
            self._clock,
            supervision,
        )

    def supervisors(self) -> Iterator[Supervisor]:
        """Those of all its processes."""
        for company in (*self._modern, *self._crowds):
            yield company.supervisor
        for attachment in list(self._attachments.values()):
            if isinstance(attachment, OwnProcess):
                yield attachment.supervisor

    def stop(self, reason: McpTwistError | None = None) -> Deferred[None]:
        """Stop every process; fires when none is left."""
        stopping = [supervisor.stop(reason) for supervisor in self.supervisors()]
        return DeferredList(stopping).addCallback(lambda _: None)

    def restart(self) -> None:
        """Replace every process that is up."""
        for supervisor in self.supervisors():
            if supervisor.state == UP:
                supervisor.restart()

    def end_listening(self) -> None:
        """End all modern subscriptions in good order."""
        for supervisor in self.supervisors():
            if supervisor.link is not None:
                supervisor.link.end_listening()

    def in_flight(self) -> int:
        """How many exchanges wait for it."""
        return sum(len(s.link) for s in self.supervisors() if s.link is not None)

    def trouble(self) -> McpTwistError | None:
        """Why it cannot be asked at present, if so."""
        troubles = [s.reason for s in self.supervisors() if s.link is None and s.reason is not None]
        up = any(s.state == UP for s in self.supervisors())
        real = [t for t in troubles if not isinstance(t, EraMismatch)]
        return real[0] if real and not up else None


class Company:
    """What those who listen to one process have in common."""

    def __init__(self, backend: Backend, opening: Any, restart: bool = True) -> None:
        self.backend = backend
        self.supervisor = backend.supervise(opening, self, restart)

    def admit(self, link: Link, exchange: Exchange) -> None:
        """May it be asked? By default, yes."""

    def up(self, link: Link) -> None:
        """A process is up; by default it needs to be told nothing."""

    def load(self) -> int:
        """How many exchanges wait for the process."""
        return 0 if self.supervisor.link is None else len(self.supervisor.link)


class Assembly(Company):
    """Those who ask one modern process: strangers, each for one exchange."""

    def admit(self, link: Link, exchange: Exchange) -> None:
        """Hold mirrored headers against the tool's schema, where the client's wire has headers."""
        request = exchange.request
        mirror = getattr(exchange.stay, "mirror", None)
        if mirror is None or not link.mirroring or request.method != "tools/call":
            return
        name = _member(request.params, "name")
        if name in link.mirroring:
            mirror(link.mirroring[name], request.params)

    def told(self, link: Link, notification: Notification) -> None:
        """A log message without an addressee goes to the one call that wants any.

        ``notifications/message`` carries nothing to correlate it by (MCP
        2026-07-28, *Logging*), and another's log is nobody's business.
        """
        wanting = [e for e in link.open_exchanges() if getattr(e.stay, "wants_log", False)]
        if notification.method == _MESSAGE and len(wanting) == 1:
            wanting[0].notify(notification)
        else:
            self.backend.unattributed += 1

    def questioned(self, link: Link, question: Exchange) -> None:
        """A modern server may not ask."""
        question.fail(MethodNotFound("in revision 2026-07-28 a server asks by input_required"))


class Attachment:
    """What ties one legacy session to one server.

    It remembers what the session told the server, so that a process that is
    started anew can be told again.
    """

    supervisor: Supervisor

    def __init__(self, session: Session, server: str) -> None:
        self.session = session
        self.server = server
        self.level: str | None = None
        self.subscriptions: set[str] = set()

    def begin(self, exchange: Exchange) -> None:
        """Put the session's *exchange* to the server."""
        method = exchange.request.method
        if method == "initialize":
            self._greet(exchange)
            return
        if method == "logging/setLevel":
            if not self._set_level(exchange):
                return
        elif method == "resources/subscribe":
            self._subscribe(exchange)
        elif method == "resources/unsubscribe" and self._unsubscribe(exchange):
            return
        self.supervisor.begin(exchange)

    def overhear(self, notification: Notification) -> None:
        """The client said something that wants no answer."""

    def leave(self) -> None:
        """The session is over."""

    def _greet(self, exchange: Exchange) -> None:
        """Answer ``initialize`` from the server's own welcome."""

        def up(link: Link) -> None:
            exchange.succeed(self.welcome(link))

        def down(failure: Failure) -> None:
            problem = failure.value
            if not isinstance(problem, McpTwistError):
                problem = McpTwistError("the daemon failed to ask the server; see its log")
            exchange.fail(problem)

        waiting = self.supervisor.when_up()
        waiting.addCallbacks(up, down)

    def welcome(self, link: Link) -> Any:
        """The result of ``initialize`` for this session."""
        fields = open_fields(link.welcome)
        revision = agree(read_hello(self.session.hello).protocolVersion, link.revision)
        self.session.revision = revision
        fields["protocolVersion"] = Raw(encode_json(revision))
        return fields

    def _set_level(self, exchange: Exchange) -> bool:
        level = _member(exchange.request.params, "level")
        if level not in LEVELS:
            exchange.fail(InvalidParams(f"level must be one of {', '.join(LEVELS)}"))
            return False
        self.level = level
        return True

    def _subscribe(self, exchange: Exchange) -> None:
        uri = _member(exchange.request.params, "uri")
        if uri is not None and len(self.subscriptions) < _SUBSCRIPTIONS:
            self.subscriptions.add(uri)

    def _unsubscribe(self, exchange: Exchange) -> bool:
        """Forget a subscription; whether the server must not be told, for others have it."""
        uri = _member(exchange.request.params, "uri")
        self.subscriptions.discard(uri or "")
        return False


class OwnProcess(Attachment, Company):
    """A session with a process of its own, opened with the client's own handshake."""

    def __init__(self, backend: Backend, session: Session) -> None:
        Attachment.__init__(self, session, backend.name)
        Company.__init__(self, backend, Handshake(session.hello), restart=False)

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
        self.session.tell(self.server, notification)

    def questioned(self, link: Link, question: Exchange) -> None:
        """Everything this process asks is for this session."""
        self.session.begin(question)

    def up(self, link: Link) -> None:
        """Tell a process that was started anew what its predecessor knew."""
        _remind(link, self.level, self.subscriptions)

    def leave(self) -> None:
        """Nobody needs the process any more."""
        self.supervisor.stop()


class Membership(Attachment):
    """A session's part in a process that it shares."""

    def __init__(self, session: Session, crowd: Crowd) -> None:
        super().__init__(session, crowd.backend.name)
        self.crowd = crowd
        self.supervisor = crowd.supervisor
        crowd.members.add(self)

    def _set_level(self, exchange: Exchange) -> bool:
        """The process is set to what the most curious wants; each hears what it asked for."""
        if super()._set_level(exchange):
            exchange.succeed({})
            if self.supervisor.link is not None:
                _remind(self.supervisor.link, self.crowd.level(), ())
        return False

    def _unsubscribe(self, exchange: Exchange) -> bool:
        super()._unsubscribe(exchange)
        uri = _member(exchange.request.params, "uri")
        if any(uri in member.subscriptions for member in self.crowd.members):
            exchange.succeed({})
            return True
        return False

    def leave(self) -> None:
        """Unsubscribe from what nobody else wants."""
        self.crowd.members.discard(self)
        link = self.supervisor.link
        if link is None:
            return
        for uri in self.subscriptions - self.crowd.subscriptions():
            _quietly(ask(link, "resources/unsubscribe", encode_json({"uri": uri})))


class Crowd(Company):
    """Those who share one legacy process.

    It is offered no capability to ask, for a question could not be brought to
    the one it is meant for.
    """

    def __init__(self, backend: Backend, opening: Any) -> None:
        self.members: set[Membership] = set()
        super().__init__(backend, opening)

    def __len__(self) -> int:
        return len(self.members)

    def level(self) -> str | None:
        """The least severe level that anybody wants."""
        wanted = [m.level for m in self.members if m.level is not None]
        return min(wanted, key=LEVELS.index) if wanted else None

    def subscriptions(self) -> set[str]:
        """What anybody subscribed to."""
        return set().union(*(member.subscriptions for member in self.members))

    def up(self, link: Link) -> None:
        """Tell a process that was started anew what its predecessor knew."""
        _remind(link, self.level(), self.subscriptions())

    def told(self, link: Link, notification: Notification) -> None:
        """Bring it to those it concerns."""
        if notification.method == _MESSAGE:
            self._log_message(link, notification)
        elif notification.method == _UPDATED:
            uri = _member(notification.params, "uri")
            self._tell([m for m in self.members if uri in m.subscriptions], notification)
        else:
            self._tell(list(self.members), notification)

    def questioned(self, link: Link, question: Exchange) -> None:
        """Nobody can tell whom it is meant for."""
        question.fail(
            MethodNotFound(
                f"{self.backend.name} is shared between clients and was offered no capability "
                'to ask; set its scope to "session"'
            )
        )

    def _log_message(self, link: Link, notification: Notification) -> None:
        """A log message goes to the only one who has a call open, or to all if nobody has."""
        level = _member(notification.params, "level")
        stays = {e.stay for e in link.open_exchanges() if e.stay is not None}
        hearers = [m for m in self.members if _wants(m, level)]
        if stays:
            hearers = [m for m in hearers if m.session in stays]
        if len(stays) > 1:
            self.backend.unattributed += 1
        else:
            self._tell(hearers, notification)

    def _tell(self, members: list[Membership], notification: Notification) -> None:
        for member in members:
            member.session.tell(self.backend.name, notification)


def _wants(member: Membership, level: str | None) -> bool:
    if member.level is None or level not in LEVELS:
        return True
    return LEVELS.index(level) >= LEVELS.index(member.level)


def _remind(link: Link, level: str | None, subscriptions: Any) -> None:
    if level is not None:
        _quietly(ask(link, "logging/setLevel", encode_json({"level": level})))
    for uri in subscriptions:
        _quietly(ask(link, "resources/subscribe", encode_json({"uri": uri})))


def _quietly(answer: Deferred[Json]) -> None:
    """What is only a courtesy to the server may fail."""
    answer.addErrback(lambda _: None)


def _member(params: Json, name: str) -> str | None:
    """A string member of params, opened."""
    try:
        raw = open_fields(params).get(name)
        value = None if raw is None else msgspec.json.decode(raw)
    except (InvalidMessage, msgspec.DecodeError):
        return None
    return value if isinstance(value, str) else None


def _wrong_era(server: str, era: str) -> EraMismatch:
    return EraMismatch(
        f"{server} is configured not to be asked in the {era} revisions of MCP",
        server=server,
        era=era,
    )
