"""What a message is about, in a few words, for a column. Pure."""

from __future__ import annotations

import msgspec

from mcptwist.console.model import Message
from mcptwist.watching.tally import ERROR, FAILED


class _Error(msgspec.Struct):
    message: str = ""


class _Block(msgspec.Struct):
    text: str = ""


class _Result(msgspec.Struct):
    content: list[_Block] = []


_params = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_error = msgspec.json.Decoder(_Error).decode
_result = msgspec.json.Decoder(_Result).decode


def gist(message: Message, to: str) -> str:
    """What was asked for; where it went wrong, what the server said of that.

    :param to: stands before an answer.
    """
    answer = message.answer
    if answer is not None and answer.status in (ERROR, FAILED):
        return f"{to} {_complaint(answer.text, answer.status)}"
    return asked(message.frame.text)


def asked(text: str) -> str:
    """The arguments, or what else is in params but ``_meta``; as it is where it is cut."""
    try:
        params = _params(text)
    except (msgspec.DecodeError, RecursionError):
        return text
    params.pop("_meta", None)
    for name in ("arguments", "uri"):
        if name in params:
            return bytes(params[name]).decode()
    return msgspec.json.encode(params).decode() if params else ""


def _complaint(text: str, status: str) -> str:
    try:
        if status == ERROR:
            return _error(text).message or text
        return " ".join(block.text for block in _result(text).content) or text
    except (msgspec.DecodeError, RecursionError):
        return text
