"""Which key we come with: one that was named, or the first of the person's own.

As ssh does: a key that an agent holds is used without its file being opened, and a file with a
passphrase is asked about where there is somebody to be asked. A file is read again when it has
changed.
"""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from mcptwist.auth.asking.sshagent import Agent, AgentSigner
from mcptwist.auth.keyfiles import FileProblem
from mcptwist.auth.keys import ISigner, KeyProblem, PublicKey, is_fingerprint
from mcptwist.auth.keystore import load_private, load_public
from mcptwist.errors import SignInFailed

OWN = ("id_ed25519", "id_ecdsa", "id_rsa")
"""What a person's own keys are called, the one that is taken first."""

Ask = Callable[[str], bytes | None]


class Named(msgspec.Struct, frozen=True):
    """Where a key may be.

    :ivar files: the first that is there is taken; a ``.pub`` names a key that the agent holds.
    :ivar fingerprint: of a key that the agent holds, instead.
    :ivar is_own: whether any other key of the agent's will do where no file is there.
    """

    files: Sequence[str] = ()
    fingerprint: str = ""
    is_own: bool = False


def named(key: str, directory: str) -> Named:
    """What a person means by *key*: a file, a fingerprint, or nothing in particular.

    :param directory: where the person's own keys are.
    """
    if is_fingerprint(key):
        return Named(fingerprint=key)
    if key:
        return Named((key,))
    return Named([os.path.join(directory, name) for name in OWN], is_own=True)


class Identity:
    """The key we come with.

    :param agent: that may hold it, if there is one.
    :param ask: for the passphrase of a file; ``None`` where there is nobody to be asked.
    """

    def __init__(self, where: Named, ask: Ask, agent: Agent | None = None) -> None:
        self._where = where
        self._ask = ask
        self._agent = agent
        self._kept: tuple[Any, ISigner] | None = None

    async def load(self) -> ISigner:
        """The key.

        :raises SignInFailed: there is none, or it cannot be used.
        """
        try:
            return await self._load()
        except (FileProblem, KeyProblem) as problem:
            raise SignInFailed(str(problem)) from None

    async def _load(self) -> ISigner:
        if self._where.fingerprint:
            return await self._held(lambda key: key.fingerprint == self._where.fingerprint)
        path = next((each for each in self._where.files if _is_there(each)), None)
        if path is None:
            return await self._any()
        if path.endswith(".pub") or not os.path.lexists(path):
            public = load_public(path if path.endswith(".pub") else f"{path}.pub")
            return await self._held(lambda key: key == public)
        return await self._of_file(path)

    async def _of_file(self, path: str) -> ISigner:
        """The key of a file, which the agent may have opened already."""
        about = _signs_of(path)
        if self._kept is not None and self._kept[0] == about:
            return self._kept[1]
        try:
            found: ISigner = load_private(path, lambda: None)
        except KeyProblem as problem:
            if "passphrase" not in str(problem):
                raise KeyProblem(f"{path}: {problem}") from None
            found = await self._locked(path)
        self._kept = about, found
        return found

    async def _locked(self, path: str) -> ISigner:
        """The key of a file that has a passphrase."""
        if self._agent is not None and os.path.lexists(f"{path}.pub"):
            public = load_public(f"{path}.pub")
            if public in await self._agent_keys():
                return AgentSigner(self._agent, public)
        try:
            return load_private(path, lambda: self._ask(path))
        except KeyProblem as problem:
            raise KeyProblem(f"{path}: {problem}; add it to an ssh-agent (ssh-add)") from None

    async def _held(self, is_it: Callable[[PublicKey], bool]) -> ISigner:
        """The key that the agent holds."""
        if self._agent is None:
            raise KeyProblem("there is no ssh-agent to hold that key; see SSH_AUTH_SOCK")
        for key in await self._agent.keys():
            if is_it(key):
                return AgentSigner(self._agent, key)
        raise KeyProblem(f"the ssh-agent at {self._agent.path} does not hold that key (ssh-add)")

    async def _any(self) -> ISigner:
        """No file is there: the one key that the agent holds, where any will do."""
        held = await self._agent_keys() if self._where.is_own else []
        if len(held) == 1 and self._agent is not None:
            return AgentSigner(self._agent, held[0])
        if held:
            raise KeyProblem(
                "the server wants to know who is calling, and the ssh-agent holds several keys; "
                f"name one (--identity): {', '.join(key.fingerprint for key in held)}"
            )
        raise KeyProblem(f"the server wants to know who is calling, and {_no_key(self._where)}")

    async def _agent_keys(self) -> list[PublicKey]:
        """What the agent holds; nothing where it does not answer."""
        try:
            return [] if self._agent is None else await self._agent.keys()
        except KeyProblem:
            return []


def _no_key(where: Named) -> str:
    if not where.is_own:
        return f"there is no key {' or '.join(where.files)}"
    directory = os.path.dirname(where.files[0])
    return (
        f"there is no key ({', '.join(map(os.path.basename, where.files))}) in {directory}; make "
        "one with mcptwist keygen, or name another (--identity)"
    )


def _is_there(path: str) -> bool:
    return os.path.lexists(path) or os.path.lexists(f"{path}.pub")


def _signs_of(path: str) -> Any:
    try:
        about = os.stat(path)
    except OSError:
        return None
    return path, about.st_mtime_ns, about.st_ino, about.st_size, about.st_mode


def ask_passphrase(path: str = "") -> bytes | None:
    """The passphrase of a key, where there is somebody to be asked."""
    if not sys.stdin or not sys.stdin.isatty():
        return None
    prompt = f"Enter passphrase for key '{path}': " if path else "Passphrase: "
    try:
        return getpass.getpass(prompt).encode()
    except EOFError:
        return None


def ask_nobody(_: str = "") -> bytes | None:
    """There is nobody to be asked."""
    return None
