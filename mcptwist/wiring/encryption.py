"""TLS around endpoints: which certificates are shown, and what is said of their keys."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from twisted.application.internet import TimerService
from twisted.logger import Logger

from mcptwist.auth.addresses import Addresses
from mcptwist.auth.announcing import Announcement
from mcptwist.auth.keystore import key_of_certificate
from mcptwist.configuration.listening import encrypted
from mcptwist.daemon import Daemon
from mcptwist.protocols.h2limits import HTTP2Limits
from mcptwist.protocols.hostcertificate import host_certificate, own_names, state_directory
from mcptwist.protocols.http1factory import HTTP1Factory
from mcptwist.protocols.nexthostkey import Following, NextHostKey
from mcptwist.protocols.secure import secured
from mcptwist.protocols.tls import CertificateFiles, Certificates, ClientCertificates
from mcptwist.wiring.premises import Premises

_RENEWED_WITHIN = 10.0
"""Seconds within which a renewed certificate is found."""


class Encryption:
    """What puts TLS around the connections of endpoints; all show the same certificates.

    :param bounds: of HTTP/2 on them.
    :ivar certificates: these.
    :ivar announcement: the page that tells of their keys.
    """

    log = Logger()

    def __init__(self, premises: Premises, bounds: HTTP2Limits) -> None:
        config, auth = premises.config, premises.config.auth
        self._premises = premises
        self._bounds = bounds
        self._told = ""
        tls12 = config.tls.min_version == "1.2"
        self.certificates = Certificates(self._files, tls12, time.time, config.http2.spoken)
        self.announcement = Announcement(
            Addresses(() if auth is None else auth.public_urls),
            self.certificates.key_shown,
            self._following,
            time.time,
        )

    def watch(self, daemon: Daemon) -> None:
        """Show these, and look now and then whether they were renewed."""
        daemon.certificates = self.certificates
        watch = TimerService(_RENEWED_WITHIN, self._look)
        watch.clock = self._premises.reactor
        watch.setServiceParent(daemon)

    def around(self, http: HTTP1Factory, mutual: bool) -> Any:
        """The factory of an encrypted listener.

        :param mutual: whether clients are asked for certificates.
        """
        certificates = self.certificates
        certificates.load()
        self._tell_key()
        shown = ClientCertificates(certificates) if mutual else certificates
        timeout = self._premises.config.http.handshake_timeout
        return secured(http, shown, self._bounds, timeout)

    @property
    def _directory(self) -> Path | None:
        """Where the daemon keeps a key of its own making, if it has one."""
        tls = self._premises.config.tls
        if tls.certificate is not None and tls.key is not None:
            return None
        return Path(tls.directory) if tls.directory else state_directory(self._premises.environ)

    def _files(self) -> list[CertificateFiles]:
        """Those that were configured, or the one we make ourselves."""
        config, directory = self._premises.config, self._directory
        if directory is not None:
            NextHostKey(directory).follow_if_due(time.time())
            return [host_certificate(directory, own_names(config.allowed_hosts), time.time())]
        tls = config.tls
        assert tls.certificate is not None
        assert tls.key is not None
        pairs = [(tls.certificate, tls.key)]
        pairs += [(other.certificate, other.key) for other in tls.others]
        return [CertificateFiles(*pair) for pair in pairs]

    def _following(self) -> Following | None:
        directory = self._directory
        return None if directory is None else NextHostKey(directory).look()

    def _look(self) -> None:
        directory = self._directory
        if directory is not None and NextHostKey(directory).is_due(time.time()):
            self.certificates.reload()
        else:
            self.certificates.reload_if_changed()
        self._tell_key()

    def _tell_key(self) -> None:
        """Say by which key clients know us, for whoever is to compare it."""
        key = key_of_certificate(self.certificates.path)
        if key is not None and key.fingerprint != self._told:
            self._told = key.fingerprint
            self.log.info("the host key is {fingerprint}", fingerprint=key.fingerprint)


def encryption(premises: Premises, bounds: HTTP2Limits) -> Encryption | None:
    """What there is to say of TLS, where any endpoint is encrypted."""
    entries = premises.config.endpoints.values()
    return Encryption(premises, bounds) if any(encrypted(each)[0] for each in entries) else None
