"""What a request brings to prove who sent it.

Of several sorts the first counts: a signature, where these are taken, with the ``Authorization``
header that is signed with it; that header alone; a ticket; then what the connection itself has
proved. Whether it is true is for the checkers to say.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from twisted.cred.credentials import ICredentials
from twisted.internet.interfaces import ISSLTransport

from mcptwist.auth.addresses import Address
from mcptwist.auth.checkers import CredentialsRefused
from mcptwist.auth.credentials import AccessToken, ClientCertificate, LocalPeer, PresentedTicket
from mcptwist.auth.keyformats import SMALLEST_HOST_RSA
from mcptwist.auth.keys import KeyProblem, PublicKey
from mcptwist.auth.localusers import uid_of
from mcptwist.auth.signedrequests import signed_request
from mcptwist.auth.tickets import PREFIX
from mcptwist.protocols.request import Request

_TICKET = PREFIX.encode()


class Evidence:
    """Looks for it.

    :param signatures: whether requests may be signed.
    """

    def __init__(self, signatures: bool = False) -> None:
        self._signatures = signatures
        self._shown: WeakKeyDictionary[Any, PublicKey | None] = WeakKeyDictionary()
        self._users: WeakKeyDictionary[Any, int | None] = WeakKeyDictionary()

    def of(self, request: Request, address: Address, source: str) -> ICredentials | None:
        """What *request* brings, ``None`` if nothing.

        :param address: where it went.
        :param source: where it came from.
        :raises CredentialsRefused: it brings what cannot be understood.
        """
        values = request.header_values(b"authorization")
        if len(values) > 1:
            raise CredentialsRefused("several credentials", None)
        token = _token(request, values[0], address, source) if values else None
        signed = signed_request(request, address, source, token) if self._signatures else None
        return (
            signed
            or token
            or _ticket(request, address, source)
            or self._certificate(request, address, source)
            or self._user(request, address)
        )

    def _user(self, request: Request, address: Address) -> LocalPeer | None:
        if request.stream.port is not None:
            return None
        connection = request.stream.connection
        if connection not in self._users:
            self._users[connection] = uid_of(connection.transport)
        uid = self._users[connection]
        return None if uid is None else LocalPeer(uid, address.place)

    def _certificate(
        self, request: Request, address: Address, source: str
    ) -> ClientCertificate | None:
        if not request.stream.is_secure:
            return None
        connection = request.stream.connection
        if connection not in self._shown:
            self._shown[connection] = shown_key(connection.transport)
        key = self._shown[connection]
        return None if key is None else ClientCertificate(key, address.place, source)


def _ticket(request: Request, address: Address, source: str) -> PresentedTicket | None:
    """A ticket among the sub-protocols that a WebSocket is to be opened with."""
    found = tickets_in(request) if address.wire == "ws" else []
    if len(found) > 1:
        raise CredentialsRefused("several tickets", None)
    if not found:
        return None
    return PresentedTicket(found[0], address.resource, request.header(b"origin"), source)


def tickets_in(request: Request) -> list[bytes]:
    """The texts of the tickets among the sub-protocols that *request* offers."""
    offered = request.header_values(b"sec-websocket-protocol")
    words = [word.strip(b" \t") for value in offered for word in value.split(b",")]
    return [word.removeprefix(_TICKET) for word in words if word.startswith(_TICKET)]


def _token(request: Request, value: bytes, address: Address, source: str) -> AccessToken:
    scheme, _, text = value.partition(b" ")
    return AccessToken(
        scheme.decode("latin-1").lower(),
        text.strip(b" "),
        tuple(each.decode("latin-1") for each in request.header_values(b"dpop")),
        request.method.decode("latin-1"),
        address.url,
        address.resource,
        source,
    )


def shown_key(transport: Any) -> PublicKey | None:
    """The key of the certificate that the far end has shown, ``None`` where it has shown none.

    :raises CredentialsRefused: the key is of a kind that is not taken.
    """
    secure: Any = transport if ISSLTransport.providedBy(transport) else None
    shown = None if secure is None else secure.getPeerCertificate()
    if shown is None:
        return None
    try:
        public = shown.to_cryptography().public_key()
        spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return PublicKey.from_spki(spki, SMALLEST_HOST_RSA)
    except (KeyProblem, UnsupportedAlgorithm, ValueError):
        raise CredentialsRefused("the certificate's key is none that is taken", None) from None
