"""The last words of a child: the end of its stderr, bounded and harmless.

What a child writes there is hostile: it may be endless, have no line ends,
steer a terminal, or repeat the secrets it was given. So only the last lines
are kept, and nobody gets to see one before it is :func:`inert` and its
secrets are blotted out. Pure.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Collection

from mcptwist.configuration.redaction import SHORTEST, redact
from mcptwist.protocols.lastwords import telling_line
from mcptwist.protocols.lines import LineSplitter, LineTooLong

STDERR_LINES = 50
STDERR_BYTES = 16 << 10
WIDEST = 4 << 10

_SEQUENCES = re.compile(
    "[\x1b][\\[][0-?]*[ -/]*[@-~]"  # CSI: colours, the cursor
    "|[\x1b][\\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\\\|\x9c)?"  # OSC and other strings
    "|\x1b[ -/]*[0-~]?"  # what is shorter
)
_REORDERING = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_CONTROLS = (*range(0x09), *range(0x0A, 0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, 0xFEFF)
_UNSAFE = dict.fromkeys((*_CONTROLS, *_REORDERING), "\N{REPLACEMENT CHARACTER}")


def inert(text: str) -> str:
    """The text without anything that steers a terminal or breaks a line."""
    if text.isprintable():
        return text
    return _SEQUENCES.sub("", text).translate(_UNSAFE)


class Blotter:
    """Makes text from a child fit to be shown.

    :param secrets: values to blot out. One of several lines, such as a
        private key, is blotted out line by line.
    """

    def __init__(self, secrets: Collection[str]) -> None:
        parts = {part.strip() for secret in secrets for part in secret.splitlines()}
        self._secrets = frozenset(
            inert(text) for text in parts | set(secrets) if len(text) >= SHORTEST
        )
        self._longest = max(map(len, self._secrets), default=0)

    def clean(self, data: bytes, width: int = WIDEST) -> str:
        """The text of *data*, inert, redacted, and no longer than *width* characters."""
        raw = data[: 4 * WIDEST]
        shown = redact(inert(raw.decode("utf-8", "replace")), self._secrets)
        if len(raw) < len(data):
            # The cut may have gone through a secret, and half of one is half too much.
            shown = shown[: max(0, len(shown) - self._longest)]
        if len(shown) <= width and len(raw) == len(data):
            return shown
        return shown[:width] + "…"


class Tail:
    """Keeps the last lines of a stream.

    :param blotter: what makes them fit to be shown.
    :param lines: how many to keep.
    :param bytes_kept: how many bytes of them to keep.
    :param watcher: told each line, made fit to be shown, as it comes.
    """

    def __init__(
        self,
        blotter: Blotter,
        lines: int = STDERR_LINES,
        bytes_kept: int = STDERR_BYTES,
        watcher: Callable[[str], None] | None = None,
    ) -> None:
        self._blotter = blotter
        self._bytes_kept = bytes_kept
        self._watcher = watcher
        self._kept: deque[bytes] = deque(maxlen=max(1, lines))
        self._size = 0
        self._splitter = LineSplitter(self._add, self._cut, min(WIDEST * 4, bytes_kept))

    def feed(self, data: bytes) -> None:
        """Take what was read."""
        self._splitter.feed(data)

    def end(self) -> None:
        """The stream is over."""
        self._splitter.end()

    def lines(self) -> list[str]:
        """The last lines, oldest first."""
        return [self._blotter.clean(line) for line in self._kept]

    def last(self) -> str:
        """The line that says why it ended, as far as that can be told, or nothing."""
        return telling_line(self.lines())

    def _cut(self, _problem: LineTooLong) -> None:
        self._add(b"(a line too long to be kept)")

    def _add(self, line: bytes) -> None:
        if len(self._kept) == self._kept.maxlen:
            self._size -= len(self._kept.popleft())
        self._kept.append(line)
        self._size += len(line)
        while self._size > self._bytes_kept and len(self._kept) > 1:
            self._size -= len(self._kept.popleft())
        if self._watcher is not None:
            self._watcher(self._blotter.clean(line))
