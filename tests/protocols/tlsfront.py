"""TLS in memory: a listener's factory, and Python's own ``ssl`` module as its client."""

from __future__ import annotations

import ssl
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted

from mcptwist.protocols.secure import SecureFront
from mcptwist.protocols.tls import CertificateFiles, Certificates
from tests.protocols.front import Front, Wire

NOW = time.time()


def make_pair(
    directory: Path,
    name: str,
    names: Sequence[str] = ("localhost",),
    days: float = 90,
    key: Any = None,
) -> CertificateFiles:
    """A self-signed certificate for these names, and its key, in files of that name.

    :param key: the private key, a new one of P-256 unless given.
    """
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.fromtimestamp(NOW, UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=200))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), False)
        .sign(key, None if isinstance(key, Ed25519PrivateKey) else hashes.SHA256())
    )
    files = CertificateFiles(str(directory / f"{name}.pem"), str(directory / f"{name}.key"))
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    Path(files.certificate).write_bytes(certificate.public_bytes(Encoding.PEM))
    Path(files.key).write_bytes(private)
    return files


class TCPWire(Wire):
    """A transport that loses its connection on the next turn after an abort, as Twisted's do."""

    clock: Any

    def abortConnection(self) -> None:
        if not self.aborted:
            self.aborted = True
            self.clock.callLater(0, self.lose, ConnectionAborted())


class SecureTestFront(Front):
    """A site in memory behind TLS."""

    def __init__(self, certificates: Certificates, **arguments: Any) -> None:
        super().__init__()
        from mcptwist.protocols.secure import _TLSFactory

        self.secure = SecureFront(self.factory, **arguments)
        self.tls = _TLSFactory(certificates, False, self.secure, self.clock)

    def accept(self) -> Wire | None:
        """A connection on which nothing has been said."""
        protocol: Any = self.tls.buildProtocol(IPv4Address("TCP", "127.0.0.1", 9))
        if protocol is None:
            return None
        wire = TCPWire(hostAddress=IPv4Address("TCP", "127.0.0.1", 8443))
        wire.clock = self.clock
        wire.protocol = protocol
        protocol.makeConnection(wire)
        return wire


class TLSClient:
    """One client's connection.

    :ivar data: what was said to it, decrypted.
    :ivar closed: whether the far end said goodbye.
    """

    def __init__(
        self,
        front: SecureTestFront,
        offers: Sequence[str] = (),
        name: str | None = None,
        version: ssl.TLSVersion | None = None,
        shows: CertificateFiles | None = None,
    ) -> None:
        self.context = context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if shows is not None:
            context.load_cert_chain(shows.certificate, shows.key)
        if offers:
            context.set_alpn_protocols(offers)
        if version is not None:
            context.maximum_version = version
        self.front = front
        wire = front.accept()
        assert wire is not None
        self.wire: Wire = wire
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.ssl = context.wrap_bio(self._in, self._out, server_hostname=name)
        self.data = b""
        self.closed = False

    def resume(self, earlier: TLSClient) -> None:
        """Try to take up the session of another connection."""
        self.context = earlier.context
        self.ssl = self.context.wrap_bio(self._in, self._out, session=earlier.ssl.session)

    def shake(self) -> TLSClient:
        """Do the handshake.

        :raises ssl.SSLError: it failed.
        """
        for _ in range(5):
            try:
                self.ssl.do_handshake()
            except ssl.SSLWantReadError:
                self._exchange()
            else:
                break
        self.hear()
        return self

    def _exchange(self) -> None:
        data = self._out.read()
        if data and self.wire.connected and not self.wire.aborted:
            self.wire.protocol.dataReceived(data)
        self.front.clock.advance(0)
        self._in.write(self.wire.value())
        self.wire.clear()

    def send(self, data: bytes) -> None:
        self.ssl.write(data)
        self.hear()

    def hear(self) -> None:
        """Take what was said."""
        self._exchange()
        try:
            while chunk := self.ssl.read(1 << 16):
                self.data += chunk
        except ssl.SSLWantReadError:
            return
        except ssl.SSLZeroReturnError:
            pass
        self.closed = True

    @property
    def names(self) -> list[str]:
        """The names in the certificate it was shown."""
        shown = self.ssl.getpeercert(True)
        assert shown is not None
        certificate = x509.load_der_x509_certificate(shown)
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        names: list[str] = found.value.get_values_for_type(x509.DNSName)
        return names
