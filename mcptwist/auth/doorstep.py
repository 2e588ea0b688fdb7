"""Those who are connected and have not proved who they are: on the doorstep.

A client that offers to prove its key on its WebSocket is let as far as this: it may say hello and
answer a challenge, in ten seconds, and there may only be so many of them.

``docs/auth/websockets.rst``; :mod:`mcptwist.auth.mutualproof` has what is said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
from OpenSSL import SSL
from twisted.cred.portal import Portal
from zope.interface import implementer

from mcptwist.auth.addresses import Address
from mcptwist.auth.audit import Audit
from mcptwist.auth.checkers import CredentialsRefused, MustSign
from mcptwist.auth.credentials import KeySignature
from mcptwist.auth.denials import NoRoom, TooManyFailures
from mcptwist.auth.guard import Guard, now, source_of
from mcptwist.auth.keyformats import SMALLEST_HOST_RSA
from mcptwist.auth.keys import KeyProblem, PrivateKey
from mcptwist.auth.mutualproof import (
    EXPORTER_LABEL,
    EXPORTER_SIZE,
    LARGEST,
    MUST_SIGN,
    NONCE,
    SECONDS,
    SUBPROTOCOL,
    TIMED_OUT,
    UNAUTHORIZED,
    AnsweringProof,
    Channel,
    Claim,
    ProofFailed,
    welcome,
)
from mcptwist.auth.penalties import BAD_LOGIN, SILENCE
from mcptwist.auth.penalties import source_of as shared_source
from mcptwist.auth.realm import PROOF, IPrincipal, Principal
from mcptwist.protocols.request import Request
from mcptwist.protocols.vestibule import IDoorkeeper, TurnedAway

_OFFERED = SUBPROTOCOL.encode()
_AFTER = [(b"retry-after", b"5")]


class Standing(msgspec.Struct, frozen=True):
    """What the doorstep stands on.

    :ivar make_bytes: so many unguessable bytes each time.
    :ivar stay: seconds that one may stay on one proof.
    :ivar most: how many may be here at a time.
    :ivar per_source: how many of one source.
    :ivar proving: seconds that one may take to prove who it is.
    """

    portal: Portal
    guard: Guard
    audit: Audit
    make_bytes: Callable[[int], bytes]
    stay: float = 3600.0
    most: int = 1024
    per_source: int = 64
    proving: float = SECONDS


class Doorstep:
    """Where they stand.

    :ivar host_key: the private key of the certificate that was shown on a connection, or ``None``.
    """

    def __init__(self, on: Standing) -> None:
        self.on = on
        self.host_key: Callable[[SSL.Connection], Any] = lambda connection: None
        self._here: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._here.total()

    def is_wanted(self, request: Request) -> bool:
        """Whether *request* offers to prove a key, where that can be done."""
        offered = request.header_values(b"sec-websocket-protocol")
        words = (word.strip(b" \t") for value in offered for word in value.split(b","))
        return _OFFERED in words and self._channel(request) is not None

    def keeper(self, request: Request) -> Doorkeeper:
        """Who hears the client that sent *request*, which is wanted.

        :raises Denied: there are too many.
        """
        source = shared_source(source_of(request))
        if len(self) >= self.on.most:
            self.on.audit.count("auth.proof.no_room")
            raise NoRoom("too many have to prove who they are; try again shortly", _AFTER)
        if self._here[source] >= self.on.per_source:
            self.on.audit.count("auth.proof.no_room")
            raise TooManyFailures("too many from there have to prove who they are", _AFTER)
        found = self._channel(request)
        assert found is not None
        self._here[source] += 1
        proof = AnsweringProof(*found, self.on.make_bytes(NONCE))
        address = self.on.guard.address(request)
        return Doorkeeper(self.on, request, address, proof, lambda: self._left(source))

    def _left(self, source: str) -> None:
        self._here[source] -= 1
        if not self._here[source]:
            del self._here[source]

    def _channel(self, request: Request) -> tuple[Channel, PrivateKey] | None:
        """What both ends know of the connection, and our key; ``None`` without TLS 1.3."""
        address = self.on.guard.address(request)
        if address.wire != "ws" or not request.stream.is_secure:
            return None
        handle = request.stream.connection.transport.getHandle()
        key = self.host_key(handle)
        if key is None or handle.get_protocol_version_name() != "TLSv1.3":
            return None
        try:
            signer = PrivateKey(key, SMALLEST_HOST_RSA)
        except KeyProblem:
            return None
        authority = address.base.partition("://")[2]
        exporter = handle.export_keying_material(EXPORTER_LABEL, EXPORTER_SIZE)
        return Channel(authority, signer.public.fingerprint, exporter), signer


@implementer(IDoorkeeper)
class Doorkeeper:
    """Hears one client; see :class:`~mcptwist.protocols.vestibule.IDoorkeeper`.

    :ivar principal: who it is, once that is proved.
    """

    subprotocol = SUBPROTOCOL
    longest = LARGEST
    too_late = TIMED_OUT
    ended = UNAUTHORIZED

    def __init__(
        self,
        on: Standing,
        request: Request,
        address: Address,
        proof: AnsweringProof,
        left: Callable[[], None],
    ) -> None:
        self.principal: Principal | None = None
        self.stay = on.stay
        self.seconds = on.proving
        self._is_settled = False
        self._on = on
        self._request = request
        self._address = address
        self._proof = proof
        self._left = left

    def heard(self, text: bytes) -> tuple[bytes, bool]:
        """What to answer, and whether the client may come in.

        :raises TurnedAway: it may not.
        """
        try:
            if not self._proof.has_begun:
                return self._proof.challenge(text), False
            self.principal = principal = self._proved(self._proof.claim(text))
        except MustSign as refused:
            # Nobody is blamed: who has not been here before cannot know.
            self._refuse(refused.reason, "")
            raise TurnedAway(MUST_SIGN, "the key must sign its requests") from None
        except (ProofFailed, CredentialsRefused) as refused:
            self._refuse(refused.reason)
            raise TurnedAway(UNAUTHORIZED, "the proof is not good") from None
        self._is_settled = True
        self._tell("auth.proof.ok", principal=principal.name, key=principal.key)
        scopes = tuple(sorted(principal.scopes))
        return welcome(principal.name, scopes, int(self.stay)), True

    def left(self) -> None:
        """Called once, when the client has come in or is gone."""
        if not self._is_settled:
            self._refuse("nothing was proved", SILENCE)
        self._left()

    def _proved(self, claim: Claim) -> Principal:
        """Who it is.

        :raises CredentialsRefused: that is not so.
        """
        credentials = KeySignature(
            claim.key,
            None,
            claim.algorithm,
            claim.signed,
            claim.signature,
            source_of(self._request),
            PROOF,
        )
        principal: Principal = now(self._on.portal.login(credentials, self._request, IPrincipal))
        if not principal.grant.leads_to(self._address.place):
            raise CredentialsRefused("the key is not for that place")
        return principal

    def _refuse(self, reason: str, failure: str = BAD_LOGIN) -> None:
        self._is_settled = True
        self._tell("auth.proof.refused", reason=reason)
        if failure:
            self._on.guard.blame(self._request, failure)

    def _tell(self, event: str, **fields: str) -> None:
        self._on.audit.tell(
            event, peer=source_of(self._request), resource=self._address.url, **fields
        )
