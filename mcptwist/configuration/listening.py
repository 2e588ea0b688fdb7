"""Where the daemon listens, under which names it answers, and whom: endpoints, hosts and origins.

Readers of settings (see :mod:`mcptwist.configuration.settings`). Nothing is opened and no name is
looked up: an endpoint whose kind cannot be checked without that is taken as it is.
"""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IStreamServerEndpointStringParser
from twisted.plugin import getPlugins

from mcptwist.configuration.settings import Place, full_text, many, shown, text

#: What an entry begins with that is encrypted, and what Twisted's endpoint begins with instead.
_ENCRYPTED = (("https:", "tcp:"), ("https+", ""), ("mtls:", "tcp:"), ("mtls+", ""))
#: The same, where clients are asked for certificates.
_MUTUAL = ("mtls:", "mtls+")

#: Where the daemon listens unless told otherwise.
DEFAULT_ENDPOINT = "tcp:8808:interface=127.0.0.1"


def encrypted(entry: str) -> tuple[bool, str]:
    """Whether an entry of ``listen`` is encrypted, and the Twisted endpoint that it stands for.

    ``https:`` stands for ``tcp:``; ``https+`` is put before any other endpoint. So do ``mtls:`` and
    ``mtls+``, for endpoints that ask clients for certificates.
    """
    for ours, twisteds in _ENCRYPTED:
        if entry.startswith(ours):
            return True, twisteds + entry.removeprefix(ours)
    return False, entry


def is_mutual(entry: str) -> bool:
    """Whether clients must show certificates there."""
    return entry.startswith(_MUTUAL)


#: What an entry begins with on which messages are lines, without HTTP.
LINES = "lines:"


def _endpoint(place: Place, value: Any) -> str | None:
    found = full_text(place, value)
    if found is None:
        return None
    if found.startswith(LINES) and not found.startswith(f"{LINES}unix:"):
        # A page in a browser can make any TCP port read lines of its choice.
        place.mistake("is open to web pages", f'"{LINES}unix:" and the path of a socket')
        return None
    is_encrypted, description = encrypted(found.removeprefix(LINES))
    problem, expected = _endpoint_problem(description)
    if problem:
        place.mistake(problem, expected)
        return None
    if is_encrypted and description.startswith("ssl:"):
        place.mistake("would be encrypted twice", '"https:" and the arguments of "tcp:"')
        return None
    if not is_local(found):
        place.note("is open to the network: who may come in is said by auth", is_doubtful=False)
    return found


_AN_ENDPOINT = f'a Twisted endpoint such as "{DEFAULT_ENDPOINT}"'
_HOST_AND_PORT = re.compile(r"(?:(?P<host>[A-Za-z0-9.\-]+):)?(?P<port>\d{1,5})\Z", re.ASCII)
#: Endpoints that can be made without opening or reading anything.
_PLAIN_ENDPOINTS = frozenset({"tcp", "tcp6", "unix"})


def _endpoint_problem(description: str) -> tuple[str, str]:
    """What is wrong with an endpoint's description, and what would be right; nothing is opened."""
    kind, _, rest = description.partition(":")
    if kind not in _PLAIN_ENDPOINTS:
        is_known = kind == "ssl" or kind in _plugin_endpoints()
        return ("", "") if is_known else _unknown_endpoint(description, kind)
    try:
        serverFromString(object(), description)
    except Exception:  # each parser of endpoints fails in its own way
        return "is not complete, or has arguments this endpoint does not take", _AN_ENDPOINT
    port = rest.partition(":")[0]
    if kind != "unix" and not (port.isdecimal() and int(port) < 65536):
        return "has no port from 0 to 65535", _AN_ENDPOINT
    return "", ""


def _unknown_endpoint(description: str, kind: str) -> tuple[str, str]:
    bare = _HOST_AND_PORT.match(description)
    if bare:
        return "is no endpoint", f'"tcp:{bare["port"]}:interface={bare["host"] or "127.0.0.1"}"'
    return f"is an endpoint of the unknown kind {shown(kind)}", _AN_ENDPOINT


def _plugin_endpoints() -> frozenset[str]:
    return frozenset(parser.prefix for parser in getPlugins(IStreamServerEndpointStringParser))


_ANY_PORT = re.compile(r"tcp6?:0(?::|\Z)")
_LOOPBACK = re.compile(
    r":interface=(?:127\.\d{1,3}\.\d{1,3}\.\d{1,3}|localhost|\\:\\:1)(?::|\Z)", re.ASCII
)


def is_local(entry: str) -> bool:
    """Whether an entry of ``listen`` can only be reached from this machine, for certain."""
    description = encrypted(entry.removeprefix(LINES))[1]
    if is_socket(entry):
        return True
    return len(_LOOPBACK.findall(description)) == 1 and description.count("interface=") == 1


def is_socket(entry: str) -> bool:
    """Whether an entry of ``listen`` is a socket in the file system: its mode says who may come."""
    description = encrypted(entry.removeprefix(LINES))[1]
    return description.startswith(("unix:", "systemd:domain=UNIX:"))


def endpoints(place: Place, value: Any) -> tuple[str, ...] | None:
    """The endpoints to answer on; none twice, but for ports that the system chooses.

    :return: ``None`` where they cannot be read, which is reported then.
    """
    found = many(_endpoint)(place, value)
    if found is None:
        return None
    if not found:
        place.mistake("is empty", f"at least one endpoint, such as {_AN_ENDPOINT}")
    for number, entry in enumerate(found):
        # Each port 0 is another port.
        if entry in found[:number] and not _ANY_PORT.match(encrypted(entry)[1]):
            place.item(number).mistake("is there already", "each endpoint once")
    return found


_NAME = r"(?:\[[0-9a-f:.]+\]|[a-z0-9_](?:[a-z0-9._\-]*[a-z0-9_])?)"
_PORT = re.compile(r":(\d{1,5})\Z", re.ASCII)
_HOST = re.compile(rf"{_NAME}(?::\d{{1,5}})?\Z", re.ASCII)
_ORIGIN = re.compile(rf"https?://{_NAME}(?::(?:\d{{1,5}}|\*))?\Z", re.ASCII)


def host(place: Place, value: Any) -> str | None:
    """A name for the Host header, with a port or for any port; in small letters."""
    expected = '"mcp.example.com", or with a port "mcp.example.com:8443"'
    return _matching(place, value, _HOST, "is no host", expected)


def origin(place: Place, value: Any) -> str | None:
    """Where a web page may be from; in small letters."""
    expected = '"https://app.example.com", perhaps with a port or ":*", and no path after it'
    return _matching(place, value, _ORIGIN, "is no origin of web pages", expected)


def _matching(
    place: Place, value: Any, pattern: re.Pattern[str], problem: str, expected: str
) -> str | None:
    found = text(place, value)
    if found is None:
        return None
    port = _PORT.search(found)
    if not pattern.match(found.lower()) or (port and not 0 < int(port[1]) < 65536):
        place.mistake(problem, expected)
        return None
    return found.lower()


_HEADER = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,100}\Z", re.ASCII)


def header_name(place: Place, value: Any) -> str | None:
    """The name of a header that pages may send or read."""
    found = text(place, value)
    if found is None:
        return None
    if not _HEADER.match(found) or found == "*":
        # For requests with an Authorization header a wildcard would not mean what it says.
        place.mistake("is no name of a header", 'one such as "X-Api-Version"; no wildcards')
        return None
    return found
