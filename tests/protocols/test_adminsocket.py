"""``mcptwist.protocols.adminsocket``: where a daemon is administered."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from twisted.trial.unittest import SynchronousTestCase, TestCase

from mcptwist.protocols.adminsocket import AdminSocket, directory, existing, path_for, prepare
from mcptwist.protocols.bytestream import LineFactory

RUN = {"XDG_RUNTIME_DIR": "/run/user/1"}
LISTEN = ("unix:/x", "tcp:0", "https:8443", "tcp:8808:interface=127.0.0.1")


class PathTests(SynchronousTestCase):
    """Where the socket is."""

    def test_directory(self) -> None:
        """The runtime directory, or the state directory, or none."""
        self.assertEqual(directory(RUN), Path("/run/user/1/mcptwist"))
        self.assertEqual(directory({"HOME": "/h"}), Path("/h/.local/state/mcptwist/run"))
        self.assertEqual(directory({"XDG_RUNTIME_DIR": "relative"}), None)
        self.assertIsNone(directory({}))

    def test_name(self) -> None:
        """It is named by the first port that is sure, or else by the process."""
        self.assertEqual(path_for("auto", LISTEN, RUN, 7), Path("/run/user/1/mcptwist/8443.sock"))
        self.assertEqual(
            path_for("auto", ("tcp:0",), RUN, 7), Path("/run/user/1/mcptwist/pid-7.sock")
        )
        self.assertIsNone(path_for("auto", LISTEN, {}, 7))

    def test_configured(self) -> None:
        """It can be somewhere else, or nowhere."""
        self.assertEqual(path_for("/a/b.sock", LISTEN, RUN, 7), Path("/a/b.sock"))
        self.assertIsNone(path_for("off", LISTEN, RUN, 7))


class PrepareTests(SynchronousTestCase):
    """What must be so before it is made."""

    def setUp(self) -> None:
        # Paths of sockets must be short, and trial's own are long.
        self.place = Path(os.path.relpath(self.mktemp()))
        self.path = self.place / "mcptwist" / "1.sock"

    def test_private(self) -> None:
        """Only its user can enter."""
        prepare(self.path)
        self.assertEqual(self.path.parent.stat().st_mode & 0o777, 0o700)

    def test_others_may_write(self) -> None:
        """A directory that others may write to is not used."""
        self.path.parent.mkdir(parents=True)
        self.path.parent.chmod(0o777)
        self.assertIn("others may write", str(self.assertRaises(OSError, prepare, self.path)))

    def test_left_behind(self) -> None:
        """What a daemon left behind that is gone is removed."""
        prepare(self.path)
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(self.path))
        prepare(self.path)
        self.assertFalse(self.path.exists())

    def test_alive(self) -> None:
        """What a living daemon listens on is left alone."""
        prepare(self.path)
        with socket.socket(socket.AF_UNIX) as alive:
            alive.bind(str(self.path))
            alive.listen()
            self.assertIn("another daemon", str(self.assertRaises(OSError, prepare, self.path)))
        self.assertTrue(self.path.exists())

    def test_no_socket(self) -> None:
        """A file that is no socket is never removed."""
        prepare(self.path)
        self.path.write_text("precious")
        self.assertRaises(OSError, prepare, self.path)
        self.assertEqual(self.path.read_text(), "precious")

    def test_too_long(self) -> None:
        """A path that no socket can have is said to be too long."""
        problem = self.assertRaises(OSError, prepare, Path("/" + "x" * 200) / "a.sock")
        self.assertIn("too long", str(problem))


class AdminSocketTests(TestCase):
    """A real socket."""

    def setUp(self) -> None:
        self.place = Path(os.path.relpath(self.mktemp()))
        self.path = self.place / "mcptwist" / "1.sock"
        self.ended = 0

    def end(self) -> Deferred[None]:
        self.ended += 1
        return succeed(None)

    def make(self, path: Path) -> AdminSocket:
        running: Any = reactor
        factory = LineFactory(lambda: None, running)  # type: ignore[arg-type, return-value]
        return AdminSocket(path, factory, running, self.end)

    @inlineCallbacks
    def test_life(self) -> Any:
        """It is for its user alone, is found, and is gone when the daemon is."""
        admin = self.make(self.path)
        admin.startService()
        assert admin.listener is not None
        yield admin.listener.when_bound()
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)
        found = existing({"XDG_RUNTIME_DIR": str(self.place.resolve())})
        self.assertEqual(found, [self.path.resolve()])
        yield admin.end()
        self.assertFalse(self.path.exists())
        self.assertEqual(self.ended, 1)

    @inlineCallbacks
    def test_cannot(self) -> Any:
        """That it cannot be made is told, and stops nobody."""
        self.path.parent.mkdir(parents=True)
        self.path.write_text("in the way")
        admin = self.make(self.path)
        admin.startService()
        self.assertIsNone(admin.listener)
        yield admin.end()
        self.assertEqual(self.ended, 1)
