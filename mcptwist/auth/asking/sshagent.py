"""Signing with keys that an ssh-agent holds: the asking side of its protocol.

The agent has the private key, and we never do. It is asked over the socket that ``SSH_AUTH_SOCK``
names; it may ask its person first (``ssh-add -c``), so an answer may take its time.

What is signed begins as nothing that SSH signs does: a JWS with ``eyJ``, and an SSH login with the
length of a session's identifier. draft-ietf-sshm-ssh-agent, RFC 8332 (RSA with SHA-2), RFC 8709.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.protocol import Factory, connectionDone
from twisted.protocols.basic import Int32StringReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from mcptwist.auth.keyformats import string, strings
from mcptwist.auth.keys import ED25519, P256, RSA, ISigner, KeyProblem, PublicKey
from mcptwist.auth.securitykeys import SecurityKey, read_touched

_Key = TypeVar("_Key")

VARIABLE = "SSH_AUTH_SOCK"
LARGEST = 256 * 1024
"""Bytes that a message may have; OpenSSH's own bound."""
_LISTING, _SIGNING = 5.0, 60.0
"""Seconds that an agent may take; a person may have to say yes."""

_REQUEST_IDENTITIES, _IDENTITIES = 11, 12
_SIGN_REQUEST, _SIGNED = 13, 14
_RSA_SHA2_256 = 2
_MOST_KEYS = 1000

#: JWS algorithm → flags, and what the agent calls the signature.
_ALGORITHMS = {
    "EdDSA": (0, ED25519),
    "Ed25519": (0, ED25519),
    "ES256": (0, P256),
    "RS256": (_RSA_SHA2_256, "rsa-sha2-256"),
}


class Agent:
    """An ssh-agent.

    :param path: of its socket.
    :param reactor: connects and knows the time.
    """

    def __init__(self, path: str, reactor: Any) -> None:
        self.path = path
        self._reactor = reactor

    async def keys(self) -> list[PublicKey]:
        """The keys it holds, of the kinds we take.

        :raises KeyProblem: it does not answer.
        """
        return await self._listed(PublicKey.from_blob)

    async def security_keys(self) -> list[SecurityKey]:
        """The keys in hardware that it knows.

        :raises KeyProblem: it does not answer.
        """
        return await self._listed(SecurityKey)

    async def _listed(self, read: Callable[[bytes], _Key]) -> list[_Key]:
        kind, rest = await self._ask(bytes([_REQUEST_IDENTITIES]), _LISTING)
        if kind != _IDENTITIES or len(rest) < 4:
            raise KeyProblem(f"the ssh-agent at {self.path} does not list its keys")
        found: list[_Key] = []
        # Every key's blob is followed by its comment.
        for blob in strings(rest[4:])[::2][:_MOST_KEYS]:
            try:
                found.append(read(blob))
            except KeyProblem:
                continue
        return found

    async def sign(self, key: PublicKey, algorithm: str, data: bytes) -> bytes:
        """A signature as JWS has it.

        :raises KeyProblem: it does not sign, or not with that key.
        """
        if algorithm not in _ALGORITHMS or algorithm not in key.algorithms:
            raise KeyProblem(f"an ssh-agent makes no {algorithm} with a key of type {key.kind}")
        flags, name = _ALGORITHMS[algorithm]
        signature = _read_signature(await self._signed(key, data, flags), name, key)
        if not key.verify(algorithm, signature, data):
            raise KeyProblem(f"what the ssh-agent at {self.path} signs is not good")
        return signature

    async def sign_touched(self, key: SecurityKey, data: bytes) -> bytes:
        """A signature of a key in hardware, with the flags and the counter that it added.

        :raises KeyProblem: it does not sign, or nobody has touched the key.
        """
        signature = _read_touched(await self._signed(key, data, 0), key)
        if not key.is_touched(signature, data):
            raise KeyProblem(f"what the ssh-agent at {self.path} signs is not good, or not touched")
        return signature

    async def _signed(self, key: PublicKey | SecurityKey, data: bytes, flags: int) -> bytes:
        asked = string(key.blob) + string(data) + flags.to_bytes(4, "big")
        kind, rest = await self._ask(bytes([_SIGN_REQUEST]) + asked, _SIGNING)
        if kind != _SIGNED:
            raise KeyProblem(f"the ssh-agent at {self.path} does not sign with {key.fingerprint}")
        return rest

    async def _ask(self, message: bytes, patience: float) -> tuple[int, bytes]:
        """The type and the rest of the answer, over a connection of its own."""
        asking = _Asking(message)
        endpoint = UNIXClientEndpoint(self._reactor, self.path, timeout=_LISTING)
        factory = Factory.forProtocol(lambda: asking)
        factory.noisy = False
        try:
            await endpoint.connect(factory)
            asking.answered.addTimeout(patience, self._reactor)
            answer = await asking.answered
        except CancelledError:
            raise
        except Exception as problem:
            raise KeyProblem(f"the ssh-agent at {self.path} does not answer: {problem}") from None
        if not answer:
            raise KeyProblem(f"the ssh-agent at {self.path} says nothing")
        return answer[0], answer[1:]


