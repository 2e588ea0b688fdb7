"""What a server wants of its client in the course of a call, in the words of both eras.

A legacy server asks by requests of its own; a modern one answers ``input_required``.

MCP 2026-07-28, *Multi Round-Trip Requests*; 2025-11-25, *Elicitation*, *Sampling*, *Roots*.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw

from mcptwist.eras.revisions import revised
from mcptwist.errors import MISSING_CLIENT_CAPABILITY, InvalidMessage
from mcptwist.exchange import Exchange
from mcptwist.messages import Error, Json, encode_json, holds, open_error, open_fields
from mcptwist.negotiation import SERVER_KEY
from mcptwist.versions import LATEST_LEGACY

INPUT_METHODS = frozenset({"tools/call", "prompts/get", "resources/read"})
"""Methods that may be answered ``input_required`` (MCP 2026-07-28, *MRTR, Supported Requests*)."""

ASKED_BY: Mapping[str, str] = {
    "elicitation/create": "elicitation",
    "sampling/createMessage": "sampling",
    "roots/list": "roots",
}
"""A server's question → the capability its client must have declared."""

URL_ELICITATION_REQUIRED = -32042

RETRY = ("inputResponses", "requestState")
Fields = dict[str, Raw]


def lacking(capabilities: Json, method: str, params: Json = b"") -> dict[str, Any] | None:
    """The capabilities that a question needs and its client did not declare.

    :param capabilities: the client's.
    :return: as ``data.requiredCapabilities`` has them; ``None`` if it can be asked.
    """
    capability = ASKED_BY[method]
    declared = open_fields(capabilities).get(capability)
    if capability != "elicitation":
        return {capability: {}} if declared is None else None
    url = open_fields(params).get("mode") == Raw(b'"url"')
    if declared is not None and _elicits(open_fields(declared), url):
        return None
    return {capability: {"url": {}} if url else {}}


def _elicits(modes: Fields, url: bool) -> bool:
    """None declared means forms only (MCP 2025-11-25, *Elicitation, Capabilities*)."""
    return "url" in modes if url else "form" in modes or "url" not in modes


def url_elicitations(error: Error) -> dict[str, Any] | None:
    """The inputs that a legacy ``-32042`` asks for, by key; ``None`` if it is another error."""
    try:
        body = open_error(error)
    except InvalidMessage:
        return None
    if body.code != URL_ELICITATION_REQUIRED or not isinstance(body.data, dict):
        return None
    listed = body.data.get("elicitations")
    wanted = [each for each in listed or () if isinstance(each, dict)]
    return {
        f"url-{number}": modern_question("elicitation/create", encode_json({"mode": "url", **each}))
        for number, each in enumerate(wanted)
    } or None


def retried(params: Json, responses: Mapping[str, Json], state: Json | None) -> Json:
    """The params of the same request, asked once more with the inputs it required."""
    fields = open_fields(params)
    for name in RETRY:
        fields.pop(name, None)
    if responses:
        answers = {key: Raw(bytes(value)) for key, value in responses.items()}
        fields["inputResponses"] = Raw(encode_json(answers))
    if state is not None:
        fields["requestState"] = Raw(bytes(state))
    return encode_json(fields)


class Inputs(msgspec.Struct, frozen=True):
    """What a modern server requires before it goes on.

    :ivar requests: by key.
    :ivar state: to be handed back as it is, ``None`` if there is none.
    """

    requests: dict[str, InputRequest]
    state: Raw | None


class InputRequest(msgspec.Struct, frozen=True):
    """One question of a modern server."""

    method: str
    params: Raw = Raw(b"{}")


class _Required(msgspec.Struct):
    inputRequests: dict[str, InputRequest] = {}
    requestState: str | None = None


_required = msgspec.json.Decoder(_Required)


def inputs_required(result: Json) -> Inputs | None:
    """The inputs that a result asks for, or ``None`` if it is complete.

    :raises InvalidMessage: it asks, but not as it must.
    """
    if not holds(result, b'"input_required"'):
        return None
    if open_fields(result).get("resultType") != Raw(b'"input_required"'):
        return None
    try:
        required: _Required = _required.decode(result)
    except (msgspec.DecodeError, RecursionError) as problem:
        raise InvalidMessage(f"malformed input_required: {problem}") from None
    state = required.requestState
    return Inputs(required.inputRequests, None if state is None else Raw(encode_json(state)))


def question_params(method: str, params: Json, revision: str, id: str) -> bytes:
    """A modern server's question as a client of that legacy revision reads it.

    :param id: what an elicitation by URL is to be known by, which no other was; legacy
        revisions require one.
    """
    if revision < LATEST_LEGACY:
        return revised(method, params, revision)
    fields = open_fields(params)
    if fields.get("mode") == Raw(b'"url"'):
        fields.setdefault("elicitationId", Raw(encode_json(id)))
    return encode_json(fields)


def modern_question(method: str, params: Json) -> dict[str, Any]:
    """A legacy server's question as modern clients read it.

    No progress of the answer can be told, nor can it be a task, nor does a URL need a
    name to be told of when it was dealt with.
    """
    fields = open_fields(params)
    for name in ("task", "elicitationId"):
        fields.pop(name, None)
    meta = open_fields(fields.pop("_meta", b""))
    meta.pop("progressToken", None)
    if meta:
        fields["_meta"] = Raw(encode_json(meta))
    return {"method": method, "params": fields} if fields else {"method": method}


BY_URL: dict[str, Any] = {"elicitation": {"url": {}}}


def lacks(front: Exchange, wanted: dict[str, Any]) -> Error:
    """The error of a call that needs what its client did not declare."""
    body = {
        "code": MISSING_CLIENT_CAPABILITY,
        "message": f"the server needs the client's capability {', '.join(wanted)} for this",
        "data": {"requiredCapabilities": wanted},
    }
    return Error(front.request.id, encode_json(body))


def required(requests: dict[str, Any], state: str, server: Json) -> dict[str, Any]:
    """The result with which a modern server wants more of its client.

    :param requests: what is asked, by the names that the answers are to have.
    :param state: what the client is to bring along when it comes back.
    :param server: who asks, as JSON; empty if that is not told.

    MCP 2026-07-28, *Multi Round-Trip Requests*.
    """
    result = {"resultType": "input_required", "inputRequests": requests, "requestState": state}
    if server:
        result["_meta"] = {SERVER_KEY: Raw(bytes(server))}
    return result
