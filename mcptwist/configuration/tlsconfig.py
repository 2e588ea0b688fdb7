"""The ``[tls]`` section: which certificates encrypted endpoints show.

Pure: files are named here and opened when the daemon starts, for it may be another user then.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from mcptwist.configuration.paths import path
from mcptwist.configuration.settings import (
    Key,
    Place,
    choice,
    many,
    read_table,
    table_of,
)

__all__ = ["KeyPair", "Tls", "tls_table"]


class KeyPair(msgspec.Struct, frozen=True, kw_only=True):
    """One more certificate: a table of ``others``."""

    certificate: Annotated[
        str, Key(path, "PEM file: the certificate, and after it those that lead to a root")
    ]
    key: Annotated[str, Key(path, "PEM file: its private key, not encrypted")]


def _pair(place: Place, value: Any) -> KeyPair | None:
    if isinstance(value, dict):
        missing = [name for name in ("certificate", "key") if name not in value]
        for name in missing:
            place.at(name).mistake("is missing", "a file")
        if missing:
            return None
    return read_table(place, value, KeyPair)


class Tls(msgspec.Struct, frozen=True, kw_only=True):
    """The ``[tls]`` section: what endpoints that begin with ``https:`` show and speak."""

    certificate: Annotated[
        str | None,
        Key(path, "PEM file: the certificate, and after it those that lead to a root"),
    ] = None
    key: Annotated[str | None, Key(path, "PEM file: its private key, not encrypted")] = None
    others: Annotated[
        tuple[KeyPair, ...],
        Key(many(_pair), "tables of certificate and key, for clients that ask for their names"),
    ] = ()
    min_version: Annotated[
        Literal["1.2", "1.3"],
        Key(choice("1.2", "1.3"), "the oldest version of TLS that is spoken"),
    ] = "1.3"
    directory: Annotated[
        str | None,
        Key(path, "where the certificate is kept that is made when none is given"),
    ] = None


def tls_table(place: Place, value: Any) -> Tls | None:
    """The section; a certificate is nothing without its key."""
    found: Tls | None = table_of(Tls)(place, value)
    if found is None:
        return None
    if (found.certificate is None) != (found.key is None):
        place.mistake("has one of certificate and key", "both of them, or none")
    elif found.others and found.certificate is None:
        place.at("others").mistake("come before the first certificate", "certificate and key too")
    return found
