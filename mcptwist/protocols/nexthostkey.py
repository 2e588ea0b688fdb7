"""The host key that will follow the present one, and when.

It lies beside the present one, with a certificate that begins to be valid when its time comes: then
the two take the place of the present ones. Until then the daemon announces it to whoever knows the
present one (see ``docs/auth/host-keys.rst``).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from twisted.logger import Logger

from mcptwist.protocols.hostcertificate import check_alone, self_signed, write_whole
from mcptwist.protocols.tls import CertificateFiles, CertificateProblem

_BACKDATED = timedelta(hours=1)  # of certificates of our own making, for clocks that are late


class Following(msgspec.Struct, frozen=True):
    """The next key.

    :ivar key: the private key.
    :ivar begins: when it follows, in seconds since 1970.
    """

    key: Any
    begins: float


class NextHostKey:
    """The files of the next key, beside those of the present one.

    :param directory: of both.
    :param generate: makes a private key.
    """

    log = Logger()

    def __init__(
        self,
        directory: Path,
        generate: Callable[[], Any] = lambda: ec.generate_private_key(ec.SECP256R1()),
    ) -> None:
        self._present = CertificateFiles(
            str(directory / "host_cert.pem"), str(directory / "host_key.pem")
        )
        self._next = CertificateFiles(
            str(directory / "host_cert.next.pem"), str(directory / "host_key.next.pem")
        )
        self._generate = generate

    def prepare(self, begins: float) -> Following:
        """Make the next key, and a certificate for the names of the present one.

        :param begins: when it is to follow, in seconds since 1970.
        :raises CertificateProblem: there is no present one, or a next one already.
        """
        try:
            check_alone(Path(self._present.key).parent, 0o022)
            if Path(self._next.key).exists() or Path(self._next.certificate).exists():
                raise CertificateProblem(
                    f"{self._next.key} is there already; remove it and {self._next.certificate} to"
                    " have another one made"
                )
            chain, _ = self._present.read()
            return self._made(_names(chain[0]), begins)
        except OSError as why:
            raise CertificateProblem(f"{why.filename} cannot be written: {why.strerror}") from None

    def _made(self, names: list[str], begins: float) -> Following:
        key = self._generate()
        when = datetime.fromtimestamp(begins, UTC).replace(microsecond=0)
        certificate = self_signed(key, names, when + _BACKDATED)
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_whole(Path(self._next.key), private)
        write_whole(Path(self._next.certificate), certificate.public_bytes(Encoding.PEM))
        return Following(key, when.timestamp())

    def look(self) -> Following | None:
        """The next key, ``None`` where there is none that can be used."""
        if not (Path(self._next.key).exists() and Path(self._next.certificate).exists()):
            return None
        try:
            check_alone(Path(self._next.key), 0o077)
            chain, key = self._next.read()
        except (CertificateProblem, OSError) as problem:
            self.log.error("the next host key is no good: {problem}", problem=str(problem))
            return None
        return Following(key, chain[0].not_valid_before_utc.timestamp())

    def is_due(self, now: float) -> bool:
        """Whether there is one whose time has come."""
        found = self.look()
        return found is not None and found.begins <= now

    def follow_if_due(self, now: float) -> None:
        """Put it in the place of the present one, if its time has come.

        The key comes first: a certificate that is not its own is made anew by itself.
        """
        if self.is_due(now):
            Path(self._next.key).rename(self._present.key)
            Path(self._next.certificate).rename(self._present.certificate)
            self.log.info("the next host key has followed: {path}", path=self._present.key)


def _names(certificate: x509.Certificate) -> list[str]:
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value) for name in found]
