"""``authorized_keys``: who may come, and what they may do; ``revoked_keys``: who may not.

The syntax is OpenSSH's: one key a line, options before it, a comment after it. The options are
ours. A line that is not understood, down to its last character, gives nothing to anyone: it is
refused and reported, never read as less strict than it was meant.

``sshd(8)``, *AUTHORIZED_KEYS FILE FORMAT*. Pure.
"""

from __future__ import annotations

import calendar
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import msgspec

from mcptwist.auth.addresses import place_of
from mcptwist.auth.keys import (
    ALGORITHMS,
    SMALLEST_RSA,
    KeyProblem,
    PublicKey,
    is_fingerprint,
)
from mcptwist.auth.localusers import KIND as USER
from mcptwist.auth.localusers import LocalUser, UserProblem, is_identity
from mcptwist.auth.patterns import PatternProblem, Patterns, Sources
from mcptwist.auth.securitykeys import KINDS as IN_HARDWARE
from mcptwist.auth.securitykeys import SecurityKey, read_key

READ, CALL, SUBSCRIBE, ADMIN = "mcp:read", "mcp:call", "mcp:subscribe", "mcp:admin"
SCOPES = (READ, CALL, SUBSCRIBE, ADMIN)
"""All scopes there are, as metadata lists them."""

LONGEST_LINE = 16 * 1024
MOST_LINES = 20_000
#: So many keys of one principal are tried; more would let a stranger make us verify for long.
KEYS_PER_PRINCIPAL = 16

_KINDS = frozenset({*ALGORITHMS, *IN_HARDWARE, USER})
_PRINCIPAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}\Z", re.ASCII)
_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)+\Z", re.ASCII)
_DURATION = re.compile(r"([1-9][0-9]{0,8})([smhd]?)\Z", re.ASCII)
_MOMENT = re.compile(r"([0-9]{8})(?:([0-9]{4})([0-9]{2})?)?(Z?)\Z", re.ASCII)
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_OPTION = re.compile(r'([a-z0-9-]+)(?:="((?:[^"\\]|\\")*)")?', re.ASCII)
_SPACE = " \t"
_SPACES = re.compile(r"[ \t]+")


Key: TypeAlias = PublicKey | SecurityKey | LocalUser


class LineProblem(ValueError):
    """A line is not understood; the message tells why, and holds nothing secret."""


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """One line of ``authorized_keys``: a key and what it may do.

    :ivar key: the key, or who stands in its place.
    :ivar principal: the name it goes by.
    :ivar tools: patterns of names, ``None`` for all; so ``resources`` and ``prompts``.
    :ivar sources: where its requests may come from, ``None`` for anywhere.
    :ivar expires: when it ends, in seconds since 1970, ``None`` for never.
    :ivar begins: when it begins to be good.
    :ivar token_ttl: seconds that a token may be good for at most, ``None`` for the default.
    :ivar paths: the places it may get tokens for, ``None`` for all.
    """

    key: Key
    principal: str
    scopes: frozenset[str] = frozenset({READ})
    tools: Patterns | None = None
    resources: Patterns | None = None
    prompts: Patterns | None = None
    sources: Sources | None = None
    expires: float | None = None
    begins: float | None = None
    token_ttl: int | None = None
    require_dpop: bool = False
    require_signature: bool = False
    oauth: bool = True
    mtls: bool = True
    websocket: bool = True
    paths: tuple[str, ...] | None = None

    @property
    def identity(self) -> str:
        """What sessions belong to: the name *and* the key, for a name may have several."""
        return f"{self.principal} {self.key.fingerprint}"

    def is_good(self, now: float) -> bool:
        """Whether it has begun and has not ended, at *now* seconds since 1970."""
        return (self.begins is None or self.begins <= now) and (
            self.expires is None or now < self.expires
        )

    def leads_to(self, place: str | None) -> bool:
        """Whether it is good for a place; what speaks no MCP goes with all servers as one."""
        if self.paths is None:
            return True
        return (place or "/") in {place_of(path) for path in self.paths}

    def takes(self, host: str) -> bool:
        """Whether requests may come from *host*."""
        return self.sources is None or self.sources.allow(host)


class RefusedLine(msgspec.Struct, frozen=True):
    """A line that gives nothing to anyone, and why."""

    number: int
    reason: str


class AuthorizedKeys(msgspec.Struct, frozen=True):
    """What a file says.

    :ivar grants: by fingerprint.
    """

    grants: Mapping[str, Grant] = {}
    refused: tuple[RefusedLine, ...] = ()


