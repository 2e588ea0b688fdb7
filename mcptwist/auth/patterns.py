"""Lists of names and addresses that stand in options: what they allow.

A pattern is a name with ``*`` for any number of characters and ``?`` for one. Pure.
"""

from __future__ import annotations

import fnmatch
import ipaddress
import re
from typing import TypeAlias

LONGEST = 512
MOST = 256
UNIX = "unix"

_PATTERN = re.compile(r"[!-~]+\Z", re.ASCII)
_NOT_TAKEN = frozenset('"!\\[]')
_Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


class PatternProblem(ValueError):
    """The list is not understood; the message tells why."""


class Patterns:
    """A list of which one pattern must match.

    :param text: patterns with commas between them.
    :raises PatternProblem: the text is no such list.
    """

    __slots__ = ("_match", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        patterns = [_checked(pattern) for pattern in text.split(",")]
        if len(patterns) > MOST:
            raise PatternProblem(f"has more than {MOST} patterns")
        self._match = re.compile("|".join(fnmatch.translate(each) for each in patterns)).match

    def __repr__(self) -> str:
        return f"Patterns({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Patterns) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def allow(self, name: str) -> bool:
        """Whether one of them matches all of *name*."""
        return self._match(name) is not None


def _checked(pattern: str) -> str:
    if not _PATTERN.match(pattern) or _NOT_TAKEN & set(pattern) or len(pattern) > LONGEST:
        raise PatternProblem("holds something that is no pattern")
    return pattern


class Sources:
    """The networks that a list names, and ``unix`` for sockets of this machine.

    :param text: addresses in CIDR notation with commas between them.
    :raises PatternProblem: the text is no such list.
    """

    __slots__ = ("_networks", "_unix", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        words = text.split(",")
        if len(words) > MOST:
            raise PatternProblem(f"has more than {MOST} networks")
        self._unix = UNIX in words
        self._networks = [_network(word) for word in words if word != UNIX]

    def __repr__(self) -> str:
        return f"Sources({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sources) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def allow(self, host: str) -> bool:
        """Whether *host*, an address or ``unix``, is in one of them."""
        if host == UNIX:
            return self._unix
        address = address_of(host)
        return address is not None and any(address in network for network in self._networks)


def _network(word: str) -> _Network:
    try:
        return ipaddress.ip_network(word)
    except ValueError:
        raise PatternProblem("holds something that is no network") from None


def address_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that *host* is: an IPv4 address in IPv6's clothes is IPv4, zones are left out."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address
