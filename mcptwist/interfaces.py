"""Every seam of the house, with what each side promises.

Words: *told* things are past participles (``received``, ``lost``), *asked*
things are imperatives (``send``, ``close``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.web.iweb import IResponse

    from mcptwist.errors import ClientError, EraMismatch, McpTwistError
    from mcptwist.exchange import Exchange
    from mcptwist.messages import Answer, Message, Notification
    from mcptwist.session import Session


class IWire(Interface):
    """A live, ordered, two-way carrier of messages to one far end.

    It frames and unframes and knows no MCP method. What is sent arrives in
    order or not at all. It speaks to exactly one :class:`IWireReader`.
    """

    description = Attribute("For people and logs, such as ``pid 4711``; no secret in it.")
    backlog = Attribute("Bytes sent that the far end has not taken yet (an int).")

    def send(message: Message) -> None:
        """Send *message*. After the wire was lost this does nothing: the reader knows."""

    def pause() -> None:
        """Stop reading; nothing more is ``received`` (but for what is in hand) until resumed."""

    def resume() -> None:
        """Read on."""

    def close() -> Deferred[None]:
        """End it in good order, by force where patience ends.

        :return: fires with ``None`` when nothing of the far end is left. Asking
            twice is the same as asking once. ``lost`` is told all the same.
        """


class ITransferable(IWire):
    """A wire that can be given another reader: one to a far end that takes long to be had anew."""

    def hand_over(reader: IWireReader) -> None:
        """Speak to *reader* from now on."""


class IHostKeys(Interface):
    """Whoever knows the keys of servers."""

    def judge(host: str, port: int, key: bytes, vouched: bool) -> None:
        """A server shows a key in the handshake; nothing was said to it yet.

        :param key: its SubjectPublicKeyInfo in DER.
        :param vouched: whether its certificate is trusted, and has the host's name.
        :raises HostNotTrusted: it is not to be spoken to.
        """


class IAdmission(Interface):
    """Whoever knows how to be let in at one far end over HTTP, and nowhere else."""

    secrets = Attribute("What must not be shown of what is sent (a collection of str).")
    asks_person = Attribute("Whether a person is being asked to let us in (a bool).")

    def headers(
        method: str, url: str, sent: Sequence[tuple[bytes, bytes]] = (), body: bytes = b""
    ) -> Deferred[list[tuple[bytes, bytes]]]:
        """What a request is to carry; nothing before it was asked for, or for another origin.

        :param sent: the headers it has already.
        :return: fails with ``SignInFailed``.
        """

    def come(method: str, url: str) -> Deferred[list[tuple[bytes, bytes]]]:
        """The same for a server that cannot say first that it wants to know who is calling.

        :return: fires with nothing if it does not want to; fails with ``SignInFailed``.
        """

    def doubt() -> None:
        """What was carried was not good enough; have something else the next time."""

    def sign() -> bool:
        """The far end takes requests that are signed, and what else was carried did not do.

        :return: whether they are signed from now on, and were not before.
        """

    def turned_away(response: IResponse, sent: list[tuple[bytes, bytes]]) -> Deferred[bool]:
        """A request was answered 401 or 403.

        :param sent: what :meth:`headers` gave for it.
        :return: whether to make it again, with other headers; fails with ``SignInFailed``.
        """


class IProver(Interface):
    """Whoever can prove who we are on a WebSocket, when the server wants that."""

    subprotocol = Attribute("What is offered for it beside that of MCP (a str).")
    seconds = Attribute("How long a proof may take.")
    must_sign = Attribute("What the server closes with where a signed request is wanted instead.")

    def begin(url: str, connection: Any) -> Deferred[Any]:
        """Begin a proof, as the server chose that sub-protocol.

        :param url: of the WebSocket.
        :param connection: the TLS connection it is on (``OpenSSL.SSL.Connection``).
        :return: fires with an :class:`IProof`; fails with ``SignInFailed``.
        """


class IProof(Interface):
    """One proof."""

    def hello() -> bytes:
        """The first message."""

    def answer(text: bytes) -> Deferred[bytes | None]:
        """What to say to what the server said.

        :return: fires with ``None`` when we are let in; fails with ``SignInFailed``.
        """


class IWireReader(Interface):
    """Whoever a wire speaks to. Nothing is told before ``connect`` has fired."""

    def received(message: Message) -> None:
        """The far end said *message*."""

    def malformed(problem: ClientError) -> None:
        """The far end sent a frame that holds no message; the wire goes on."""

    def lost(reason: McpTwistError) -> None:
        """The wire is gone, once and for good; never told from inside ``send``."""


class IReminder(Interface):
    """A reader that can be told that the far end forgot.

    Wires whose far end keeps a session that may expire (Streamable HTTP) ask the
    reader for this; most readers and most wires have no use for it.
    """

    def renewed() -> None:
        """The far end had forgotten us and was greeted again: it knows nothing of
        what it was told since the handshake."""


class IConnector(Interface):
    """A way to a server, that can be gone more than once: launch, dial or join."""

    description = Attribute("For people and logs; no secret in it.")

    def connect(reader: IWireReader) -> Deferred[IWire]:
        """Make one new wire that speaks to *reader*.

        :return: the wire, or fails with :class:`~mcptwist.errors.ServerStartFailed`.
            Cancelling it leaves nothing behind.
        """


class IKeepsConnections(Interface):
    """What keeps connections for a while, between wires or between requests."""

    def close() -> Deferred[None]:
        """End them in good order; it can be used again, and then makes others.

        :return: fires when none is left.
        """


class IReply(Interface):
    """The way back of an exchange, provided by whoever opened it."""

    def notified(exchange: Exchange, notification: Notification) -> None:
        """Something was said about *exchange* before its answer."""

    def asked(exchange: Exchange, question: Exchange) -> None:
        """The far end has a *question* of its own in the course of *exchange* (legacy only)."""

    def answered(exchange: Exchange, answer: Answer) -> None:
        """The one answer, under the id the asker gave. Nothing follows."""

    def cancelled(exchange: Exchange, reason: str) -> None:
        """It will not be answered, for the asker does not want it any more. Nothing follows."""


class IAnswerer(Interface):
    """Takes charge of exchanges: the gateway, a backend, a client that may be asked."""

    def begin(exchange: Exchange) -> None:
        """Take charge of *exchange*: it will be answered or failed, with a reason."""


class ISource(Interface):
    """What the answers of exchanges come from, where it can be held back."""

    def hold(exchange: Exchange) -> None:
        """The asker of *exchange* cannot take more; hold back, unless others would suffer."""

    def release(exchange: Exchange) -> None:
        """The asker of *exchange* can take more, or it is over."""


class IStay(Interface):
    """Whose an exchange is: one client's stay, which in the modern era lasts one exchange."""

    era = Attribute("``legacy`` or ``modern`` (see :mod:`mcptwist.versions`).")
    revision = Attribute("The name of the protocol revision the client speaks.")
    client = Attribute("Its ``clientInfo`` as JSON, empty when it did not say.")
    capabilities = Attribute("Its capabilities as JSON.")
    principal = Attribute("Who is calling (a str), as far as that was proved.")