def read_authorized_keys(text: str, keys_per_principal: int = KEYS_PER_PRINCIPAL) -> AuthorizedKeys:
    """Read a whole file. Nothing in it can make this fail.

    :param keys_per_principal: how many keys may go by one name; the lines beyond are refused.
    """
    grants: dict[str, Grant] = {}
    refused: list[RefusedLine] = []
    if _is_too_long(text):
        refused.append(RefusedLine(MOST_LINES + 1, f"is beyond the {MOST_LINES} that are read"))
    for number, line in _lines(text):
        try:
            grant = read_line(line)
            _check_clash(grants, grant, keys_per_principal)
        except LineProblem as problem:
            refused.append(RefusedLine(number, str(problem)))
        else:
            grants[grant.key.fingerprint] = grant
    return AuthorizedKeys(grants, tuple(refused))


def _lines(text: str) -> Iterable[tuple[int, str]]:
    """The lines that say something, with their numbers from 1 on."""
    for number, line in enumerate(text.split("\n")[:MOST_LINES], 1):
        stripped = line.strip(" \t\r")
        if stripped and not stripped.startswith("#"):
            yield number, stripped


def _is_too_long(text: str) -> bool:
    return text.count("\n") >= MOST_LINES


def _check_clash(grants: Mapping[str, Grant], grant: Grant, most: int) -> None:
    if grant.key.fingerprint in grants:
        raise LineProblem("the key is in a line before this one already")
    same = sum(each.principal == grant.principal for each in grants.values())
    if same >= most:
        raise LineProblem(f"is of a principal that has {most} keys already")


# --- one line -------------------------------------------------------------------------------


def read_line(line: str) -> Grant:
    """Read one line, which is no comment and not empty.

    :raises LineProblem: something of it is not understood.
    """
    if len(line) > LONGEST_LINE:
        raise LineProblem(f"is longer than {LONGEST_LINE} characters")
    if not line.replace("\t", " ").isprintable():
        raise LineProblem("holds control characters")
    options: dict[str, str | None] = {}
    rest = line
    if _SPACES.split(line, maxsplit=1)[0] not in _KINDS:
        options, rest = _read_options(line)
    words = _SPACES.split(rest.lstrip(_SPACE), maxsplit=2)
    if len(words) < 2:
        raise LineProblem("has no key")
    smallest = 2048 if "allow-rsa2048" in options else SMALLEST_RSA
    try:
        key = _read_key(words[0], words[1], smallest)
    except (KeyProblem, UserProblem) as problem:
        raise LineProblem(str(problem)) from None
    return _make_grant(key, options, words[2] if len(words) > 2 else "")


def _read_key(kind: str, text: str, smallest_rsa: int) -> Key:
    return LocalUser(text) if kind == USER else read_key(kind, text, smallest_rsa)


def _read_options(line: str) -> tuple[dict[str, str | None], str]:
    """The options before the key, and the rest of the line."""
    options: dict[str, str | None] = {}
    at = 0
    while True:
        match = _OPTION.match(line, at)
        if match is None:
            raise LineProblem("begins with something that is neither an option nor a key we take")
        name, value = match[1], match[2]
        if name in options:
            raise LineProblem(f"has the option {name} twice")
        options[name] = None if value is None else value.replace('\\"', '"')
        at = match.end()
        if line[at : at + 1] == ",":
            at += 1
        elif line[at : at + 1] in _SPACE and at < len(line):
            return options, line[at:]
        else:
            raise LineProblem(f"is not understood after the option {name}")


def succeeded(line: str, successor: str, until: float) -> tuple[str, str]:
    """A line whose key has a successor: itself, good until then, and that of the successor.

    The successor may do what the line lets its key do, under the same name, and no more.

    :param line: that was understood.
    :param successor: a key's line without options.
    :param until: seconds since 1970; the line ends sooner if it says so.
    :raises LineProblem: the successor's line is not understood.
    """
    grant, options = read_line(line), ""
    rest = line
    if _SPACES.split(line, maxsplit=1)[0] not in (*ALGORITHMS, *IN_HARDWARE):
        rest = _read_options(line)[1]
        options = line[: -len(rest)]
    inherited = options
    if not re.search(r'(?:\A|,)principal="', options) and not is_fingerprint(grant.principal):
        inherited = ",".join(filter(None, [f'principal="{grant.principal}"', options]))
    following = f"{inherited} {successor}".strip()
    read_line(following)
    if grant.expires is None or grant.expires > until:
        end = time.strftime("%Y%m%d%H%M%SZ", time.gmtime(until))
        left = re.sub(r'(?:\A|,)expiry-time="[^"]*"', "", options).strip(",")
        options = ",".join(filter(None, [f'expiry-time="{end}"', left]))
    return f"{options} {rest.strip()}".strip(), following


