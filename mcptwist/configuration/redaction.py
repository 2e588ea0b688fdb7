"""What must not be shown: which values are secret, and text with them blotted out.

A server's secrets reach it by its environment, its headers, its arguments or its address, and come
back in its last words (a traceback, a usage message). Whoever shows such text asks here first.
Pure. It promises to blot out every value it was told of; which values those are is a guess, and
errs on the side of blotting out too much.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from urllib.parse import parse_qsl, unquote, urlsplit

BLOT = "***"

#: Shorter values are not blotted out: a one-letter secret would blot out every such letter.
SHORTEST = 4

_SECRET_WORDS = frozenset({
    "key", "apikey", "token", "secret", "password", "passwd", "passphrase", "pass", "pwd",
    "auth", "authorization", "credential", "credentials", "cred", "creds", "cookie",
    "session", "signature", "sig", "pat", "bearer", "private", "dsn", "jwt", "pin",
})  # fmt: skip
_SECRET_ENDINGS = ("key", "token", "secret", "password", "passwd", "credentials", "cookie")
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_OPAQUE = re.compile(r"(?=[^0-9]*[0-9])(?=[^A-Za-z]*[A-Za-z])[A-Za-z0-9_\-+=.~:]{12,}\Z")
_SCHEME = re.compile(r"(?:basic|bearer|token|apikey|digest)\s+(\S.*)", re.IGNORECASE)
_TRIVIAL = re.compile(r"\d{1,5}|true|false|none|null", re.IGNORECASE).fullmatch
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://")


def looks_secret(name: str) -> bool:
    """Does what goes by this name look like a secret?

    :param name: the name of a variable, a header, an option or a query parameter.
    """
    words = [word.lower() for word in _WORDS.findall(name)]
    return any(_is_secret_word(word) or _is_secret_word(word.removesuffix("s")) for word in words)


def _is_secret_word(word: str) -> bool:
    return word in _SECRET_WORDS or word.endswith(_SECRET_ENDINGS)


def secret_values(pairs: Iterable[tuple[str, str]]) -> frozenset[str]:
    """The values to blot out among named ones: those whose name says so, and those that look like a
    key whatever their name is.

    :param pairs: names and values, of an environment or of headers.
    """
    found: set[str] = set()
    for name, value in pairs:
        if looks_secret(name):
            found.add(value)
            found.update(_SCHEME.findall(value))
        elif _OPAQUE.match(value):
            found.add(value)
        found |= secrets_in_address(value)
    return _long_enough(found)


def secrets_in_address(address: str) -> frozenset[str]:
    """The password, and what looks secret in path and query, of a URL; nothing for other text."""
    if not _ADDRESS.match(address):
        return frozenset()
    try:
        parts = urlsplit(address)
        query = parse_qsl(parts.query)
    except ValueError:
        return frozenset()
    found = {value for name, value in query if looks_secret(name) or _OPAQUE.match(value)}
    found |= {part for part in parts.path.split("/") if len(part) >= 20 and _OPAQUE.match(part)}
    if parts.password:
        found |= {parts.password, unquote(parts.password)}
    return _long_enough(found)


def secrets_in_arguments(args: Sequence[str]) -> frozenset[str]:
    """The values of secret-looking options: ``--token X``, ``--token=X``, ``TOKEN=X``."""
    found: set[str] = set()
    previous = ""
    for arg in args:
        name, equals, value = arg.partition("=")
        if equals and looks_secret(name) and " " not in name:
            found.add(value)
        elif previous.startswith("-") and not arg.startswith("-") and looks_secret(previous):
            found.add(arg)
        found |= secrets_in_address(arg)
        previous = "" if equals else arg
    return _long_enough(found)


def redact(text: str, secrets: Collection[str]) -> str:
    """The text with every secret in it replaced by ``***``.

    The longest goes first, so that a secret which contains another leaves no rest.
    """
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, BLOT)
    return text


def _long_enough(values: Iterable[str]) -> frozenset[str]:
    return frozenset(value for value in values if len(value) >= SHORTEST and not _TRIVIAL(value))