class IBackChannel(Interface):
    """Where a legacy session takes what belongs to no open exchange."""

    def say(message: Message) -> bool:
        """Send *message* if the client has somewhere to hear it; whether it had."""


class IView(IAnswerer):
    """What a client sees through one URL: one server, or many as one."""

    name = Attribute("The server's name, or empty for all of them.")

    def hear(stay: Session, server: str, notification: Notification) -> Notification | None:
        """What a server's unsolicited *notification* is in this view; ``None`` if nothing."""

    def overhear(stay: Session, notification: Notification) -> None:
        """A client's *notification* that belongs to no exchange, on its way to the servers."""

    def leave(stay: Session) -> None:
        """That client's session is over; give back what was kept for it."""


class IGroup(IView):
    """A view of several servers as one."""

    servers = Attribute("Their names (a tuple of str).")


class ICatalogued(IAnswerer):
    """What a catalog needs of a server; a :class:`~mcptwist.backend.Backend` has it."""

    watchers = Attribute("A list of those who are told when it is ``up`` or has ``changed``.")

    def enquire(exchange: Exchange) -> None:
        """Answer *exchange* in the server's own words, which the client need not all know."""

    def answers_in(stay: Any) -> str:
        """The era of these words."""

    def is_alone(stay: Any) -> bool:
        """Whether what it answers *stay* is for that one only."""

    def rests(stay: Any) -> bool:
        """Whether it would have to be started for *stay*."""

    def bring_up(stay: Any) -> None:
        """Start it for *stay*."""

    def follow(session: Session) -> None:
        """Let that session hear of changes."""

    def announce(notification: Notification) -> None:
        """Let everybody who uses it hear of a change."""

    def overhear(session: Session, notification: Notification) -> None:
        """A client's words; heeded only if that session has asked this server before."""

    def detach(session: Session) -> None:
        """That session is over."""


class ICompany(Interface):
    """Those whom a server's own words are meant for, on one link."""

    def admit(link: object, exchange: Exchange) -> None:
        """May *exchange* be put to the server on *link*?

        :raises McpTwistError: the reason why not.
        """

    def refused(exchange: Exchange, problem: EraMismatch) -> None:
        """The server does not speak this era; *exchange* must be answered all the same."""

    def up(link: object) -> None:
        """*link* is open, for the first time or again; tell the server what it should know."""

    def told(link: object, notification: Notification) -> None:
        """The server said something that belongs to no exchange by any id."""

    def questioned(link: object, question: Exchange) -> None:
        """The server asks something; *question* must be answered or failed."""
