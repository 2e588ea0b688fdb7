"""The members that the params of most requests have, and whether there are others.

What the daemon has no need to look into stays the bytes it arrived as, whatever it is. Pure.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Raw, UnsetType

from mcptwist.messages import Json


class Usual(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """Params that have no members but these, spelt as here, and ``_meta``.

    Whoever reads them, however he takes escapes and capitals, finds the same members.
    """

    name: Raw | UnsetType = UNSET
    uri: Raw | UnsetType = UNSET
    arguments: Raw | UnsetType = UNSET
    cursor: Raw | UnsetType = UNSET
    task: Raw | UnsetType = UNSET
    taskId: Raw | UnsetType = UNSET


class Params(Usual, forbid_unknown_fields=True, gc=False):
    """All of such params.

    What :func:`~mcptwist.messages.encode_json` makes of them has each member once.
    """

    meta: Raw | UnsetType = msgspec.field(default=UNSET, name="_meta")


_params = msgspec.json.Decoder(Params)


def read_params(params: Json) -> Params | None:
    """The members of *params*; ``None`` where there are others than usual, or it is no object."""
    try:
        read: Params = _params.decode(params)
    except (msgspec.DecodeError, RecursionError):
        return None
    return read
