"""Requests that are signed as a whole: whose they are, and whether their bodies were signed.

Who a request is from is said on its head, before its body is there. So a good head is let in, and
the body is held against the digest in it before anybody acts on it.

RFC 9421; the checks are those of MCP's draft SEP-2752, section 3.2.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

from twisted.cred.checkers import ICredentialsChecker
from zope.interface import implementer

from mcptwist.auth.addresses import Address
from mcptwist.auth.authorizedkeys import Grant
from mcptwist.auth.checkers import AccessTokenChecker, CredentialsRefused, check_use
from mcptwist.auth.credentials import AccessToken, ISignedRequest, SignedRequest
from mcptwist.auth.httpsignatures import (
    AGE,
    BadSignature,
    Head,
    MessageSignature,
    algorithm_of,
    is_signed,
    read_signature,
)
from mcptwist.auth.keyring import Keyring
from mcptwist.auth.keys import ED25519, PrivateKey
from mcptwist.auth.oauth.replay import Replays
from mcptwist.auth.oauth.tokens import Token
from mcptwist.auth.realm import SIGNED, Proved
from mcptwist.protocols.request import Request


def signed_request(
    request: Request, address: Address, source: str, token: AccessToken | None
) -> SignedRequest | None:
    """What the signature of *request* says, ``None`` if it has none.

    Where it went is what we are known by, and never what a proxy says.

    :param token: that came with it.
    :raises CredentialsRefused: the signature cannot be understood, or covers too little.
    """
    values = request.header_values
    if not is_signed(values):
        return None
    url = address.base + request.uri.decode("latin-1")
    try:
        found = read_signature(Head(request.method.decode("latin-1"), url, values))
    except BadSignature as problem:
        raise _refused(problem) from None
    return SignedRequest(found, token, address.place, source)


def is_of_body(signature: MessageSignature, body: bytes) -> bool:
    """Whether *body* is the one that was signed."""
    return hmac.compare_digest(hashlib.sha256(body).digest(), signature.digest)


@implementer(ICredentialsChecker)
class SignedRequestChecker:
    """Looks the keys of signatures up among the good ones.

    :param tokens: checks the tokens that come with signed requests.
    :param replays: where nonces that were used are remembered.
    :param wall: seconds since 1970.
    :param age: seconds that a signature may be old.
    """

    credentialInterfaces = (ISignedRequest,)

    def __init__(
        self,
        keyring: Keyring,
        tokens: AccessTokenChecker,
        replays: Replays,
        wall: Callable[[], float],
        age: float = AGE,
    ) -> None:
        self._keyring = keyring
        self._tokens = tokens
        self._replays = replays
        self._wall = wall
        self._age = age
        # For signatures with keys that nobody has: these cost as much as others.
        self._nobody = PrivateKey.generate(ED25519).public

    def requestAvatarId(self, credentials: ISignedRequest) -> Proved:  # type: ignore[override]
        """Called by the portal.

        :raises ReplaysFull: the nonce cannot be remembered.
        """
        signature = credentials.signature
        try:
            signature.check_time(self._wall(), self._replays.remembers_since, self._age)
        except BadSignature as problem:
            raise _refused(problem) from None
        grant = self._signer(signature)
        check_use(grant, credentials.place, credentials.source)
        token = self._token(credentials, grant)
        # Last, so that nobody fills the cache with what is not good.
        owner = f"signature {grant.key.fingerprint}"
        if not self._replays.first_use(owner, signature.nonce, signature.until(self._age)):
            raise CredentialsRefused("the signature's nonce was used before", None)
        return Proved(grant, SIGNED, token)

    def _signer(self, signature: MessageSignature) -> Grant:
        grant = self._keyring.of_thumbprint(signature.keyid)
        if grant is None:
            self._nobody.verify("EdDSA", signature.signature, signature.signed)
            raise CredentialsRefused("the signature's key is not known, or not good", None)
        key = grant.key
        algorithm = algorithm_of(key.kind, signature.algorithm)
        if algorithm is None:
            raise CredentialsRefused("the signature's algorithm is not its key's", None)
        if not key.verify(algorithm, signature.signature, signature.signed):
            raise CredentialsRefused("the signature is wrong", None)
        return grant

    def _token(self, credentials: ISignedRequest, grant: Grant) -> Token | None:
        """The token that came with it: the same key's, and nobody else's."""
        if credentials.token is None:
            return None
        proved = self._tokens.requestAvatarId(credentials.token)
        if proved.grant is not grant:
            raise CredentialsRefused("the token is of another key than the signature", None)
        return proved.token


def _refused(problem: BadSignature) -> CredentialsRefused:
    return CredentialsRefused(f"the signature {problem.reason}", None, problem.is_stale)