@implementer(ISigner)
class AgentSigner:
    """Signs with a key that an agent holds.

    :ivar public: the key.
    """

    def __init__(self, agent: Agent, public: PublicKey) -> None:
        self.public = public
        self._agent = agent

    def sign(self, algorithm: str, data: bytes) -> Any:
        """A Deferred of a signature as JWS has it; fails with ``KeyProblem``."""
        return Deferred.fromCoroutine(self._agent.sign(self.public, algorithm, data))


class _Asking(Int32StringReceiver):
    """One question.

    :ivar answered: fires with the answer.
    """

    MAX_LENGTH = LARGEST
    transport: Any

    def __init__(self, message: bytes) -> None:
        self.answered: Deferred[bytes] = Deferred(lambda _: self.transport.abortConnection())
        self._message = message

    def connectionMade(self) -> None:
        """Called when there is a connection."""
        self.sendString(self._message)

    def stringReceived(self, answer: bytes) -> None:
        """Called with the answer."""
        self.transport.loseConnection()
        self._tell(answer)

    def lengthLimitExceeded(self, length: int) -> None:
        """Called when the answer is too long."""
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Called when the connection is gone."""
        self._tell(b"")

    def _tell(self, answer: bytes) -> None:
        if not self.answered.called:
            self.answered.callback(answer)


def _read_touched(rest: bytes, key: SecurityKey) -> bytes:
    """The signature of a key in hardware in an answer, as the key takes it.

    :raises KeyProblem: it is of another kind, or malformed.
    """
    whole = strings(rest)
    found = read_touched(whole[0]) if len(whole) == 1 else None
    if found is None or found[0] != key.kind:
        raise KeyProblem("the ssh-agent signs in another way than it was asked to")
    return found[1]


def _read_signature(rest: bytes, name: str, key: PublicKey) -> bytes:
    """The signature in an answer, as JWS has it.

    :raises KeyProblem: it is of another kind, or cut short.
    """
    whole = strings(rest)
    parts = strings(whole[0]) if len(whole) == 1 else []
    if len(parts) != 2 or parts[0] != name.encode():
        raise KeyProblem("the ssh-agent signs in another way than it was asked to")
    if key.kind == P256:
        numbers = [int.from_bytes(part, "big") for part in strings(parts[1])]
        if len(numbers) != 2 or max(numbers) >= 1 << 256:
            raise KeyProblem("the ssh-agent's signature is malformed")
        return b"".join(number.to_bytes(32, "big") for number in numbers)
    if key.kind == RSA:
        size = len(strings(key.blob)[2].lstrip(b"\0"))
        return parts[1].rjust(size, b"\0")
    return parts[1]
