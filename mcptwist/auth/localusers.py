"""Users of this machine, who are known by what the system says of a UNIX socket's far end.

In ``authorized_keys`` a user stands where others have a key: ``unix-user 1000`` or ``unix-user
alice``. It has no key, so nothing can be signed for it. Pure, but for :func:`uid_of` and
:func:`name_of`, which ask the system.
"""

from __future__ import annotations

import pwd
import re
import socket
import struct
from typing import Any

from twisted.internet.interfaces import ISSLTransport

KIND = "unix-user"
"""What stands in the place of a key's type."""

_UID = re.compile(r"(?:0|[1-9][0-9]{0,9})\Z", re.ASCII)
_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,31}\Z", re.ASCII)
_IDENTITY = re.compile(r"(?:uid|user):(.+)\Z", re.ASCII)
_NOBODYS = 0xFFFFFFFF
_CREDENTIALS = struct.Struct("3i")


class UserProblem(ValueError):
    """What was given is no user; the message tells why."""


class LocalUser:
    """A user, in the place of a :class:`~mcptwist.auth.keys.PublicKey`.

    :param text: a user's number, or name.
    :ivar fingerprint: what it is known by: ``uid:1000`` or ``user:alice``.
    :raises UserProblem: it is neither.
    """

    kind = KIND
    algorithms: tuple[str, ...] = ()
    thumbprint = ""

    def __init__(self, text: str) -> None:
        if _UID.match(text) and int(text) < _NOBODYS:
            self.fingerprint = f"uid:{text}"
        elif _NAME.match(text):
            self.fingerprint = f"user:{text}"
        else:
            raise UserProblem("is no number or name of a user")

    def __repr__(self) -> str:
        return f"<LocalUser {self.fingerprint}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LocalUser) and other.fingerprint == self.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def verify(self, algorithm: str, signature: bytes, data: bytes) -> bool:
        """Nothing is signed by it."""
        return False

    def words(self) -> str:
        """As ``authorized_keys`` has it."""
        return f"{KIND} {self.fingerprint.partition(':')[2]}"


def is_identity(text: str) -> bool:
    """Whether *text* is what a user is known by: ``uid:1000`` or ``user:alice``."""
    match = _IDENTITY.match(text)
    try:
        return match is not None and LocalUser(match[1]).fingerprint == text
    except UserProblem:
        return False


def uid_of(transport: Any) -> int | None:
    """The user who opened the connection at the far end of a UNIX socket; ``None`` elsewhere.

    As the system knows it (``SO_PEERCRED``, :manpage:`unix(7)`): nobody can pretend it.
    """
    if ISSLTransport.providedBy(transport):
        transport = getattr(transport, "transport", None)
    handle: Any = getattr(transport, "socket", None)
    if getattr(handle, "family", None) != socket.AF_UNIX or not hasattr(socket, "SO_PEERCRED"):
        return None
    try:
        found = handle.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    except OSError:
        return None
    uid: int = _CREDENTIALS.unpack(found)[1] & _NOBODYS
    return None if uid == _NOBODYS else uid


def name_of(uid: int) -> str | None:
    """What the system calls a user; ``None`` if it does not know."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None
