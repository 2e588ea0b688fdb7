"""Signing with a key in hardware, which an ssh-agent knows and its person has to touch.

It signs nothing but SSH signatures (:mod:`mcptwist.auth.securitykeys`), so it is for approvals.
"""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from mcptwist.auth.asking.sshagent import Agent
from mcptwist.auth.keyformats import KeyProblem, is_fingerprint
from mcptwist.auth.keys import ISigner
from mcptwist.auth.securitykeys import KINDS, SecurityKey, read_key

_LONGEST = 16 * 1024
_HELP = (
    "the key is in hardware: add it to an ssh-agent (ssh-add), or sign with ssh-keygen -Y sign, "
    "as the page says that shows the code"
)


@implementer(ISigner)
class TouchedSigner:
    """Has its person touch a key.

    :ivar public: the key.
    """

    def __init__(self, agent: Agent, public: SecurityKey) -> None:
        self.public = public
        self._agent = agent

    def sign(self, algorithm: str, data: bytes) -> Any:
        """A Deferred of a signature, with what the key added; fails with ``KeyProblem``."""
        return Deferred.fromCoroutine(self._agent.sign_touched(self.public, data))


async def touched_signer(given: str, agent: Agent | None) -> TouchedSigner | None:
    """What signs with the key in hardware that a person means, ``None`` if they mean another key.

    :param given: a file, its ``.pub`` file, or a fingerprint.
    :raises KeyProblem: it is such a key, and no agent knows it.
    """
    if is_fingerprint(given):
        held = [] if agent is None else await agent.security_keys()
        return next(
            (TouchedSigner(agent, key) for key in held if agent and key.fingerprint == given), None
        )
    meant = _in_file(given if given.endswith(".pub") else f"{given}.pub") if given else None
    if meant is None:
        return None
    if agent is None or meant not in await agent.security_keys():
        raise KeyProblem(_HELP)
    return TouchedSigner(agent, meant)


def _in_file(path: str) -> SecurityKey | None:
    """The key in hardware whose public half a file has; ``None`` where it has none."""
    try:
        with open(os.path.expanduser(path), encoding="utf-8", errors="replace") as file:
            words = file.read(_LONGEST).split()
    except OSError:
        return None
    if len(words) < 2 or words[0] not in KINDS:
        return None
    key = read_key(words[0], words[1])
    return key if isinstance(key, SecurityKey) else None
