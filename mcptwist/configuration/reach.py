"""How a server elsewhere is reached: whose key it must show, and with which key we come. Pure."""

from __future__ import annotations

import msgspec

__all__ = ["Reach"]


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """What both ends prove to each other.

    :ivar host_keys: fingerprints; the server must show one of these keys, if there are any.
    :ivar known_hosts: the file of servers' keys; the person's own otherwise.
    :ivar accept_new: whether the key of a server that is met for the first time is believed.
    :ivar ca: a PEM file of the certificates that are trusted in place of the system's.
    """

    host_keys: tuple[str, ...] = ()
    known_hosts: str | None = None
    accept_new: bool = False
    ca: str | None = None
