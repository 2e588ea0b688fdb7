"""How a server elsewhere is reached: whose key it must show, and with which key we come.

Pure.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec

from mcptwist.configuration.paths import path
from mcptwist.configuration.settings import Key, Place, full_text, yes_or_no

__all__ = ["HostsFile", "Keys", "OwnKey", "OwnName", "Reach"]


WITH_PERSON = 400.0
"""Seconds that getting to a server may take where a person may have to log in first."""

_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}\Z")


def private_key(place: Place, value: Any) -> str | None:
    """Read the path of a private key's file, or the fingerprint of one that an agent holds."""
    if isinstance(value, str) and _FINGERPRINT.match(value):
        return value
    return path(place, value)


#: Settings that the ``[keys]`` section and each server elsewhere have alike.
OwnKey = Annotated[
    str | None, Key(private_key, "file of the private key to sign in with; SHA256:… of an agent's")
]
OwnName = Annotated[
    str | None, Key(full_text, "what its owner is called there; its fingerprint otherwise")
]
HostsFile = Annotated[str | None, Key(path, "file of servers' keys, in place of the daemon's own")]


class Keys(msgspec.Struct, frozen=True, kw_only=True):
    """The ``[keys]`` section: what servers elsewhere have that do not say it themselves."""

    key: OwnKey = None
    principal: OwnName = None
    known_hosts: HostsFile = None
    accept_new: Annotated[
        bool | None, Key(yes_or_no, "believe the keys they show when they are met the first time")
    ] = None
    sign_requests: Annotated[
        bool | None, Key(yes_or_no, "sign each request with the key, asked or not; no token then")
    ] = None


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """What both ends prove to each other.

    :ivar key: the file of the private key that we come with; empty for the person's own,
        ``None`` for none.
    :ivar principal: as whom; the key's fingerprint otherwise.
    :ivar scopes: that are wanted beside those that the server names.
    :ivar sign: whether each request is signed with that key, asked or not.
    :ivar host_keys: fingerprints; the server must show one of these keys, if there are any.
    :ivar known_hosts: the file of servers' keys; the person's own otherwise.
    :ivar accept_new: whether the key of a server that is met for the first time is believed.
    :ivar client: as which client we were registered with who gives tokens, or the URL of a
        document about us.
    :ivar client_secret: the file of the secret that came with it.
    :ivar issuer: who registered us; whoever gives tokens for the server otherwise.
    :ivar redirect_port: of this machine, that a browser comes back to; any with 0.
    :ivar may_ask: whether the person who started us may be asked to log in.
    :ivar ca: a PEM file of the certificates that are trusted in place of the system's.
    """

    key: str | None = None
    principal: str = ""
    scopes: tuple[str, ...] = ()
    sign: bool = False
    host_keys: tuple[str, ...] = ()
    known_hosts: str | None = None
    accept_new: bool = False
    client: str = ""
    client_secret: str | None = None
    issuer: str = ""
    redirect_port: int = 0
    may_ask: bool = False
    ca: str | None = None
