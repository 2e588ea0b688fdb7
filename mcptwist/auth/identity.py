"""Which key we come with: one that was named, or the first of the person's own.

A file is read again when it has changed, and a passphrase is asked for once.
"""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from mcptwist.auth.keyfiles import FileProblem
from mcptwist.auth.keys import ISigner, KeyProblem
from mcptwist.auth.keystore import load_private
from mcptwist.errors import SignInFailed

OWN = ("id_ed25519", "id_ecdsa", "id_rsa")
"""What a person's own keys are called, the one that is taken first."""

Ask = Callable[[str], bytes | None]


class Identity:
    """Where the key is.

    :param files: where it may be; the first that is there is taken.
    :param ask: for the passphrase of a file; ``None`` where there is nobody to be asked.
    """

    def __init__(self, files: Sequence[str], ask: Ask) -> None:
        self._files = files
        self._ask = ask
        self._kept: tuple[Any, ISigner] | None = None

    async def load(self) -> ISigner:
        """The key.

        :raises SignInFailed: there is none, or it cannot be used.
        """
        path = next((each for each in self._files if os.path.lexists(each)), None)
        if path is None:
            raise SignInFailed(
                "it wants to know who is calling, and there is no key at "
                f"{' or '.join(self._files)}; make one with mcptwist keygen, or name another"
            )
        try:
            return self._read(path)
        except (FileProblem, KeyProblem) as problem:
            raise SignInFailed(_unusable(path, str(problem))) from None

    def _read(self, path: str) -> ISigner:
        about = _signs_of(path)
        if self._kept is None or self._kept[0] != about:
            self._kept = about, load_private(path, lambda: self._ask(path))
        return self._kept[1]


def _unusable(path: str, problem: str) -> str:
    said = problem if path in problem else f"{path}: {problem}"
    advice = "; add it to an ssh-agent (ssh-add), or make one without (mcptwist keygen)"
    return said + advice if "passphrase" in problem else said


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
    return getpass.getpass(prompt).encode()


def ask_nobody(_: str = "") -> bytes | None:
    """There is nobody to be asked."""
    return None
