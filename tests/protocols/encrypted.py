"""What answers over TLS in memory, and an agent that asks it."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from zope.interface import implementer

from mcptwist.protocols.h2agent import H2Agent
from mcptwist.protocols.h2limits import HTTP2ClientLimits, HTTP2Limits
from mcptwist.protocols.secure import secured
from mcptwist.protocols.tls import CertificateFiles, Certificates
from mcptwist.protocols.trust import Trust
from tests.joined import Network
from tests.protocols.tlsfront import make_pair


def certificates(files: CertificateFiles, http2: bool = True) -> Certificates:
    """What shows the certificate in *files*."""
    made = Certificates(lambda: [files], False, time.time, http2)
    made.load()
    return made


def secured_agent(
    network: Network,
    http: Any,
    place: Path,
    *,
    http2: bool = True,
    names: tuple[str, ...] = ("localhost",),
    trust: Trust | None = None,
    bounds: HTTP2Limits | None = None,
    limits: HTTP2ClientLimits | None = None,
) -> H2Agent:
    """An agent for whose every connection *http* answers over TLS.

    :param http: the factory of an HTTP front.
    :param place: where certificate and key are put.
    :param http2: whether what answers speaks HTTP/2.
    :param names: in the certificate.
    :param trust: whose certificates are trusted; that one unless given.
    """
    place.mkdir(parents=True)
    files = make_pair(place, "far", names)
    answering = secured(http, certificates(files, http2), bounds)
    return H2Agent(
        network.clock,
        trust or Trust(files.certificate),
        limits,
        lambda reactor, host, port, timeout: _Later(network, answering),
    )


@implementer(IStreamClientEndpoint)
class _Later:
    """Where *factory* answers; an abort is seen on the next turn, as over TCP. TLS counts on it."""

    def __init__(self, network: Network, factory: Any) -> None:
        self._network = network
        self._factory = factory

    def connect(self, factory: Any) -> Deferred[Any]:
        connecting: Deferred[Any] = self._network.endpoint(self._factory).connect(factory)
        return connecting.addCallback(self._connected)

    def _connected(self, protocol: Any) -> Any:
        clock = self._network.clock
        for end in self._network.ends[-1]:
            end.abortConnection = partial(clock.callLater, 0, end.abortConnection)  # type: ignore
        return protocol
