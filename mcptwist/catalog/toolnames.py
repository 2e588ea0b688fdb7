"""What the tools and prompts of many servers are called where they are seen as one.

The tool ``read`` of the server ``files`` is ``files__read``. Some clients, and the model APIs
behind them, allow only letters, digits, ``_`` and ``-`` and some sixty of them. A name which would
be longer, or would hold other characters, is cut, and ends in ``__`` and ten hexadecimal digits
made from its two parts; a name that happens to look like that is treated the same, so that the two
sorts never meet.

A name depends on nothing but the server's and the tool's own, so it is the same in every list and
every call, and stays when other servers come and go. Pure.
"""

from __future__ import annotations

import hashlib
import re

LIMIT = 60
"""How many characters a name may have."""

_DIGITS = 10
_HEAD = LIMIT - _DIGITS - 2
_LEGAL = re.compile(r"[A-Za-z0-9_-]+\Z")
_FORBIDDEN = re.compile(r"[^A-Za-z0-9_-]")
_CUT = re.compile(r".*__[0-9a-f]{10}\Z", re.DOTALL)


def prefix_of(server: str) -> str:
    """What stands before ``__`` in the names of a server's tools: its own name, without dots."""
    return server.replace(".", "_")


def public_name(server: str, name: str) -> str:
    """What *server*'s tool or prompt *name* is called among those of all servers.

    :param server: its configured name (see :mod:`~mcptwist.configuration.servernames`). No two
        may differ only in having a dot for an underscore.
    :return: letters, digits, ``_`` and ``-``, :data:`LIMIT` of them at most; another for every
        other *server* and *name*.
    """
    whole = f"{prefix_of(server)}__{name}"
    if name and len(whole) <= LIMIT and _LEGAL.match(whole) and _divides(server):
        return _shorten(whole, server, name) if is_cut(whole) else whole
    return _shorten(whole, server, name)


def is_cut(public: str) -> bool:
    """Whether *public* ends as names do that do not tell what they were before they were cut."""
    return _CUT.match(public) is not None


def split(public: str) -> tuple[str, str] | None:
    """The prefix and the tool's own name that *public* is made of.

    :return: ``None`` where it is not made like that, or was cut.
    """
    prefix, divider, name = public.partition("__")
    if not prefix or not divider or not name or is_cut(public):
        return None
    return prefix, name


def may_be_of(server: str, public: str) -> bool:
    """Whether *public* begins as the cut names of *server*'s tools do."""
    return public.startswith(_legal(f"{prefix_of(server)}__")[:_HEAD])


def _divides(server: str) -> bool:
    """Whether the first ``__`` after *server*'s prefix is the one that ends it."""
    prefix = prefix_of(server)
    return bool(prefix) and "__" not in prefix and prefix[-1] != "_"


def _shorten(whole: str, server: str, name: str) -> str:
    parts = f"{len(server)}:{server}{name}".encode("utf-8", "surrogatepass")
    digest = hashlib.sha256(parts).hexdigest()[:_DIGITS]
    return f"{_legal(whole)[:_HEAD]}__{digest}"


def _legal(text: str) -> str:
    return _FORBIDDEN.sub("_", text)
