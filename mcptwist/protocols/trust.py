"""Whose certificates are trusted when the daemon asks: the system's issuers, or those of a file."""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL, crypto
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates

from mcptwist.errors import ServerUnreachable

__all__ = ["Trust"]

_LONGEST = 4 << 20
_BEGIN, _END = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"


class Trust:
    """Makes the asking ends of TLS connections. The host's name is always verified.

    :param ca: a PEM file with the certificates that are trusted in place of the system's; it is
        read for each connection, so that it may be renewed.
    """

    def __init__(self, ca: str | None = None) -> None:
        self._ca = ca

    def creator(self, host: str, protocols: list[bytes] | None) -> IOpenSSLClientConnectionCreator:
        """What makes a connection to *host*, and offers it these *protocols* by ALPN.

        :raises ServerUnreachable: the file cannot be used.
        """
        root: Any = None if self._ca is None else self._read(self._ca)
        made: IOpenSSLClientConnectionCreator = optionsForClientTLS(
            host, trustRoot=root, acceptableProtocols=protocols
        )
        return made

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
