"""TLS as this daemon speaks it: which versions, which certificate, which protocol inside.

TLS 1.3, or 1.2 with AEAD suites where a client is too old; no tickets, no sessions, no
renegotiation. A client may offer any protocols by ALPN (RFC 7301): HTTP/2 is taken before
HTTP/1.1, HTTP/1.1 is spoken where nothing is offered, and an offer with neither in it ends the
handshake, as section 3.2 wants.

Certificates are looked at again from time to time: connections made after a file was renewed get
the new one, and a file that cannot be used changes nothing but the log.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from OpenSSL import SSL, crypto
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.logger import Logger
from zope.interface import implementer

__all__ = [
    "CertificateFiles",
    "CertificateProblem",
    "Certificates",
    "ClientCertificates",
    "encryption",
]

H2, HTTP1 = b"h2", b"http/1.1"

#: Suites of TLS 1.2: forward secret and AEAD. Those of 1.3 are all good.
_SUITES = b":".join(
    b"ECDHE-%b-%b" % (kind, suite)
    for suite in (b"AES128-GCM-SHA256", b"AES256-GCM-SHA384", b"CHACHA20-POLY1305")
    for kind in (b"ECDSA", b"RSA")
)
#: Seconds before its end that a certificate is worth a warning.
_SOON = 14 * 86400


_DAY = 86400
#: OpenSSL wants one where clients are asked for certificates, though no session is taken up.
_NOT_TAKEN_UP = b"mcptwist"
#: SSL_MODE_RELEASE_BUFFERS of OpenSSL, which pyOpenSSL has no name for.
_RELEASE_BUFFERS = 0x10


class CertificateProblem(Exception):
    """A certificate or key cannot be used; the message says which file, why, and what to do."""


class NoCommonProtocol(SSL.Error):
    """The client offers protocols, and none that we speak."""


class CertificateFiles(msgspec.Struct, frozen=True):
    """Where one certificate and its key are, both PEM.

    :ivar certificate: the certificate, and after it those that lead to a root.
    :ivar key: the private key, not encrypted.
    """

    certificate: str
    key: str

    def read(self) -> tuple[list[x509.Certificate], Any]:
        """The chain and the key.

        :raises CertificateProblem: they cannot be used.
        """
        chain = _parsed(self.certificate, x509.load_pem_x509_certificates, "a PEM certificate")
        key = _parsed(
            self.key, lambda data: load_pem_private_key(data, None), "an unencrypted PEM key"
        )
        if _public(chain[0].public_key()) != _public(key.public_key()):
            raise CertificateProblem(f"{self.key} is not the key of {self.certificate}")
        return chain, key


def _parsed(path: str, parse: Callable[[bytes], Any], expected: str) -> Any:
    try:
        with open(path, "rb") as file:
            data = file.read(1 << 20)
    except OSError as why:
        raise CertificateProblem(f"{path} cannot be read: {why.strerror}") from None
    try:
        return parse(data)
    except (ValueError, TypeError, crypto.Error):
        raise CertificateProblem(f"{path} is not {expected}") from None


def _public(key: Any) -> bytes:
    encoded: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return encoded


@implementer(IOpenSSLServerConnectionCreator)
class Certificates:
    """What a TLS listener shows its clients.

    :param files: tells the files of each certificate, and makes them if need be. A client gets
        the first one that has the name it asks for (SNI), or the first of all.
    :param tls12: whether TLS 1.2 is spoken too.
    :param now: the wall clock, in seconds since the epoch.
    :param http2: whether HTTP/2 may be chosen.
    :ivar fingerprint: SHA-256 of the first certificate, as ``openssl x509 -fingerprint`` writes it.
    """

    _log = Logger()

    def __init__(
        self,
        files: Callable[[], Sequence[CertificateFiles]],
        tls12: bool,
        now: Callable[[], float],
        http2: bool = True,
    ) -> None:
        self.fingerprint = ""
        self._find_files = files
        self._files: Sequence[CertificateFiles] = ()
        self._loaded_at = 0.0
        self._tls12 = tls12
        self._now = now
        self._protocols = (H2, HTTP1) if http2 else (HTTP1,)
        self._seen: Any = None
        self._default: SSL.Context | None = None
        self._keys: dict[bytes, Any] = {}
        self._by_name: dict[str, SSL.Context] = {}

    @property
    def path(self) -> str:
        """The file of the first certificate; empty before any was read."""
        return self._files[0].certificate if self._files else ""

    def load(self) -> None:
        """Read the files.

        :raises CertificateProblem: one cannot be used; what was read before stays in use.
        """
        self._loaded_at = self._now()
        self._files = self._find_files()
        self._seen = self._look()
        contexts: list[SSL.Context] = []
        by_name: dict[str, SSL.Context] = {}
        keys: dict[bytes, Any] = {}
        for files in self._files:
            chain, key = files.read()
            context = self._context(chain, key, files)
            contexts.append(context)
            keys[_public(chain[0].public_key())] = key
            for name in _names(chain[0]):
                by_name.setdefault(name, context)
            self._warn_of_end(chain[0], files)
            if len(contexts) == 1:
                fingerprint = _fingerprint(chain[0])
        self._default, self._by_name, self.fingerprint = contexts[0], by_name, fingerprint
        self._keys = keys

    def key_shown(self, connection: SSL.Connection) -> Any:
        """The private key of the certificate that was shown there, ``None`` if it is gone."""
        shown = connection.get_certificate()
        if shown is None:
            return None
        return self._keys.get(_public(shown.to_cryptography().public_key()))

    def reload(self) -> bool:
        """Read the files again; whether they can be used. If not, the old ones stay in use."""
        before = self.fingerprint
        try:
            self.load()
        except CertificateProblem as problem:
            self._log.error("the old certificates stay in use: {problem}", problem=str(problem))
            return False
        if self.fingerprint != before:
            self._log.info("the new certificate is {fingerprint}", fingerprint=self.fingerprint)
        return True

    def reload_if_changed(self) -> None:
        """Read the files again if one of them is another than before; and once a day anyhow.

        That makes a certificate anew that is our own and comes to its end.
        """
        if self._look() != self._seen or self._now() - self._loaded_at >= _DAY:
            self.reload()

    def _look(self) -> list[Any]:
        return [_signs_of(path) for files in self._files for path in (files.certificate, files.key)]

    def serverConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        """Called for each connection."""
        assert self._default is not None
        return SSL.Connection(self._default, None)

    def _context(
        self, chain: list[x509.Certificate], key: Any, files: CertificateFiles
    ) -> SSL.Context:
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION if self._tls12 else SSL.TLS1_3_VERSION)
        context.set_cipher_list(_SUITES)
        context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_session_id(_NOT_TAKEN_UP)
        # What is idle keeps no buffers.
        context.set_mode(_RELEASE_BUFFERS)
        context.set_alpn_select_callback(self._choose_protocol)
        context.set_tlsext_servername_callback(self._choose_certificate)
        try:
            context.use_certificate(chain[0])
            for certificate in chain[1:]:
                context.add_extra_chain_cert(certificate)
            context.use_privatekey(key)
        except (SSL.Error, TypeError) as why:
            raise CertificateProblem(
                f"{files.certificate} is not fit for TLS: {_reason(why)}"
            ) from None
        return context

    def _choose_certificate(self, connection: SSL.Connection) -> None:
        """Called by OpenSSL when a client has said which name it wants (RFC 6066 section 3)."""
        asked = connection.get_servername()
        if asked is None:
            return
        name = asked.decode("ascii", "replace").lower().rstrip(".")
        parent = name.partition(".")[2]
        context = self._by_name.get(name) or self._by_name.get(f"*.{parent}")
        if context is not None:
            connection.set_context(context)

    def _choose_protocol(self, _: SSL.Connection, offered: list[bytes]) -> bytes:
        """Called by OpenSSL with what a client offers by ALPN.

        :raises NoCommonProtocol: the handshake is to end.
        """
        for ours in self._protocols:
            if ours in offered:
                return ours
        raise NoCommonProtocol([("", "", "no application protocol in common")])

    def _warn_of_end(self, certificate: x509.Certificate, files: CertificateFiles) -> None:
        end = certificate.not_valid_after_utc
        left = (end - datetime.fromtimestamp(self._now(), UTC)).total_seconds()
        if left < _SOON:
            self._log.warn(
                "{path} {is_or_was} valid until {end}; renew it, or clients refuse it",
                path=files.certificate,
                is_or_was="is" if left > 0 else "was",
                end=end.isoformat(),
            )


@implementer(IOpenSSLServerConnectionCreator)
class ClientCertificates:
    """What asks every client for a certificate, and shows ours.

    The handshake proves that the client holds the certificate's key. Whose key that is, is looked
    up with every request; who signed the certificate does not matter, so there must be one only.
    Nobody can take up a session of before, for which nothing would be proved.
    """

    def __init__(self, certificates: Certificates) -> None:
        self._certificates = certificates

    def serverConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        """Called for each connection."""
        connection = self._certificates.serverConnectionForTLS(protocol)
        connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _is_alone)
        return connection


def _is_alone(_: SSL.Connection, __: object, problem: int, depth: int, ok: int) -> bool:
    """Called by OpenSSL with each certificate of a client's: only the first is looked at."""
    return depth == 0


def _signs_of(path: str) -> tuple[int, int, int] | None:
    """What changes when a file is replaced or written."""
    try:
        about = os.stat(path)
    except OSError:
        return None
    return about.st_mtime_ns, about.st_ino, about.st_size


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return [name.lower() for name in names.value.get_values_for_type(x509.DNSName)]


def _fingerprint(certificate: x509.Certificate) -> str:
    digest = sha256(certificate.public_bytes(Encoding.DER)).hexdigest().upper()
    return ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))


def _reason(why: Exception) -> str:
    said = why.args[0] if why.args else ""
    return said[-1][-1] if isinstance(said, list) and said else str(said)


def encryption(transport: Any) -> str:
    """How a connection is encrypted, for people: the version, and what was agreed on by ALPN."""
    handle = getattr(transport, "getHandle", lambda: None)()
    version = getattr(handle, "get_protocol_version_name", lambda: "TLS")()
    agreed = getattr(transport, "negotiatedProtocol", None) or b""
    return f"{version} {agreed.decode('latin-1')}".strip()
