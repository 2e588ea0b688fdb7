"""Whom we believe to be the server when the daemon asks.

Its certificate must be trusted by the system's issuers, or by those of a file, and have its name;
or its key is one that we know it by, and then nobody has to vouch for it. Either is settled in the
handshake, before anything is said.
"""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from OpenSSL import SSL, crypto
from service_identity import VerificationError
from service_identity.hazmat import DNS_ID, IPAddress_ID, verify_service_identity
from service_identity.pyopenssl import extract_patterns
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
from twisted.python.failure import Failure
from zope.interface import implementer

from mcptwist.errors import ServerUnreachable
from mcptwist.interfaces import IHostKeys

__all__ = ["Trust"]

_LONGEST = 4 << 20
_BEGIN, _END = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"


class Trust:
    """Makes the asking ends of TLS connections.

    :param ca: a PEM file with the certificates that are trusted in place of the system's; it is
        read for each connection, so that it may be renewed.
    :param keys: judges the key of each host; without it, its certificate must be trusted and have
        the host's name.
    """

    def __init__(self, ca: str | None = None, keys: IHostKeys | None = None) -> None:
        self._ca = ca
        self._keys = keys

    def creator(
        self, host: str, port: int, protocols: list[bytes] | None
    ) -> IOpenSSLClientConnectionCreator:
        """What makes a connection to *host*, and offers it these *protocols* by ALPN.

        :raises ServerUnreachable: the file cannot be used.
        """
        root: Any = None if self._ca is None else self._read(self._ca)
        made: IOpenSSLClientConnectionCreator = optionsForClientTLS(
            host, trustRoot=root, acceptableProtocols=protocols
        )
        return made if self._keys is None else _Judging(made, host, port, self._keys)

    def _read(self, path: str) -> Any:
        try:
            with open(path, "rb") as file:
                text = file.read(_LONGEST)
        except OSError as why:
            raise ServerUnreachable(f"its ca, {path}, cannot be read: {why.strerror}") from None
        blocks = [block.partition(_END)[0] for block in text.split(_BEGIN)[1:]]
        try:
            found = [Certificate.loadPEM(_BEGIN + block + _END + b"\n") for block in blocks]
        except (crypto.Error, SSL.Error, ValueError):
            found = []
        if not found:
            raise ServerUnreachable(f"its ca, {path}, is no file of PEM certificates; see ca")
        return trustRootFromCertificates(found)


@implementer(IOpenSSLClientConnectionCreator)
class _Judging:
    """Makes connections to a host whose key is judged."""

    def __init__(
        self, creator: IOpenSSLClientConnectionCreator, host: str, port: int, keys: IHostKeys
    ) -> None:
        self._creator = creator
        self._host = host
        self._port = port
        self._keys = keys

    def clientConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        """Called for each connection."""
        connection: SSL.Connection = self._creator.clientConnectionForTLS(protocol)
        judgement = _Judgement(protocol, self._host, self._port, self._keys)
        connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, judgement)
        return connection


class _Judgement:
    """What OpenSSL asks about each certificate that a host shows, its own the last.

    It asks about every fault, and about every certificate without. The host's own is judged each
    time it is asked about: no way through OpenSSL's verification leads around that.
    """

    def __init__(self, protocol: Any, host: str, port: int, keys: IHostKeys) -> None:
        self._protocol = protocol
        self._host = host
        self._port = port
        self._keys = keys
        self._vouched = True

    def __call__(
        self, connection: SSL.Connection, certificate: crypto.X509, fault: int, depth: int, ok: int
    ) -> bool:
        """Called by OpenSSL; whether it should go on. It must not be told of exceptions."""
        self._vouched = self._vouched and bool(ok)
        if depth:
            return True
        try:
            vouched = self._vouched and self._has_name(certificate)
            self._keys.judge(self._host, self._port, _key_of(certificate), vouched)
        except BaseException:
            self._protocol.failVerification(Failure())
            return False
        return True

    def _has_name(self, certificate: crypto.X509) -> bool:
        """Whether the certificate is for the host's name, or its address."""
        host = self._host.strip("[]")
        is_address = isIPAddress(host) or isIPv6Address(host)
        patterns = extract_patterns(certificate)
        wanted = IPAddress_ID(host) if is_address else DNS_ID(host)
        try:
            verify_service_identity(patterns, [wanted], [])
        except VerificationError:
            return False
        return True


def _key_of(certificate: crypto.X509) -> bytes:
    """The public key in a certificate: its SubjectPublicKeyInfo in DER."""
    key = certificate.to_cryptography().public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
