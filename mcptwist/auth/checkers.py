"""Whether what a caller brings is true.

A checker returns the :class:`~mcptwist.auth.realm.Proved`, at once, or raises
:class:`CredentialsRefused`, whose reason is for the audit log alone.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.error import UnauthorizedLogin
from zope.interface import implementer

from mcptwist.auth.authorizedkeys import Grant, Key
from mcptwist.auth.credentials import (
    IAccessToken,
    IClientCertificate,
    IKeySignature,
    ILocalUser,
    ISignedText,
    ITicket,
)
from mcptwist.auth.guestbook import Guestbook
from mcptwist.auth.keyring import Keyring
from mcptwist.auth.keys import (
    ALGORITHMS,
    ED25519,
    P256,
    RSA,
    SMALLEST_RSA,
    PrivateKey,
    PublicKey,
    to_base64url,
)
from mcptwist.auth.localusers import name_of
from mcptwist.auth.oauth.dpop import ProofReader, ProofRefused
from mcptwist.auth.oauth.tokens import LONGEST, Token, TokenTable, is_ours
from mcptwist.auth.patterns import UNIX
from mcptwist.auth.realm import APPROVAL, CERTIFICATE, LOCAL, PROOF, TICKET, TOKEN, Proved
from mcptwist.auth.tickets import TicketTable

INVALID_TOKEN, INVALID_PROOF, USE_NONCE = (
    "invalid_token",
    "invalid_dpop_proof",
    "use_dpop_nonce",
)


class CredentialsRefused(UnauthorizedLogin):
    """They are not believed.

    :ivar reason: why, for the audit log.
    :ivar error: what the caller may be told (RFC 6750 section 3.1, RFC 9449 section 7.1); nothing
        of what is no token.
    :ivar is_stale: whether it looks like something that was good once.
    """

    def __init__(
        self, reason: str, error: str | None = INVALID_TOKEN, is_stale: bool = False
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.error = error
        self.is_stale = is_stale


class MustSign(CredentialsRefused):
    """The key is good, and has to sign the requests themselves."""

    def __init__(self) -> None:
        super().__init__("the key must sign its requests", None)


@implementer(ICredentialsChecker)
class KeySignatureChecker:
    """Looks signatures up among the good keys.

    Whoever is refused costs the same, known or not, with however many keys: as many signatures are
    verified as the principal with most keys has, with a key of nobody's where there are fewer.
    """

    credentialInterfaces = (IKeySignature,)

    def __init__(self, keyring: Keyring, guestbook: Guestbook | None = None) -> None:
        self._keyring = keyring
        self._guestbook = guestbook
        self._nobody = _keys_of_nobody()

    # Twisted's stubs want a Deferred; the portal takes an answer at once as well.
    def requestAvatarId(self, credentials: IKeySignature) -> Proved:  # type: ignore[override]
        """Called by the portal.

        :raises MustSign: a proof on a WebSocket does not do for that key.
        """
        known = self._keyring.candidates(credentials.client)
        good = [grant for grant in known if _fits(grant, credentials)]
        for grant in good:
            if _is_signed(grant.key, credentials):
                if credentials.via == PROOF and grant.require_signature:
                    raise MustSign
                return Proved(grant, credentials.via)
        nobody = self._nobody.get(credentials.algorithm)
        if nobody is None:
            raise CredentialsRefused("algorithm is none that is taken")
        for _ in range(len(good), max(1, self._keyring.most_keys)):
            _is_signed(nobody, credentials)
        if not known and self._guestbook is not None:
            self._guestbook.knocked(credentials.client, credentials.source)
        reason = "unknown client" if not known else "wrong key" if good else "not from there"
        raise CredentialsRefused(reason)


def _keys_of_nobody() -> dict[str, PublicKey]:
    """For each algorithm a key to try where there is none; what it says is not listened to.

    The RSA key is a number nobody has factors of, for making a real one takes a third of a second.
    """
    modulus = to_base64url(b"\xff" * (SMALLEST_RSA // 8))
    keys = {
        ED25519: PrivateKey.generate(ED25519).public,
        P256: PrivateKey.generate(P256).public,
        RSA: PublicKey.from_jwk({"kty": "RSA", "n": modulus, "e": "AQAB"}),
    }
    return {name: keys[kind] for kind, names in ALGORITHMS.items() for name in names}


def _fits(grant: Grant, credentials: IKeySignature) -> bool:
    """Whether that key may be meant, and may be used like this."""
    hint, key = credentials.hint, grant.key
    allowed = grant.websocket if credentials.via == PROOF else grant.oauth
    if credentials.algorithm not in key.algorithms or not allowed:
        return False
    if hint is not None and hint not in (key.fingerprint, key.thumbprint):
        return False
    return grant.takes(credentials.source)


def _is_signed(key: Key, credentials: IKeySignature) -> bool:
    return key.verify(credentials.algorithm, credentials.signature, credentials.signed)


@implementer(ICredentialsChecker)
class AccessTokenChecker:
    """Looks tokens up, and holds the proofs that come with them against them."""

    credentialInterfaces = (IAccessToken,)

    def __init__(self, tokens: TokenTable, keyring: Keyring, proofs: ProofReader) -> None:
        self._tokens = tokens
        self._keyring = keyring
        self._proofs = proofs

    def requestAvatarId(self, credentials: IAccessToken) -> Proved:  # type: ignore[override]
        """Called by the portal.

        :raises ReplaysFull: a proof cannot be remembered.
        """
        if credentials.scheme not in ("bearer", "dpop"):
            raise CredentialsRefused("the scheme is neither Bearer nor DPoP")
        token = self._found(credentials.token)
        grant = self._keyring.grant(token.key)
        if grant is None:
            raise CredentialsRefused("the key is not good any more")
        if token.resource != credentials.resource:
            raise CredentialsRefused("the token is for another resource", is_stale=True)
        if not grant.takes(credentials.source):
            raise CredentialsRefused("not from there")
        self._check_possession(token, credentials)
        self._tokens.seen(token, credentials.source)
        return Proved(grant, TOKEN, token)

    def _found(self, text: bytes) -> Token:
        if len(text) > LONGEST:
            raise CredentialsRefused("the token is too long")
        token = self._tokens.find(text)
        if token is None:
            stale = is_ours(text)
            reason = "the token has ended" if stale else "the token is none of ours"
            raise CredentialsRefused(reason, is_stale=stale)
        return token

    def _check_possession(self, token: Token, credentials: IAccessToken) -> None:
        if token.jkt is None:
            if credentials.scheme != "bearer":
                raise CredentialsRefused("the token is bound to no key")
            return
        if credentials.scheme != "dpop":
            raise CredentialsRefused("the token is bound to a key and came without proof")
        if len(credentials.proofs) != 1:
            raise CredentialsRefused("there must be one proof", INVALID_PROOF)
        proof = credentials.proofs[0]
        try:
            self._proofs.read(
                proof, credentials.method, credentials.url, credentials.token, token.jkt
            )
        except ProofRefused as refused:
            error = USE_NONCE if refused.wants_nonce else INVALID_PROOF
            raise CredentialsRefused(f"the proof {refused.reason}", error) from None


@implementer(ICredentialsChecker)
class ClientCertificateChecker:
    """Looks the keys of client certificates up among the good ones.

    Nothing else in a certificate counts: not who signed it, nor for whom, nor until when.
    """

    credentialInterfaces = (IClientCertificate,)

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def requestAvatarId(self, credentials: IClientCertificate) -> Proved:  # type: ignore[override]
        """Called by the portal."""
        grant = self._keyring.grant(credentials.key.fingerprint)
        if grant is None:
            raise CredentialsRefused("the certificate's key is not known, or not good", None)
        if not grant.mtls:
            raise CredentialsRefused("the key is not good for certificates", None)
        check_use(grant, credentials.place, credentials.source)
        return Proved(grant, CERTIFICATE)


@implementer(ICredentialsChecker)
class SignedTextChecker:
    """Looks up whose key has signed a text.

    The signature is verified with the key that it brings, and only then is that looked up: whoever
    is refused costs the same, known or not.
    """

    credentialInterfaces = (ISignedText,)

    def __init__(self, keyring: Keyring, guestbook: Guestbook | None = None) -> None:
        self._keyring = keyring
        self._guestbook = guestbook

    def requestAvatarId(self, credentials: ISignedText) -> Proved:  # type: ignore[override]
        """Called by the portal."""
        signature, purpose = credentials.signature, credentials.purpose
        if not signature.is_of(credentials.text, purpose):
            is_other = signature.namespace != purpose
            reason = "signed for another purpose" if is_other else "another text, or another key"
            raise CredentialsRefused(reason, None)
        fingerprint = signature.key.fingerprint
        grant = self._keyring.grant(fingerprint)
        if grant is None:
            if self._guestbook is not None and fingerprint not in self._keyring.told.grants:
                self._guestbook.knocked(fingerprint, credentials.source)
            raise CredentialsRefused("the key is not known, or not good", None)
        if not grant.oauth:
            raise CredentialsRefused("the key is not good for tokens", None)
        if not grant.takes(credentials.source):
            raise CredentialsRefused("not from there", None)
        return Proved(grant, APPROVAL)


@implementer(ICredentialsChecker)
class TicketChecker:
    """Takes tickets; each is used up, whatever comes of it."""

    credentialInterfaces = (ITicket,)

    def __init__(self, tickets: TicketTable, keyring: Keyring) -> None:
        self._tickets = tickets
        self._keyring = keyring

    def requestAvatarId(self, credentials: ITicket) -> Proved:  # type: ignore[override]
        """Called by the portal."""
        ticket = self._tickets.use(credentials.text)
        if ticket is None:
            raise CredentialsRefused("the ticket was used, has ended, or is none", None, True)
        grant = self._keyring.grant(ticket.key)
        if grant is None or not (ticket.token is None or ticket.token.is_live):
            raise CredentialsRefused("the ticket's key or token is not good any more", None)
        if ticket.resource != credentials.resource:
            raise CredentialsRefused("the ticket is for another resource", None)
        if ticket.origin != credentials.origin:
            raise CredentialsRefused("the ticket is for pages of another origin", None)
        if not grant.takes(credentials.source):
            raise CredentialsRefused("not from there", None)
        return Proved(grant, TICKET, ticket.token)


@implementer(ICredentialsChecker)
class LocalUserChecker:
    """Looks users of this machine up, by their numbers first and then by their names.

    :param name_of: what the system calls a user of a number, or ``None``.
    """

    credentialInterfaces = (ILocalUser,)

    def __init__(self, keyring: Keyring, name_of: Callable[[int], str | None] = name_of) -> None:
        self._keyring = keyring
        self._name_of = name_of

    def requestAvatarId(self, credentials: ILocalUser) -> Proved:  # type: ignore[override]
        """Called by the portal."""
        grant = self._keyring.grant(f"uid:{credentials.uid}")
        if grant is None:
            name = self._name_of(credentials.uid)
            grant = None if name is None else self._keyring.grant(f"user:{name}")
        if grant is None:
            raise CredentialsRefused(f"the user {credentials.uid} may not come in", None)
        check_use(grant, credentials.place, UNIX)
        return Proved(grant, LOCAL)


def check_use(grant: Grant, place: str | None, source: str) -> None:
    """Whether what was proved is good for that place, and from there.

    :raises CredentialsRefused: it is not.
    """
    if not grant.takes(source):
        raise CredentialsRefused("not from there", None)
    if not grant.leads_to(place):
        raise CredentialsRefused("the key is not for that place", None)
