"""The last words of a child, bounded and harmless."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.protocols.tail import WIDEST, Blotter, Tail, inert

KEY = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n-----END PRIVATE KEY-----\n"


class Inert(SynchronousTestCase):
    def test_colours_titles_and_cursors_are_gone(self) -> None:
        for hostile in (
            "\x1b[1;31mred\x1b[0m",
            "\x1b]0;title\x07red",
            "\x1b]8;;http://x\x1b\\red\x1b]8;;\x1b\\",
            "\x1b[2J\x1b[Hred",
            "\x1bcred",
            "\x1bP+q544e\x1b\\red",
        ):
            self.assertEqual(inert(hostile), "red")

    def test_other_controls_are_shown_as_such(self) -> None:
        self.assertEqual(inert("a\x00b\x07c\x9bd\u202ee\r\n"), "a�b�c�d�e��")

    def test_plain_text_stays(self) -> None:
        for text in ("plain", "żółć 日本 🎉", "tab\tstays"):
            self.assertEqual(inert(text), text)

    @settings(max_examples=100, deadline=None)
    @given(st.text(st.sampled_from("\x1b[]0;mP\\\x07\x9b\x90ab\r\n\u202e"), max_size=20))
    def test_nothing_steers_a_terminal(self, text: str) -> None:
        self.assertTrue(inert(text).isprintable())


class BlotterTests(SynchronousTestCase):
    def test_secrets_are_blotted_out(self) -> None:
        self.assertEqual(Blotter({"hunter22"}).clean(b"key=hunter22!"), "key=***!")

    def test_also_those_in_colour(self) -> None:
        self.assertEqual(Blotter({"hunter22"}).clean(b"hunt\x1b[1mer22"), "***")

    def test_a_secret_of_many_lines_is_blotted_out_line_by_line(self) -> None:
        blotter = Blotter({KEY})
        for line in KEY.splitlines():
            self.assertEqual(blotter.clean(line.encode()), "***")

    def test_what_is_long_is_cut(self) -> None:
        self.assertEqual(Blotter(()).clean(b"x" * 20, 10), "x" * 10 + "…")
        self.assertEqual(Blotter(()).clean(b"x" * 10, 10), "x" * 10)

    def test_what_is_no_text_is_replaced(self) -> None:
        self.assertEqual(Blotter(()).clean(b"a\xffb"), "a�b")

    def test_a_cut_shows_no_part_of_a_secret(self) -> None:
        secret = "S" * 64
        blotter = Blotter({secret})
        for before in range(4 * WIDEST - 70, 4 * WIDEST + 2):
            line = b"a" * before + secret.encode() + b"b" * 100
            self.assertNotIn("S", blotter.clean(line, 5 * WIDEST))
            self.assertNotIn("S", blotter.clean(line[before - 50 :], 60))


class TailTests(SynchronousTestCase):
    def test_the_last_lines_are_kept(self) -> None:
        tail = Tail(Blotter(()), lines=3)
        tail.feed(b"1\n2\n3\n4")
        tail.feed(b"\n5\n6")
        self.assertEqual(tail.lines(), ["3", "4", "5"])
        tail.end()
        self.assertEqual(tail.lines(), ["4", "5", "6"])

    def test_bytes_are_bounded_too(self) -> None:
        tail = Tail(Blotter(()), lines=100, bytes_kept=10)
        tail.feed(b"1234\n" * 7 + b"last\n")
        self.assertEqual(tail.lines(), ["1234", "last"])

    def test_a_line_without_end_is_not_kept(self) -> None:
        tail = Tail(Blotter(()))
        for _ in range(100):
            tail.feed(b"x" * (1 << 16))
        tail.feed(b"\nend\n")
        self.assertEqual(tail.lines(), ["(a line too long to be kept)", "end"])

    def test_the_last_that_says_something(self) -> None:
        tail = Tail(Blotter({"hunter22"}))
        self.assertEqual(tail.last(), "")
        tail.feed(b"ValueError: hunter22\n\n   \n")
        self.assertEqual(tail.last(), "ValueError: ***")

    def test_a_watcher_is_told_each_line_fit_to_be_shown(self) -> None:
        told: list[str] = []
        tail = Tail(Blotter({"hunter22"}), lines=1, watcher=told.append)
        tail.feed(b"one\nhunter22\n\x1b[1mthree\n")
        self.assertEqual(told, ["one", "***", "three"])
