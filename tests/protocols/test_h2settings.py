"""Tests of mcptwist.protocols.h2settings."""

from __future__ import annotations

from hyperframe.frame import SettingsFrame
from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.protocols.h2frames import ConnectionFailed
from mcptwist.protocols.h2settings import read_settings, write_settings

PROTOCOL_ERROR, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR = 1, 3, 6
NUMBERS = some.integers(0, 2**32 - 1)


class SettingsTests(SynchronousTestCase):
    """What the ends tell each other of themselves."""

    @settings(deadline=None, max_examples=60)
    @given(some.dictionaries(some.integers(9, 255), NUMBERS, max_size=20))
    def test_any(self, said: dict[int, int]) -> None:
        """What is written is read again, and is what hyperframe writes."""
        payload = write_settings(said)
        self.assertEqual(read_settings(payload), said)
        self.assertEqual(payload, SettingsFrame(settings=said).serialize()[9:])

    @settings(deadline=None, max_examples=60)
    @given(some.binary(max_size=40))
    def test_any_bytes(self, payload: bytes) -> None:
        """Whatever comes is read, or refused with a code."""
        try:
            read = read_settings(payload)
        except ConnectionFailed as failed:
            self.assertIn(failed.code, (PROTOCOL_ERROR, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR))
        else:
            self.assertLessEqual(len(read), len(payload) // 6)

    def test_last(self) -> None:
        """Of several values the last one holds."""
        self.assertEqual(read_settings(write_settings({4: 1}) + write_settings({4: 2})), {4: 2})

    def test_wrong(self) -> None:
        """What must not be said, and the code it is refused with (RFC 9113 section 6.5.2)."""
        for number, value, code in (
            (2, 2, PROTOCOL_ERROR),
            (8, 2, PROTOCOL_ERROR),
            (4, 2**31, FLOW_CONTROL_ERROR),
            (5, 16383, PROTOCOL_ERROR),
            (5, 2**24, PROTOCOL_ERROR),
        ):
            failed = self.assertRaises(
                ConnectionFailed, read_settings, write_settings({number: value})
            )
            self.assertEqual(failed.code, code, (number, value))
        failed = self.assertRaises(ConnectionFailed, read_settings, b"12345")
        self.assertEqual(failed.code, FRAME_SIZE_ERROR)
