"""``known_hosts``: the keys of servers, as OpenSSH keeps them.

``ssh-keygen -F``, ``-R`` and ``-H`` work on such a file. A line that is not understood is kept when
the file is written again, and speaks for no one: whoever it may have named is unknown.
What is revoked is revoked whichever host it is seen at.

``sshd(8)``, *SSH_KNOWN_HOSTS FILE FORMAT*. Pure.
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hmac
import re
from collections.abc import Callable, Iterable, Sequence

import msgspec

from mcptwist.auth.keyformats import SMALLEST_HOST_RSA
from mcptwist.auth.keys import KeyProblem, PublicKey

KNOWN, UNKNOWN, CHANGED, REVOKED = "known", "unknown", "changed", "revoked"
REVOKED_MARK, AUTHORITY_MARK = "@revoked", "@cert-authority"
SSH_PORT = 22

_SPACES = re.compile(r"[ \t]+")
_SALT = 20


class KnownHost(msgspec.Struct, frozen=True):
    """One line that was understood.

    :ivar hosts: patterns, or hashed names.
    :ivar revoked: whether the key is not to be believed anywhere.
    """

    hosts: tuple[str, ...]
    key: PublicKey
    revoked: bool = False

    def names(self, name: str) -> bool:
        """Whether the line is about *name*, as :func:`name_of` writes it."""
        if any(_matches(each[1:], name) for each in self.hosts if each.startswith("!")):
            return False
        return any(_matches(each, name) for each in self.hosts if not each.startswith("!"))


class KnownHosts:
    """What a file says.

    :param text: of the file.
    """

    def __init__(self, text: str = "") -> None:
        self._lines = text.removesuffix("\n").split("\n") if text else []
        self._hosts = [read_host(line) for line in self._lines]

    def keys(self, host: str, port: int) -> list[PublicKey]:
        """The keys that are known of a host and not revoked."""
        name = name_of(host, port)
        revoked = {each.key for each in self._entries() if each.revoked}
        return [
            each.key
            for each in self._entries()
            if not each.revoked and each.key not in revoked and each.names(name)
        ]

    def verdict(self, host: str, port: int, key: PublicKey) -> str:
        """What is to be thought of a host that shows *key*."""
        name = name_of(host, port)
        found = [each for each in self._entries() if each.names(name)]
        if any(each.revoked and each.key == key for each in self._entries()):
            return REVOKED
        if any(each.key == key for each in found):
            return KNOWN
        return CHANGED if any(not each.revoked for each in found) else UNKNOWN

    def found(self, host: str, port: int) -> list[tuple[int, str, KnownHost]]:
        """The lines about a host: the number of each from 1 on, its text, and what it says."""
        name = name_of(host, port)
        lines = enumerate(zip(self._lines, self._hosts, strict=True), 1)
        return [
            (number, line, entry)
            for number, (line, entry) in lines
            if entry is not None and entry.names(name)
        ]

    def hashed(self, make_bytes: Callable[[int], bytes]) -> tuple[str, int, int]:
        """The text with the names of hosts hashed, each on a line and with a salt of its own.

        Patterns and marks mean several hosts, so their lines stay, as with ``ssh-keygen -H``.

        :return: the text, how many names were hashed, and how many lines have names that were not.
        """
        lines: list[str] = []
        count = left = 0
        for line, entry in zip(self._lines, self._hosts, strict=True):
            if entry is None or all(each.startswith("|") for each in entry.hosts):
                lines.append(line)
            elif entry.revoked or any(_is_pattern(each) for each in entry.hosts):
                lines.append(line)
                left += 1
            else:
                rest = _SPACES.split(line.strip(" \t\r"), 1)[1]
                for host in entry.hosts:
                    name = (
                        host if host.startswith("|") else _hashed(host.lower(), make_bytes(_SALT))
                    )
                    lines.append(f"{name} {rest}")
                    count += name is not host
        return "".join(f"{line}\n" for line in lines), count, left

    def without(self, host: str, port: int) -> tuple[str, int]:
        """The text without the lines about a host, and how many these were; marks stay."""
        name = name_of(host, port)
        kept = [
            line
            for line, entry in zip(self._lines, self._hosts, strict=True)
            if entry is None or entry.revoked or not entry.names(name)
        ]
        return "".join(f"{line}\n" for line in kept), len(self._lines) - len(kept)

    def updated(self, host: str, port: int, keys: Sequence[PublicKey]) -> str:
        """The text, with these keys for a host and no others.

        A line is taken away only if it is about nobody else; marks stay, and a key that is revoked
        is not added. Where the host's name is hashed, it stays hashed: new lines have the same one.
        """
        name = name_of(host, port)
        lines: list[str] = []
        hosts, here = name, set()
        for line, entry in zip(self._lines, self._hosts, strict=True):
            if entry is None or entry.revoked or not entry.names(name):
                lines.append(line)
                continue
            if len(entry.hosts) > 1 or _is_pattern(entry.hosts[0]):
                lines.append(line)
                here.add(entry.key)
            elif entry.key in keys:
                lines.append(line)
                here.add(entry.key)
                hosts = entry.hosts[0]
            else:
                hosts = entry.hosts[0]
        revoked = {each.key for each in self._entries() if each.revoked}
        lines += [f"{hosts} {key.words()}" for key in keys if key not in here | revoked]
        return "".join(f"{line}\n" for line in lines)

    def _entries(self) -> Iterable[KnownHost]:
        return (each for each in self._hosts if each is not None)


def read_host(line: str) -> KnownHost | None:
    """Read one line; ``None`` if it is a comment, or is not understood."""
    words = _SPACES.split(line.strip(" \t\r"))
    if not words[0] or words[0].startswith("#"):
        return None
    revoked = words[0] == REVOKED_MARK
    if words[0].startswith("@"):
        words = words[1:] if revoked else []
    if len(words) < 3:
        return None
    try:
        key = PublicKey.from_words(words[1], words[2], SMALLEST_HOST_RSA)
    except KeyProblem:
        return None
    return KnownHost(tuple(words[0].split(",")), key, revoked)


def name_of(host: str, port: int) -> str:
    """A host as the file has it: ``[host]:port``, or the host alone at SSH's own port."""
    plain = host.strip("[]").lower()
    return plain if port == SSH_PORT else f"[{plain}]:{port}"


def line_of(
    host: str, port: int, key: PublicKey, make_bytes: Callable[[int], bytes] | None = None
) -> str:
    """The line that makes a host known.

    :param make_bytes: with it, the name is hashed with a salt of its own.
    """
    name = name_of(host, port)
    if make_bytes is not None:
        name = _hashed(name, make_bytes(_SALT))
    return f"{name} {key.words()}"


def _hashed(name: str, salt: bytes) -> str:
    mac = hmac.digest(salt, name.encode(), "sha1")
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(mac).decode()}"


def _is_pattern(host: str) -> bool:
    """Whether it may stand for several hosts, or for none."""
    return host.startswith("!") or "*" in host or "?" in host


def _matches(pattern: str, name: str) -> bool:
    if not pattern.startswith("|"):
        escaped = pattern.lower().replace("[", "[[]")
        return fnmatch.fnmatchcase(name, escaped)
    parts = pattern.split("|")
    if len(parts) != 4 or parts[1] != "1":
        return False
    try:
        salt = base64.b64decode(parts[2], validate=True)
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(_hashed(name, salt).encode(), pattern.encode())
