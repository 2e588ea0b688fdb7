"""Who owns which name, as far as it was listed."""

from twisted.trial.unittest import SynchronousTestCase

from mcptwist.catalog.directory import (
    PROMPTS,
    RESOURCES,
    TEMPLATES,
    TOOLS,
    Directories,
    Directory,
    Owned,
)
from mcptwist.catalog.toolnames import public_name

LONG = "t" * 80


class DirectoryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Directory(("a", "b"))

    def test_kinds_apart(self) -> None:
        """A prompt is no tool, though both may have the same cut name."""
        self.directory.learn("a", TOOLS, [LONG])
        name = public_name("a", LONG)
        self.assertEqual(self.directory.find(TOOLS, name), Owned("a", LONG))
        self.assertIsNone(self.directory.find(PROMPTS, name))
        self.directory.forget("a", PROMPTS.changed)
        self.assertEqual(self.directory.find(TOOLS, name), Owned("a", LONG))

    def test_candidates(self) -> None:
        """Only servers whose cut names begin like this one are worth asking."""
        directory = Directory(("a", "ab", "a.b"))
        self.assertEqual(directory.candidates(public_name("a.b", LONG)), ["a.b"])
        self.assertEqual(directory.candidates("a__plain"), [])

    def test_too_many_templates(self) -> None:
        """So many of one server's templates are looked at, and no more."""
        self.directory.learn("a", TEMPLATES, [f"x{n}://{{y}}" for n in range(1001)])
        self.assertEqual(self.directory.resource("x999://y"), Owned("a", "x999://y"))
        self.assertIsNone(self.directory.resource("x1000://y"))

    def test_list_replaces(self) -> None:
        """A new list takes the place of the old one."""
        self.directory.learn("a", RESOURCES, ["x:1"])
        self.directory.learn("a", RESOURCES, ["x:2"])
        self.assertIsNone(self.directory.owner("x:1"))

    def test_changed(self) -> None:
        """After a change nothing of that server's is relied on, and all of the others'."""
        for server in ("a", "b"):
            self.directory.learn(server, RESOURCES, ["x:1"])
            self.directory.learn(server, TEMPLATES, ["y:{z}"])
        self.directory.forget("a", RESOURCES.changed)
        self.assertEqual(self.directory.owner("x:1"), "b")
        self.assertEqual(self.directory.owner("y:1"), "b")

    def test_template_itself(self) -> None:
        """A template is its own server's, also where another's would make the same text."""
        self.directory.learn("a", TEMPLATES, ["x://long-{+rest}"])
        self.directory.learn("b", TEMPLATES, ["x://long-{b}"])
        self.assertEqual(self.directory.owner("x://long-{b}"), "b")

    def test_listed_before_mentioned(self) -> None:
        """What is listed counts for more than what was pointed to, that more than a template."""
        self.directory.learn("a", TEMPLATES, ["x:{n}"])
        self.directory.mention("b", ["x:1", "x:2"])
        self.directory.learn("a", RESOURCES, ["x:1"])
        self.assertEqual([self.directory.owner(u) for u in ("x:1", "x:2", "x:3")], ["a", "b", "a"])

    def test_mentions_are_bounded(self) -> None:
        """Of very many resources pointed to, the latest are remembered; endless URIs never."""
        self.directory.mention("a", ["x:first", *(f"x:{n}" for n in range(10_000))])
        self.directory.mention("a", ["y:" + "y" * 3000])
        self.assertIsNone(self.directory.owner("x:first"))
        self.assertEqual(self.directory.owner("x:0"), "a")
        self.assertIsNone(self.directory.owner("y:" + "y" * 3000))


class DirectoriesTests(SynchronousTestCase):
    def test_apart(self) -> None:
        """What one principal was shown the other was not."""
        directories = Directories(("a",))
        directories.of("alice").learn("a", RESOURCES, ["x:1"])
        self.assertEqual(directories.of("alice").owner("x:1"), "a")
        self.assertIsNone(directories.of("bob").owner("x:1"))

    def test_bounded(self) -> None:
        """Whoever was longest away is forgotten first."""
        directories = Directories(("a",), limit=2)
        for who in ("alice", "bob"):
            directories.of(who).learn("a", RESOURCES, ["x:1"])
        directories.of("alice")
        directories.of("carol")
        self.assertEqual(directories.of("alice").owner("x:1"), "a")
        self.assertIsNone(directories.of("bob").owner("x:1"))

    def test_forget_everywhere(self) -> None:
        """A change is a change for all."""
        directories = Directories(("a",))
        for who in ("alice", "bob"):
            directories.of(who).learn("a", RESOURCES, ["x:1"])
        directories.forget("a", RESOURCES.changed)
        self.assertEqual([directories.of(who).owner("x:1") for who in ("alice", "bob")], [None] * 2)