def _make_grant(key: Key, options: Mapping[str, str | None], comment: str) -> Grant:
    fields: dict[str, Any] = {"key": key}
    for name, value in options.items():
        if name in _FLAGS:
            if value is not None:
                raise LineProblem(f"the option {name} takes no value")
            fields.update(_FLAGS[name])
        elif name in _VALUES:
            if not value:
                raise LineProblem(f"the option {name} needs a value")
            field, read = _VALUES[name]
            fields[field] = _read_value(name, value, read)
        else:
            raise LineProblem(f"has the option {name}, which is not known")
    if fields.get("require_signature") and not key.algorithms:
        raise LineProblem("has the option require-signature, and no key that signs requests")
    fields.setdefault("principal", _principal_of(key, comment))
    return Grant(**fields)


def _read_value(name: str, value: str, read: Callable[[str], Any]) -> Any:
    try:
        return read(value)
    except (PatternProblem, LineProblem) as problem:
        raise LineProblem(f"the option {name} {problem}") from None


def _principal_of(key: Key, comment: str) -> str:
    """The name of a key whose line gives it none: the comment up to ``@``, or the fingerprint."""
    name = comment.split("@", 1)[0]
    return name if _PRINCIPAL.match(name) else key.fingerprint


def _principal(value: str) -> str:
    if not _PRINCIPAL.match(value):
        raise LineProblem("is no name: letters, digits and ._@+- are taken, 64 at most")
    return value


def _scopes(value: str) -> frozenset[str]:
    found = value.split(" ")
    if not all(scope in SCOPES for scope in found):
        raise LineProblem(f"names a scope that is none of {', '.join(SCOPES)}")
    return frozenset(found)


def _paths(value: str) -> tuple[str, ...]:
    found = tuple(value.split(","))
    if not all(_PATH.match(path) for path in found):
        raise LineProblem("holds something that is no path such as /servers/NAME/mcp")
    return found


def duration(value: str) -> int:
    """Seconds from ``600``, ``10m``, ``8h`` or ``7d``.

    :raises LineProblem: it is no such length of time.
    """
    match = _DURATION.match(value)
    if match is None:
        raise LineProblem("is no length of time such as 8h")
    return int(match[1]) * _UNITS[match[2]]


def moment_of(value: str) -> float:
    """Seconds since 1970 from ``YYYYMMDD``, ``YYYYMMDDHHMM[SS]``, with ``Z`` for UTC.

    :raises LineProblem: it is no such time.
    """
    match = _MOMENT.match(value)
    if match is None:
        raise LineProblem("is no time such as 20270101 or 202701010000Z")
    text = f"{match[1]}{match[2] or '0000'}{match[3] or '00'}"
    try:
        parts = time.strptime(text, "%Y%m%d%H%M%S")
        return float(calendar.timegm(parts)) if match[4] else time.mktime(parts)
    except (ValueError, OverflowError):
        raise LineProblem("is no time that there is") from None


_FLAGS: Mapping[str, dict[str, bool]] = {
    "require-dpop": {"require_dpop": True},
    "require-signature": {"require_signature": True},
    "no-oauth": {"oauth": False},
    "no-mtls": {"mtls": False},
    "no-ws": {"websocket": False},
    "allow-rsa2048": {},
}
_VALUES: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "principal": ("principal", _principal),
    "scope": ("scopes", _scopes),
    "tools": ("tools", Patterns),
    "resources": ("resources", Patterns),
    "prompts": ("prompts", Patterns),
    "from": ("sources", Sources),
    "expiry-time": ("expires", moment_of),
    "not-before": ("begins", moment_of),
    "max-token-ttl": ("token_ttl", duration),
    "resource": ("paths", _paths),
}
OPTIONS = (*_VALUES, *_FLAGS)
"""The options there are."""


# --- revoked_keys ---------------------------------------------------------------------------


def read_revoked_keys(text: str) -> frozenset[str]:
    """The fingerprints that a file revokes: a key or a fingerprint a line.

    :raises LineProblem: a line is not understood. Then none of the file may be believed, for the
        line may have meant to revoke someone.
    """
    found = set()
    if _is_too_long(text):
        raise LineProblem(f"the file has more than {MOST_LINES} lines")
    for number, line in _lines(text):
        kind, *rest = _SPACES.split(line)
        if is_fingerprint(kind) or is_identity(kind):
            found.add(kind)
            continue
        try:
            found.add(read_key(kind, rest[0], 1024).fingerprint)
        except (KeyProblem, IndexError):
            raise LineProblem(
                f"line {number} is neither a public key nor a fingerprint SHA256:…"
            ) from None
    return frozenset(found)
