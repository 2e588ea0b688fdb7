"""The ``[auth]`` section: with it, nobody gets in without a key that was let in.

Pure: files are named here and read when the daemon starts.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec

from mcptwist.configuration.gatelimits import GateLimits, PenaltyRules
from mcptwist.configuration.listening import origin
from mcptwist.configuration.paths import path
from mcptwist.configuration.peopleconfig import People, people_table
from mcptwist.configuration.settings import (
    Key,
    Place,
    count,
    many,
    seconds,
    table_of,
    text,
    yes_or_no,
)

__all__ = ["MACHINE", "Auth", "config_directory"]

_SHORTEST, _LONGEST = 60, 3600
_LONGEST_TICKET = 300


def _base(place: Place, value: Any) -> str | None:
    """A scheme and a host, and nothing else."""
    found = origin(place, value)
    if found is not None and found.endswith(":*"):
        place.mistake("has no port of its own", '"https://mcp.example.com"')
        return None
    return found


def _network(place: Place, value: Any) -> str | None:
    found = text(place, value)
    if found is None:
        return None
    try:
        return str(ipaddress.ip_network(found))
    except ValueError:
        place.mistake("is no network", '"192.0.2.0/24"')
        return None


def _token_ttl(place: Place, value: Any) -> float | None:
    found = seconds(place, value)
    if found is not None and not _SHORTEST <= found <= _LONGEST:
        place.mistake("is out of range", "a length of time from one minute to one hour")
        return None
    return found


def _ticket_ttl(place: Place, value: Any) -> float | None:
    found = seconds(place, value)
    if found is not None and not 1 <= found <= _LONGEST_TICKET:
        place.mistake("is out of range", "a length of time from one second to five minutes")
        return None
    return found


class Auth(msgspec.Struct, frozen=True, kw_only=True):
    """The ``[auth]`` section: who may call, and how they prove who they are."""

    authorized_keys: Annotated[
        str | None, Key(path, "who may come in, as OpenSSH writes it; see the guide for where")
    ] = None
    revoked_keys: Annotated[
        str | None, Key(path, "keys that may not; beside authorized_keys unless it says otherwise")
    ] = None
    public_urls: Annotated[
        tuple[str, ...],
        Key(many(_base), "what clients know this daemon by, beside loopback names"),
    ] = ()
    token_ttl: Annotated[
        float, Key(_token_ttl, "a token is good for so long, where its key says nothing", "seconds")
    ] = 600.0
    ticket_ttl: Annotated[
        float, Key(_ticket_ttl, "a ticket for a WebSocket is good for so long", "seconds")
    ] = 30.0
    stream_age: Annotated[
        float, Key(seconds, "a request may be open for so long on one proof of who asks", "seconds")
    ] = 3600.0
    unproved: Annotated[
        int, Key(count, "WebSockets open at a time whose clients have not proved who they are yet")
    ] = 1024
    unproved_per_source: Annotated[int, Key(count, "the same, of one address")] = 64
    dpop_nonces: Annotated[
        bool, Key(yes_or_no, "proofs of possession must hold a nonce of ours")
    ] = False
    http_signatures: Annotated[
        bool, Key(yes_or_no, "requests may be signed with a key instead of bringing a token")
    ] = False
    audit_log: Annotated[
        str | None, Key(path, "a file of JSON lines: every grant, refusal and call")
    ] = None
    replay_store: Annotated[
        str | None,
        Key(
            path,
            "a file of what was used once, for several daemons and beyond a restart;"
            " in a directory that nobody else can write to",
        ),
    ] = None
    exempt: Annotated[
        tuple[str, ...],
        Key(many(_network), "networks whose failures do not make them wait"),
    ] = ()
    people: Annotated[
        People | None,
        Key(people_table, "a table as below, or true: people may log clients in that have no key"),
    ] = None
    limits: Annotated[GateLimits, Key(table_of(GateLimits), "a table as below")] = GateLimits()
    penalties: Annotated[
        PenaltyRules, Key(table_of(PenaltyRules), "a table as below: what failures cost")
    ] = PenaltyRules()

    def paths(self, environ: Mapping[str, str]) -> tuple[str, str]:
        """The paths of ``authorized_keys`` and ``revoked_keys``."""
        authorized = self.authorized_keys or os.path.join(
            config_directory(environ), "authorized_keys"
        )
        beside = os.path.join(os.path.dirname(authorized), "revoked_keys")
        return authorized, self.revoked_keys or beside

    def hosts(self) -> tuple[str, ...]:
        """The names that the public URLs are reached by, for the Host header."""
        return tuple(urlsplit(url).netloc for url in self.public_urls)


def auth_table(place: Place, value: Any) -> Auth | None:
    """The section; ``false`` says that no keys are wanted."""
    found: Auth | None = None if value is False else table_of(Auth)(place, value)
    return found


MACHINE = "/etc/mcptwist"
"""Where root keeps keys, and so daemons that root starts look for them."""


def config_directory(environ: Mapping[str, str]) -> str:
    """Where keys are kept: ``/etc/mcptwist`` for root, else the person's own directory.

    Root's home does not count, for ``sudo`` may leave that of somebody else in ``HOME``, and a
    daemon that is started with the machine has none. ``XDG_CONFIG_HOME`` does: it was said.
    """
    own = environ.get("XDG_CONFIG_HOME") or os.path.join(environ.get("HOME", "/"), ".config")
    if os.geteuid() == 0 and not environ.get("XDG_CONFIG_HOME"):
        return MACHINE
    return os.path.join(own, "mcptwist")
