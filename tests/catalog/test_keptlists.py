"""The last lists of servers, on disk."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as some
from msgspec import Raw
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mcptwist.catalog import keptlists
from mcptwist.catalog.directory import RESOURCES, TOOLS
from mcptwist.catalog.inventory import Inventory
from mcptwist.catalog.keptlists import (
    KeptLists,
    NotKept,
    lists_in,
    load,
    mark_of,
    read,
    save,
    written,
)
from mcptwist.catalog.listings import Bounds, Listing, Trouble
from mcptwist.messages import encode_json
from mcptwist.versions import MODERN
from tests.scripted import ScriptedServer

NOW = 1_000_000.0
DAY = 86400.0
BOUNDS = Bounds(entries=3)


def listing(*names: str, **more: Any) -> Listing:
    return Listing("s", {name: Raw(encode_json({"name": name})) for name in names}, **more)


class FileTests(SynchronousTestCase):
    """What is written, and what of it is believed."""

    def text(self, *kept: Any, server: str = "s", mark: str = "m", at: float = NOW) -> bytes:
        return written(server, mark, at, list(kept), "Hello.")

    def read(self, text: bytes, now: float = NOW) -> Any:
        found = read(text, "s", "m", now, DAY, BOUNDS)
        return found, list(lists_in(found))

    def test_there_and_back(self) -> None:
        """What was written is read: every list as it was given."""
        tools = (TOOLS, listing("a", "b", ttl=500, private=True, era=MODERN), True)
        uris = (RESOURCES, Listing("s", {"x:1": Raw(b'{"uri":"x:1", "y":[ 1.0 ]}')}, 0), False)
        found, kept = self.read(self.text(tools, uris))
        self.assertEqual(found.words, "Hello.")
        self.assertEqual(sorted(kept, key=str), sorted([tools, uris], key=str))

    def test_another(self) -> None:
        """What is of another server, another configuration or another time is not used."""
        kept = (TOOLS, listing("a"), False)
        for text in (
            self.text(kept, server="t"),
            self.text(kept, mark="n"),
            self.text(kept, at=NOW - DAY - 1),
            self.text(kept, at=NOW + DAY),
            self.text(kept).replace(b'"version":1', b'"version":2'),
        ):
            self.assertRaises(NotKept, self.read, text)
        self.read(self.text(kept, at=NOW - DAY + 1))

    def test_too_many(self) -> None:
        """More than is taken of a server is not taken from disk."""
        names = [str(n) for n in range(13)]
        self.assertRaises(NotKept, self.read, self.text((TOOLS, listing(*names), False)))

    def test_damaged(self) -> None:
        """What is not as it was written is not used."""
        good = self.text((TOOLS, listing("a"), False))
        for old, new in (
            (b'{"name":"a"}', b'{"name":3}'),
            (b'{"name":"a"}', b'{"uri":"a"}'),
            (b'{"name":"a"}', b"3"),
            (b"tools/list", b"tools/liszt"),
            (b'"legacy"', b'"feudal"'),
            (b'"nameless":false', b'"nameless":0'),
            (b'{"name":"a"}', b"[" * 100_000),
        ):
            self.assertNotEqual(good, good.replace(old, new))
            self.assertRaises(NotKept, self.read, good.replace(old, new))

    @settings(max_examples=150, deadline=None)
    @given(some.binary(max_size=40), some.integers(0, 200), some.integers(0, 3))
    def test_wild(self, junk: bytes, at: int, cut: int) -> None:
        """Whatever stands in the file: lists of entries with names, or it is not used."""
        good = self.text((TOOLS, listing("a", "b"), False))
        for text in (junk, good[:at] + junk + good[at + cut :], good[:at]):
            try:
                _, kept = self.read(text)
            except NotKept:
                continue
            for shelf, found, _ in kept:
                for name, entry in found.entries.items():
                    self.assertEqual(msgspec.json.decode(entry)[shelf.key], name)

    def test_too_long(self) -> None:
        """Of lists that are too long together the shorter ones are kept, and none in part."""
        self.patch(keptlists, "LARGEST", 8000)
        big = listing(*(f"{n:060}" for n in range(100)))
        text = self.text((TOOLS, big, False), (RESOURCES, Listing("s", {}, 0), False))
        self.assertLess(len(text), 8000)
        self.assertEqual(list(msgspec.json.decode(text)["lists"]), [RESOURCES.method])

    def test_in_part(self) -> None:
        """A list that was cut off is none to keep."""
        cut = listing("a", trouble=Trouble("too-much", "more"))
        self.assertEqual(self.read(self.text((TOOLS, cut, False)))[1], [])

    def test_mark(self) -> None:
        """Whatever is said of how a server is reached makes another mark."""
        marks = {mark_of(parts) for parts in (["a"], ["a", "b"], [["a"], "b"], [("a", "b")], [])}
        self.assertEqual(len(marks), 5)
        self.assertEqual(mark_of([{"b": 1, "a": 2}]), mark_of([{"a": 2, "b": 1}]))


class DiskTests(SynchronousTestCase):
    """Files that nobody else could have written."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp()) / "deep" / "s.json"

    def test_save(self) -> None:
        """It is there whole, for us alone, and no draft with it."""
        for text in (b"one", b"two"):
            save(self.path, text)
            self.assertEqual(load(self.path), text)
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(self.path.parent.stat().st_mode), 0o700)
        self.assertEqual(os.listdir(self.path.parent), ["s.json"])

    def test_not_to_be_believed(self) -> None:
        """A link, a folder, a pipe, and what others can write, is not read."""
        save(self.path, b"one")
        others = self.path.with_name("others.json")
        save(others, b"x")
        others.chmod(0o620)
        link, folder, pipe = (self.path.with_name(name) for name in ("l", "f", "p"))
        link.symlink_to(self.path)
        folder.mkdir()
        os.mkfifo(pipe, 0o600)
        for path in (others, link, folder, pipe, self.path.with_name("nothing")):
            self.assertRaises(NotKept, load, path)

    def test_too_long(self) -> None:
        """A file without end is not read to its end."""
        self.patch(keptlists, "LARGEST", 10)
        save(self.path, b"x" * 11)
        self.assertRaises(NotKept, load, self.path)

    def test_cannot_be_saved(self) -> None:
        """Where nothing can be written nothing is left lying about."""
        self.path.parent.mkdir(parents=True)
        self.path.mkdir()
        self.assertRaises(OSError, save, self.path, b"x")
        self.assertEqual(os.listdir(self.path.parent), ["s.json"])


