"""``mcptwist.watching.journal``: the last log events."""

from twisted.logger import Logger, LogPublisher
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.watching.journal import Journal


class JournalTests(SynchronousTestCase):
    """A journal of three lines."""

    def setUp(self) -> None:
        self.journal = Journal(3)
        publisher = LogPublisher(self.journal)
        self.log = Logger("room", observer=publisher)

    def texts(self, after: int = 0) -> list[str]:
        return [line.text for line in self.journal.after(after)]

    def test_last(self) -> None:
        """Only the last are kept, and numbered."""
        for number in range(5):
            self.log.info("line {number}", number=number)
        self.assertEqual(self.texts(), ["line 2", "line 3", "line 4"])
        self.assertEqual(self.texts(4), ["line 4"])
        self.assertEqual(self.texts(5), [])
        self.assertEqual(self.journal.last, 5)

    def test_levels(self) -> None:
        """What is less severe than the level is not kept."""
        self.log.debug("quiet")
        self.journal.set_level("error")
        self.log.warn("not enough")
        self.log.critical("loud")
        (line,) = self.journal.after(0)
        self.assertEqual((line.level, line.system, line.text), ("critical", "room", "loud"))

    def test_failure(self) -> None:
        """A traceback is part of the line."""
        try:
            raise ValueError("wrong")
        except ValueError:
            self.log.failure("it broke")
        (text,) = self.texts()
        self.assertTrue(text.startswith("it broke\n"))
        self.assertIn("ValueError: wrong", text)

    def test_long(self) -> None:
        """A line has an end."""
        self.log.info("{text}", text="x" * 10_000)
        self.assertEqual(len(self.texts()[0]), 2000)
