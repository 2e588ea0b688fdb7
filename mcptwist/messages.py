"""JSON-RPC messages: what travels through the house.

A message is an immutable value that never knows which wire it came by. Its
envelope (``id``, ``method``) is opened; ``params``, ``result`` and ``error``
stay the bytes they arrived as, so that what the daemon does not understand
passes through it unchanged.

Speaks JSON-RPC 2.0 as MCP narrows it: ids are strings or integers, never
null; ``params`` is an object or absent (MCP 2026-07-28, *Base protocol,
Messages*).
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, TypeAlias

import msgspec
from msgspec import UNSET, Raw, UnsetType

from mcptwist.errors import InvalidMessage, McpTwistError, UnparsableMessage

MessageId: TypeAlias = int | str
Json: TypeAlias = bytes | Raw
"""JSON text that nobody has opened; both kinds have a length and can be joined."""

_SLICE = 1 << 16
_ID_LIMIT = 1024
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|u(?P<half>[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


class Request(msgspec.Struct, frozen=True, gc=False):
    """A question that wants exactly one answer.

    :ivar id: the asker's name for it, unique among the asker's open requests.
    :ivar params: the JSON object as it arrived, empty when absent.
    """

    id: MessageId
    method: str
    params: Json = b""


class Notification(msgspec.Struct, frozen=True, gc=False):
    """Something said that wants no answer.

    :ivar params: the JSON object as it arrived, empty when absent.
    """

    method: str
    params: Json = b""


class Result(msgspec.Struct, frozen=True, gc=False):
    """The good answer to the request of the same id; ``result`` is any JSON value."""

    id: MessageId
    result: Json


class Error(msgspec.Struct, frozen=True, gc=False):
    """The bad answer to the request of the same id.

    :ivar id: ``None`` only where the request's own id could not be read.
    :ivar error: the JSON object ``{"code": …, "message": …, "data": …}``.
    """

    id: MessageId | None
    error: Json


Answer: TypeAlias = Result | Error
Message: TypeAlias = Request | Notification | Result | Error


class ErrorBody(msgspec.Struct, frozen=True):
    """The inside of an :class:`Error`, opened."""

    code: int
    message: str = ""
    data: Any = UNSET


class _Envelope(msgspec.Struct, gc=False):
    jsonrpc: str | UnsetType = UNSET
    id: MessageId | UnsetType | None = UNSET
    method: str | UnsetType = UNSET
    params: Raw | UnsetType = UNSET
    result: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


_envelope = msgspec.json.Decoder(_Envelope)
_members = msgspec.json.Decoder(list[Raw])
_fields = msgspec.json.Decoder(dict[str, Raw])
_list = msgspec.json.Decoder(list[Raw])
_id = msgspec.json.Decoder(MessageId)
_error_body = msgspec.json.Decoder(ErrorBody)
encode_json = msgspec.json.Encoder().encode


def holds(json: Json, word: bytes) -> bool:
    """Whether *word* is somewhere in that text.

    To say ``in`` would take several times as long: it asks first whether the word is a number.
    """
    return bytes(json).find(word) >= 0


def decode(data: bytes) -> Message:
    """Read one message.

    :param data: the text of one JSON-RPC message; hostile until read.
    :raises UnparsableMessage: it is not JSON, or not UTF-8.
    :raises InvalidMessage: it is JSON, but no JSON-RPC message; it carries
        the request's id where that could be read.
    """
    if not data.isascii():
        check_utf8(data)
    if holds(data, b"\n") or holds(data, b"\r"):
        return _decode_carefully(data)
    try:
        envelope = _envelope.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return _decode_carefully(data)
    return _classify(envelope)


def _decode_carefully(data: bytes) -> Message:
    """Read a message that is written in an unusual way, or tell what is wrong with it."""
    try:
        return _decode(data)
    except UnparsableMessage:
        mended = _mend_surrogates(data)
        if mended == data:
            raise
        return _decode(mended)


def _decode(data: bytes) -> Message:
    if holds(data, b"\n") or holds(data, b"\r"):
        data = one_line(data)
    try:
        envelope = _envelope.decode(data)
    except (msgspec.ValidationError, RecursionError):
        raise _no_message(data) from None
    except msgspec.DecodeError as problem:
        raise UnparsableMessage(f"the text is not JSON: {problem}") from None
    return _classify(envelope)


def decode_many(data: bytes, limit: int | None = None) -> Message | list[Message | InvalidMessage]:
    """Read one message, or a batch of them (a JSON array; only 2025-03-26 has it).

    A member of a batch that is no message stands in the list as the error it
    caused, so that its neighbours are served.

    :param limit: how many messages a batch may have, ``None`` for any number.
    :raises UnparsableMessage: the whole is not JSON.
    :raises InvalidMessage: a lone message is invalid, or the batch is empty or too long.
    """
    if not is_batch(data):
        return decode(data)
    check_utf8(data)
    try:
        members = _members.decode(data) if limit is None else _few(limit)(data)
    except msgspec.ValidationError:
        raise InvalidMessage(f"a batch may have {limit} messages, and no more") from None
    except (msgspec.DecodeError, RecursionError) as problem:
        raise UnparsableMessage(f"the text is not JSON: {problem}") from None
    if not members:
        raise InvalidMessage("a batch may not be empty")
    return [_member(bytes(member)) for member in members]


@cache
def _few(limit: int) -> Callable[[bytes], list[Raw]]:
    """Reads an array of so many members at most, and no further: not one more is made.

    A list with a greatest length is read to its end before that is looked at, and a body
    of millions of tiny members takes a hundred times its size.
    """
    names = [f"_{number}" for number in range(limit)]
    members = msgspec.defstruct(
        "_Few",
        [(name, Raw | UnsetType, UNSET) for name in names],
        array_like=True,
        forbid_unknown_fields=True,
        gc=False,
    )
    decoder = msgspec.json.Decoder(members)

    def read(data: bytes) -> list[Raw]:
        found = msgspec.structs.astuple(decoder.decode(data))
        return [member for member in found if member is not UNSET]

    return read


def is_batch(data: bytes) -> bool:
    """Whether the text begins as a JSON array."""
    return data[:1] != b"{" and data[:64].lstrip(b" \t\r\n")[:1] == b"["


def encode(message: Message) -> bytes:
    """Write one message as one line of JSON, without a line end."""
    return b"".join(pieces(message))


def pieces(message: Message) -> list[Json]:
    """Write one message in parts, so that a large payload is not copied again."""
    # By type and not by isinstance: this is half of what a message costs here.
    kind = type(message)
    if kind is Result:
        return [b'{"jsonrpc":"2.0","id":', id_text(message.id), b',"result":', message.result, b"}"]  # type: ignore[union-attr]
    if kind is Error:
        return [b'{"jsonrpc":"2.0","id":', id_text(message.id), b',"error":', message.error, b"}"]  # type: ignore[union-attr]
    head = b'{"jsonrpc":"2.0","method":'
    if kind is Request:
        head = b'{"jsonrpc":"2.0","id":%b,"method":' % id_text(message.id)  # type: ignore[union-attr]
    if not message.params:  # type: ignore[union-attr]
        return [head, encode_json(message.method), b"}"]  # type: ignore[union-attr]
    return [head, encode_json(message.method), b',"params":', message.params, b"}"]  # type: ignore[union-attr]


def id_text(id: MessageId | None) -> bytes:
    """An id as JSON."""
    return b"%d" % id if type(id) is int else encode_json(id)


def error_answer(id: MessageId | None, problem: McpTwistError) -> Error:
    """The answer that tells a problem of ours to the asker of request *id*."""
    return Error(id, encode_json(problem.body()))


def open_error(error: Error) -> ErrorBody:
    """Look inside an error answer.

    :raises InvalidMessage: it is not an object with an integer ``code``.
    """
    try:
        return _error_body.decode(error.error)
    except (msgspec.DecodeError, RecursionError) as problem:
        raise InvalidMessage(f"not an error object: {problem}", error.id) from None


def open_fields(json: Json) -> dict[str, Raw]:
    """The members of a JSON object, each unopened; none when *json* is empty.

    :raises InvalidMessage: it is not an object.
    """
    if not json:
        return {}
    try:
        return _fields.decode(json)
    except (msgspec.DecodeError, RecursionError) as problem:
        raise InvalidMessage(f"not an object: {problem}") from None


def open_list(json: Json) -> list[Raw]:
    """The members of a JSON array, each unopened.

    :raises InvalidMessage: it is not an array.
    """
    try:
        return _list.decode(json)
    except (msgspec.DecodeError, RecursionError) as problem:
        raise InvalidMessage(f"not a list: {problem}") from None


def one_line(json: bytes) -> bytes:
    """The same JSON without white space between its tokens.

    Line ends frame messages on stdio and in event streams, so none may stand
    inside a message.

    :raises UnparsableMessage: it is not JSON.
    """
    try:
        return msgspec.json.format(json, indent=-1)
    except (msgspec.DecodeError, RecursionError) as problem:
        raise UnparsableMessage(f"the text is not JSON: {problem}") from None


def _mend_surrogates(data: bytes) -> bytes:
    """The text with U+FFFD for each escape that is half a character.

    JavaScript writes such halves where a string was cut by UTF-16 units. JSON's
    grammar has them (RFC 8259, section 8.2), so the message is one all the same.
    """
    if b"\\u" not in data:
        return data
    return _ESCAPE.sub(lambda found: b"\\ufffd" if found["half"] else found[0], data)


def check_utf8(data: bytes) -> None:
    """Refuse text that is not UTF-8, without making a second copy of a large one.

    :raises UnparsableMessage: naming the offset in bytes.
    """
    if data.isascii():
        return
    try:
        if len(data) <= _SLICE:
            data.decode()
        else:
            _exhaust(codecs.iterdecode(_slices(data), "utf-8"))
    except UnicodeDecodeError as problem:
        raise UnparsableMessage(f"the text is not UTF-8: {problem.reason}") from None


def _exhaust(texts: Iterable[str]) -> None:
    for _ in texts:
        pass


def _slices(data: bytes) -> Iterable[bytes]:
    return (data[at : at + _SLICE] for at in range(0, len(data), _SLICE))


def _member(data: bytes) -> Message | InvalidMessage:
    try:
        return decode(data)
    except InvalidMessage as problem:
        return problem
    except UnparsableMessage as problem:
        return InvalidMessage(problem.message)


def _classify(envelope: _Envelope) -> Message:
    id = envelope.id
    if envelope.jsonrpc != "2.0":
        raise InvalidMessage('"jsonrpc" must be "2.0"', _named(id))
    if type(id) is str and len(id) > _ID_LIMIT:
        raise InvalidMessage(f"an id may have {_ID_LIMIT} characters")
    if envelope.method is not UNSET:
        return _asking(envelope, id)
    if envelope.result is not UNSET and envelope.error is UNSET:
        if id is None or id is UNSET:
            raise InvalidMessage("a result needs the id of its request")
        return Result(id, envelope.result)
    if envelope.error is not UNSET and envelope.result is UNSET:
        return Error(_named(id), envelope.error)
    raise InvalidMessage("neither a request nor exactly one of result and error", _named(id))


def _asking(envelope: _Envelope, id: MessageId | UnsetType | None) -> Request | Notification:
    params: Json = b"" if envelope.params is UNSET else envelope.params
    if envelope.result is not UNSET or envelope.error is not UNSET:
        raise InvalidMessage("a method and an answer in one message", _named(id))
    if params and memoryview(params)[0] != 0x7B:
        raise InvalidMessage('"params" must be an object', _named(id))
    if id is None:
        raise InvalidMessage("an id may not be null")
    assert isinstance(envelope.method, str)
    if id is UNSET:
        return Notification(envelope.method, params)
    return Request(id, envelope.method, params)


def _named(id: MessageId | UnsetType | None) -> MessageId | None:
    return None if id is UNSET else id


def _no_message(data: bytes) -> UnparsableMessage | InvalidMessage:
    """Why the envelope did not fit: not JSON after all, or not the right JSON."""
    try:
        fields = _fields.decode(data)
    except msgspec.ValidationError:
        return InvalidMessage("a message must be an object")
    except RecursionError:
        return InvalidMessage("the message is nested too deeply")
    except msgspec.DecodeError as problem:
        return UnparsableMessage(f"the text is not JSON: {problem}")
    return InvalidMessage("a member of the message has the wrong type", _id_of(fields))


def _id_of(fields: dict[str, Raw]) -> MessageId | None:
    try:
        named: MessageId = _id.decode(fields["id"])
        return named
    except (KeyError, msgspec.DecodeError):
        return None
