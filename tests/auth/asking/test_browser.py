"""Showing a page to a person."""

from __future__ import annotations

import os
import sys
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.asking.browser import Browser, has_person, has_windows
from mcptwist.errors import SignInFailed

PAGE = "https://login.example.com/authorize?state=x&scope=a+b"


class BrowserTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.started: list[tuple[Any, ...]] = []
        self.said: list[str] = []

    def spawnProcess(self, protocol: Any, *words: Any, **more: Any) -> None:
        """Called by who starts a process."""
        self.devices = {os.fstat(each).st_rdev for each in more["childFDs"].values()}
        self.started.append((*words, more["childFDs"]))

    def show(self, url: str, windows: bool = True) -> None:
        Browser(self, self.said.append, windows).show(url, "https://login.example.com")

    def test_started(self) -> None:
        """One argument is the URL, no shell sees it, and nothing of ours is open there."""
        self.show(PAGE)
        ((program, argv, descriptors),) = self.started
        self.assertEqual((program, argv[1:3]), (sys.executable, ["-I", "-c"]))
        self.assertEqual(argv[4:], [PAGE])
        self.assertNotIn(PAGE, argv[3])
        self.assertEqual(set(descriptors), {0, 1, 2})
        self.assertEqual(self.devices, {os.stat(os.devnull).st_rdev})
        self.assertTrue(self.said[0].endswith(f"\n{PAGE}"))

    def test_no_browser(self) -> None:
        """The page can be copied."""
        self.show(PAGE, windows=False)
        self.assertEqual((self.started, len(self.said)), ([], 1))

    def test_no_page(self) -> None:
        """What is none is neither started nor shown (F3)."""
        for url in (
            "javascript:alert(1)",
            "file:///etc/passwd",
            "-oProxyCommand=x",
            "--new-window",
            "http://login.example.com/",
            "https://a@evil.example/",
            "https://login.example.com/\x1b[2J",
            "https://login.example.com/ x",
            "https://login.example.com/?x=\x1b[2J",
            "https://login.example.com/?x=\nhttps://evil.example/",
            "https://login.example.com/?x= --new-window",
            "https://login.example.com/?x=\u202e",
            "https://",
            "",
        ):
            self.assertRaises(SignInFailed, self.show, url)
        self.assertEqual((self.started, self.said), ([], []))

    def test_who_is_there(self) -> None:
        self.assertTrue(has_windows({"BROWSER": "lynx"}, "linux"))
        self.assertTrue(has_windows({"WAYLAND_DISPLAY": "wayland-0"}, "linux"))
        self.assertTrue(has_windows({}, "darwin"))
        self.assertFalse(has_windows({"DISPLAY": ""}, "linux"))
        self.assertTrue(has_person({"DISPLAY": ":0"}, "linux"))
        self.patch(sys, "stderr", None)
        self.assertFalse(has_person({}, "linux"))
