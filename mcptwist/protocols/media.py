"""What a request says of media types: what its body is, what it will take.

RFC 9110, 8.3 *Content-Type* and 12.5.1 *Accept*.
"""

from __future__ import annotations

from functools import lru_cache

from mcptwist.errors import NotAcceptable, UnsupportedContent


def check_content_type(value: bytes | None) -> None:
    """Refuse a body that is not declared to be JSON.

    A page of another origin can send other types without asking first, which is
    why nothing else is taken.

    :raises UnsupportedContent: it is something else, or nothing is said.
    """
    if not _is_json(value):
        raise UnsupportedContent("the body must be declared as Content-Type: application/json")


def check_accept(value: bytes | None) -> None:
    """Refuse a client that will not take both of what it may get.

    :raises NotAcceptable: it leaves out JSON or event streams.
    """
    if accepts(value) != (True, True):
        raise NotAcceptable("accept both application/json and text/event-stream")


@lru_cache(maxsize=64)
def accepts(value: bytes | None) -> tuple[bool, bool]:
    """Whether JSON and event streams are accepted; absent is anything."""
    if value is None:
        return True, True
    ranges = {_range(part) for part in value.lower().split(b",")}
    return (
        bool(ranges & {b"application/json", b"application/*", b"*/*"}),
        bool(ranges & {b"text/event-stream", b"text/*", b"*/*"}),
    )


@lru_cache(maxsize=64)
def _is_json(value: bytes | None) -> bool:
    if value is None:
        return False
    return value.partition(b";")[0].strip().lower() == b"application/json"


def _range(part: bytes) -> bytes:
    """A media range, empty where its weight is nought."""
    kind, *parameters = (piece.strip() for piece in part.split(b";"))
    refused = {b"q=0", b"q=0.0", b"q=0.00", b"q=0.000"}
    return b"" if refused & set(parameters) else kind
