"""What a caller brings to prove who it is.

Whether it is fresh (meant for us, in time, not used before) was found out by whoever made the
credentials from what came over the wire; whether it is *true* is for a checker to say.
"""

from __future__ import annotations

import msgspec
from twisted.cred.credentials import ICredentials
from zope.interface import Attribute, implementer

from mcptwist.auth.httpsignatures import MessageSignature
from mcptwist.auth.keys import PublicKey
from mcptwist.auth.realm import SIGNATURE
from mcptwist.auth.sshsig import SshSignature


class IKeySignature(ICredentials):
    """A signature over something fresh, with a key that the caller says it has."""

    client = Attribute("Who it says it is: a principal's name, or a key's fingerprint.")
    hint = Attribute("Which key it says it used: a fingerprint, a thumbprint, or None.")
    algorithm = Attribute("The name of a JWS algorithm, as it says.")
    signed = Attribute("The bytes that are signed.")
    signature = Attribute("The signature, as JWS has it.")
    source = Attribute("Where it came from: an address, or ``unix``.")
    via = Attribute("What it is used for: ``SIGNATURE`` for a token, ``PROOF`` on a WebSocket.")


class IAccessToken(ICredentials):
    """A token that we gave out, as it came with a request."""

    scheme = Attribute("``bearer`` or ``dpop``.")
    token = Attribute("Its text, as bytes.")
    proofs = Attribute("The DPoP proofs that came with it, as they came.")
    method = Attribute("The request's method.")
    url = Attribute("Where the request went, without query.")
    resource = Attribute("What it must have been given for.")
    source = Attribute("Where it came from: an address, or ``unix``.")


class IClientCertificate(ICredentials):
    """A key that the far end of a TLS connection has proved to hold, in its handshake."""

    key = Attribute("The PublicKey of the certificate.")
    place = Attribute("What the request is for, None where no MCP is spoken.")
    source = Attribute("Where it came from: an address, or ``unix``.")


class ITicket(ICredentials):
    """A ticket that we gave out, as it came with a request."""

    text = Attribute("Its text, as bytes.")
    resource = Attribute("What it must have been given for.")
    origin = Attribute("Of which page the request is, None where it says none.")
    source = Attribute("Where it came from: an address, or ``unix``.")


class ILocalUser(ICredentials):
    """Who is at the far end of a UNIX socket, as the system says."""

    uid = Attribute("The user's number.")
    place = Attribute("What the request is for, None where no MCP is spoken.")


class ISignedText(ICredentials):
    """A text that somebody signed with an SSH key, for one purpose."""

    text = Attribute("What must have been signed, as bytes.")
    purpose = Attribute("What for, as SSH signatures say it: their namespace.")
    signature = Attribute("The SshSignature.")
    source = Attribute("Where it came from: an address, or ``unix``.")


class ISignedRequest(ICredentials):
    """A request that is signed as a whole (RFC 9421)."""

    signature = Attribute("The MessageSignature.")
    token = Attribute("The IAccessToken that came with it, and is signed with it; None without.")
    place = Attribute("What the request is for, None where no MCP is spoken.")
    source = Attribute("Where it came from: an address, or ``unix``.")


@implementer(IKeySignature)
class KeySignature(msgspec.Struct, frozen=True):
    """See :class:`IKeySignature`."""

    client: str
    hint: str | None
    algorithm: str
    signed: bytes
    signature: bytes
    source: str
    via: str = SIGNATURE


@implementer(IClientCertificate)
class ClientCertificate(msgspec.Struct, frozen=True):
    """See :class:`IClientCertificate`."""

    key: PublicKey
    place: str | None
    source: str


@implementer(ISignedText)
class SignedText(msgspec.Struct, frozen=True):
    """See :class:`ISignedText`."""

    text: bytes
    purpose: str
    signature: SshSignature
    source: str


@implementer(ITicket)
class PresentedTicket(msgspec.Struct, frozen=True):
    """See :class:`ITicket`."""

    text: bytes
    resource: str
    origin: bytes | None
    source: str


@implementer(ILocalUser)
class LocalPeer(msgspec.Struct, frozen=True):
    """See :class:`ILocalUser`."""

    uid: int
    place: str | None


@implementer(IAccessToken)
class AccessToken(msgspec.Struct, frozen=True):
    """See :class:`IAccessToken`."""

    scheme: str
    token: bytes
    proofs: tuple[str, ...]
    method: str
    url: str
    resource: str
    source: str


@implementer(ISignedRequest)
class SignedRequest(msgspec.Struct, frozen=True):
    """See :class:`ISignedRequest`."""

    signature: MessageSignature
    token: AccessToken | None
    place: str | None
    source: str