class KeptListsTests(SynchronousTestCase):
    """The service."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.clock = Clock()
        self.threads: list[Deferred[None]] = []
        self.at_once = True

    def in_thread(self, work: Any, *args: Any) -> Deferred[None]:
        work(*args)
        if self.at_once:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self.threads.append(waiting)
        return waiting

    def make(self, mark: str = "m", now: float = NOW) -> tuple[KeptLists, Inventory]:
        kept = KeptLists(self.directory, self.clock, lambda: now, self.in_thread, DAY)
        inventory = Inventory(
            "s",
            ScriptedServer(),
            self.clock,
            {},
            leisure=True,
            told=lambda: kept.changed("s"),
        )
        kept.keep(inventory, mark)
        return kept, inventory

    def names(self, inventory: Inventory) -> list[str]:
        return [name for _, found, _ in inventory.to_keep() for name in found.entries]

    def learn(self, kept: KeptLists, inventory: Inventory, *names: str) -> None:
        inventory.restore([(TOOLS, listing(*names), False)], "")
        kept.changed("s")

    def on_disk(self) -> list[str]:
        text = load(self.directory / "s.json")
        found = read(text, "s", "m", NOW, DAY, BOUNDS)
        return [name for _, kept, _ in lists_in(found) for name in kept.entries]

    def test_next_life(self) -> None:
        """What one daemon has learnt the next one knows."""
        kept, inventory = self.make()
        kept.startService()
        self.learn(kept, inventory, "a", "b")
        self.clock.advance(2)
        kept.stopService()
        kept, inventory = self.make()
        self.assertEqual(self.names(inventory), [])
        kept.startService()
        self.assertEqual(self.names(inventory), ["a", "b"])

    def test_configured_differently(self) -> None:
        """But not what was another server."""
        kept, inventory = self.make()
        kept.startService()
        self.learn(kept, inventory, "a")
        kept.stopService()
        for mark, now in (("n", NOW), ("m", NOW + 2 * DAY)):
            kept, inventory = self.make(mark, now)
            kept.startService()
            self.assertEqual(self.names(inventory), [])

    def test_together(self) -> None:
        """Changes shortly after each other are one file; nothing is written for none."""
        kept, inventory = self.make()
        kept.startService()
        for name in "abc":
            self.learn(kept, inventory, name)
            self.clock.advance(0.5)
        self.assertFalse((self.directory / "s.json").exists())
        self.clock.advance(0.5)
        self.assertEqual(self.on_disk(), ["c"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_while_writing(self) -> None:
        """A change while a file is written waits for its turn."""
        self.at_once = False
        kept, inventory = self.make()
        kept.startService()
        self.learn(kept, inventory, "a")
        self.clock.advance(2)
        self.learn(kept, inventory, "b")
        self.clock.advance(9)
        self.assertEqual((len(self.threads), self.on_disk()), (1, ["a"]))
        self.threads[0].callback(None)
        self.clock.advance(2)
        self.assertEqual(self.on_disk(), ["b"])

    def test_stopped_while_writing(self) -> None:
        """A daemon that stops waits for the file, and writes what came after it."""
        self.at_once = False
        kept, inventory = self.make()
        kept.startService()
        self.learn(kept, inventory, "a")
        self.clock.advance(2)
        self.learn(kept, inventory, "b")
        stopped = kept.stopService()
        self.assertNoResult(stopped)
        self.threads[0].callback(None)
        self.successResultOf(stopped)
        self.assertEqual(self.on_disk(), ["b"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nowhere(self) -> None:
        """Where nothing can be kept the daemon goes on, and counts it."""
        self.directory.touch()
        kept, inventory = self.make()
        kept.startService()
        self.learn(kept, inventory, "a")
        self.clock.advance(2)
        self.assertEqual(kept.problems, 1)
        kept.stopService()
        self.assertEqual(self.names(inventory), ["a"])

    def test_broken_thread(self) -> None:
        """A thread that breaks is logged, and the next change is written."""
        kept, inventory = self.make()
        kept.startService()
        self.patch(self, "in_thread", None)
        kept._in_thread = lambda work, *args: 1 / 0  # type: ignore[assignment, return-value]
        self.learn(kept, inventory, "a")
        self.clock.advance(2)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.learn(kept, inventory, "b")
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        kept.stopService()
