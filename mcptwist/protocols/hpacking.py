"""HPACK: header blocks to fields, and fields to header blocks (RFC 7541). Pure.

Both ends are made for a server that is asked the same thing over and over: what a client has told
once it tells again with a byte or two, and what we say is the same few fields.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from hpack import HPACKDecodingError
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable

from mcptwist.protocols import h2frames as frames
from mcptwist.protocols.h2frames import ConnectionFailed

__all__ = ["FieldEncoder", "FieldReader", "Fields"]

Fields = Sequence[tuple[bytes, bytes]]

_STATIC = tuple(HeaderTable.STATIC_TABLE)
#: What an entry or a field counts besides its bytes (section 4.1; RFC 9113 section 6.5.2).
_OVERHEAD = 32
#: The table every encoder may count on; we allow no other.
TABLE_BYTES = 4096


class FieldReader:
    """The decoder of one connection.

    A block that comes again while the table is the same means the same, and is not looked into.

    :param most: bytes of a list of fields; a longer one ends the connection.
    """

    _MOST_KNOWN = 128
    _KNOWN_BYTES = 1024

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: dict[bytes, Fields] = {}  # blocks that leave the table as it is
        self._table: deque[tuple[bytes, bytes]] = deque()  # the newest last
        self._table_size = 0
        self._table_most = TABLE_BYTES
        self._changed = False  # the table, by the block that is being decoded

    def decode(self, data: bytes) -> Fields:
        """The fields of a header block; the same object where it is the same block again.

        :raises ConnectionFailed: it is no HPACK, or unfolds to more than we take.
        """
        known = self._known.get(data)
        if known is not None:
            return known
        try:
            fields = tuple(self._decode(data))
        except (HPACKDecodingError, IndexError):
            raise ConnectionFailed(
                frames.COMPRESSION_ERROR, "a header block is not HPACK"
            ) from None
        if self._changed:
            self._changed = False
            self._known.clear()
        elif len(data) <= self._KNOWN_BYTES:
            if len(self._known) >= self._MOST_KNOWN:
                del self._known[next(iter(self._known))]
            self._known[data] = fields
        return fields

    def _decode(self, data: bytes) -> Fields:
        fields: list[tuple[bytes, bytes]] = []
        at, end, size = 0, len(data), 0
        while at < end:
            first = data[at]
            if first & 0x80:
                at += 1
                index = first & 0x7F
                if index == 0x7F:
                    index, at = _number(data, at, 0x7F)
                field = self._entry(index)
            elif first & 0x60 == 0x20:
                if fields:
                    raise HPACKDecodingError
                at = self._resize(data, at)
                continue
            else:
                field, at = self._literal(data, at, 0x3F if first & 0x40 else 0x0F)
                if first & 0x40:
                    self._remember(field)
            fields.append(field)
            size += len(field[0]) + len(field[1]) + _OVERHEAD
            if size > self._most:
                raise ConnectionFailed(
                    frames.ENHANCE_YOUR_CALM, "a list of fields is too long", flood="fields"
                )
        return fields

    def _entry(self, index: int) -> tuple[bytes, bytes]:
        if 0 < index <= 61:
            return _STATIC[index - 1]
        if index == 0 or index - 61 > len(self._table):
            raise HPACKDecodingError
        return self._table[61 - index]

    def _literal(self, data: bytes, at: int, mask: int) -> tuple[tuple[bytes, bytes], int]:
        index = data[at] & mask
        at += 1
        if index == mask:
            index, at = _number(data, at, mask)
        if index:
            name = self._entry(index)[0]
        else:
            name, at = _string(data, at)
        value, at = _string(data, at)
        return (name, value), at

    def _remember(self, field: tuple[bytes, bytes]) -> None:
        self._changed = True
        self._table.append(field)
        self._table_size += len(field[0]) + len(field[1]) + _OVERHEAD
        if self._table_size > self._table_most:
            self._forget()

    def _forget(self) -> None:
        while self._table_size > self._table_most:
            name, value = self._table.popleft()
            self._table_size -= len(name) + len(value) + _OVERHEAD

    def _resize(self, data: bytes, at: int) -> int:
        size, after = data[at] & 0x1F, at + 1
        if size == 0x1F:
            size, after = _number(data, after, 0x1F)
        if size > TABLE_BYTES:
            raise HPACKDecodingError
        self._changed = True
        self._table_most = size
        self._forget()
        return after


def _number(data: bytes, at: int, number: int) -> tuple[int, int]:
    """The rest of an integer whose first byte was full (section 5.1), and where it ends."""
    for shift in (0, 7, 14, 21):
        byte = data[at]
        at += 1
        number += (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
    raise HPACKDecodingError


def _string(data: bytes, at: int) -> tuple[bytes, int]:
    """A string (section 5.2), and where it ends."""
    first = data[at]
    length = first & 0x7F
    at += 1
    if length == 0x7F:
        length, at = _number(data, at, 0x7F)
    after = at + length
    if after > len(data):
        raise HPACKDecodingError
    text = data[at:after]
    return (decode_huffman(text) if first & 0x80 else text), after


class FieldEncoder:
    """An encoder without memory: each field is written out, with an index for its name at most.

    What others asked on the same connection can then not be guessed from the length of an answer,
    no connection holds a table, and a field that was encoded once need not be encoded again.
    """

    _MOST = 512
    _CACHED_BYTES = 64

    def __init__(self) -> None:
        # A table of size zero (RFC 7541 section 6.3); whatever the client allows later is more.
        self._opening = b"\x20"

    def encode(self, fields: Iterable[tuple[bytes, bytes]]) -> bytes:
        """A header block."""
        cache = _ENCODED
        block = [self._opening]
        self._opening = b""
        for field in fields:
            known = cache.get(field)
            block.append(_encoded(*field) if known is None else known)
        return b"".join(block)


_ENCODED: dict[tuple[bytes, bytes], bytes] = {}
_NAMES = {
    name: index for index, (name, _) in reversed(list(enumerate(HeaderTable.STATIC_TABLE, 1)))
}
_WHOLE = {field: index for index, field in enumerate(HeaderTable.STATIC_TABLE, 1) if field[1]}
#: Fields whose value is one client's business: never indexed on the way, and not kept.
_PRIVATE = frozenset([b"set-cookie", b"mcp-session-id", b"www-authenticate", b"dpop-nonce"])


def _encoded(name: bytes, value: bytes) -> bytes:
    """One field (RFC 7541 section 6)."""
    whole = _WHOLE.get((name, value))
    private = name in _PRIVATE
    if whole is not None:
        encoded = bytes([0x80 | whole])
    else:
        index = _NAMES.get(name, 0)
        first = _integer(index, 4, 0x10 if private else 0)
        encoded = first + (b"" if index else _text(name)) + _text(value)
    if not private and len(value) <= FieldEncoder._CACHED_BYTES:
        if len(_ENCODED) >= FieldEncoder._MOST:
            _ENCODED.clear()
        _ENCODED[name, value] = encoded
    return encoded


def _text(text: bytes) -> bytes:
    return _integer(len(text), 7, 0) + text


def _integer(number: int, bits: int, first: int) -> bytes:
    """An integer in the last `bits` of a byte, and those after it (RFC 7541 section 5.1)."""
    most = (1 << bits) - 1
    if number < most:
        return bytes([first | number])
    encoded = bytearray([first | most])
    number -= most
    while number >= 128:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
