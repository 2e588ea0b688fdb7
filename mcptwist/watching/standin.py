"""Asking a server in somebody's place, in the latest revision."""

from __future__ import annotations

import math
from typing import Any

import msgspec
from msgspec import Raw
from twisted.internet.interfaces import IReactorTime

import mcptwist
from mcptwist.awaited import Awaited
from mcptwist.awaited import Refused as ErrorAnswer
from mcptwist.errors import InvalidMessage
from mcptwist.interfaces import IAnswerer
from mcptwist.messages import Json, Notification, Result, encode_json, open_fields
from mcptwist.negotiation import CAPABILITIES_KEY, modern_meta
from mcptwist.server import Context, Refused
from mcptwist.session import Visit
from mcptwist.versions import LATEST
from mcptwist.watching.reports import Answered
from mcptwist.watching.tally import outcome

NAME = "mcptwist"


async def ask(
    ctx: Context,
    answerer: IAnswerer,
    clock: IReactorTime,
    method: str,
    params: Json,
    can: dict[str, Any],
) -> Answered:
    """Ask a server; its progress is progress of the caller's call.

    :param params: as revision 2026-07-28 has them; ``_meta`` is added.
    :param can: the capabilities the asker says to have.
    """
    awaited = Awaited(lambda notification: _pass_on(ctx, notification))
    began = clock.seconds()
    stay = Visit(LATEST, encode_json(dict(ctx.client)), encode_json(can))
    awaited.begin(answerer, method, _enveloped(params, ctx, can), stay)
    try:
        result = await awaited.answer
    except ErrorAnswer as problem:
        return Answered("error", clock.seconds() - began, Raw(bytes(problem.answer.error)))
    status = outcome(Result(0, result))
    return Answered(status, clock.seconds() - began, Raw(bytes(result)))


def _enveloped(params: Json, ctx: Context, can: dict[str, Any]) -> bytes:
    """*params* as a request of the latest revision, in the client's name."""
    try:
        fields: dict[str, Any] = dict(open_fields(params))
        old = open_fields(fields.get("_meta", b""))
    except InvalidMessage as problem:
        raise Refused(str(problem)) from None
    kept = {name: value for name, value in old.items() if "/" not in name}
    own = modern_meta(dict(ctx.client) or {"name": NAME, "version": mcptwist.__version__})
    own[CAPABILITIES_KEY] = can
    fields["_meta"] = {**kept, **own, "progressToken": 0}
    return encode_json(fields)


class _Said(msgspec.Struct):
    progress: float = math.nan
    total: float | None = None
    message: str | None = None


def _pass_on(ctx: Context, notification: Notification) -> None:
    """Progress of a server's is progress of ours."""
    if notification.method == "notifications/progress":
        try:
            said = msgspec.json.decode(notification.params, type=_Said)
        except msgspec.DecodeError:
            return
        ctx.progress(said.progress, said.total, said.message)
