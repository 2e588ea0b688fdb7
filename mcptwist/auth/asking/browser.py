"""Showing a page to a person: in a browser where there is one, and as a line to be copied.

The browser is the one that Python's ``webbrowser`` finds, which heeds ``$BROWSER``. It is started
by a process of its own, with nothing of ours open: some browsers are only back when they end, and
whatever they print is no message of an MCP server.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.protocol import ProcessProtocol

from mcptwist.auth.asking.discovery import is_page
from mcptwist.errors import SignInFailed

_OPEN = "import os, sys, webbrowser; os.setsid(); webbrowser.open(sys.argv[1])"
_DISPLAYS = ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY", "TERMUX_VERSION")
_WITH_WINDOWS = ("darwin", "win32", "cygwin")


class Browser:
    """Shows pages.

    :param tell: says a line to the person.
    :param has_windows: whether there is a browser to be started, as far as can be seen.
    """

    def __init__(self, reactor: Any, tell: Callable[[str], None], has_windows: bool) -> None:
        self._reactor = reactor
        self._tell = tell
        self._has_windows = has_windows

    def show(self, url: str, who: str) -> None:
        """Show where to log in.

        :param who: the authorization server, for the person.
        :raises SignInFailed: it is no page that a browser should be sent to.
        """
        if not is_page(url):
            raise SignInFailed(f"{who} names a page to log in at that is none")
        self._tell(f"{who} wants you to log in. If no browser opens, open this page:\n{url}")
        if self._has_windows:
            self._open(url)

    def _open(self, url: str) -> None:
        """Start the browser; it outlives us, and hears neither Ctrl-C nor that we are gone."""
        # -I: no module of the directory that we happen to be in is taken for webbrowser.
        argv = [sys.executable, "-I", "-c", _OPEN, url]
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            descriptors = {0: nothing, 1: nothing, 2: nothing}
            self._reactor.spawnProcess(
                ProcessProtocol(), argv[0], argv, env=os.environ, childFDs=descriptors
            )
        finally:
            os.close(nothing)


def has_windows(environ: Mapping[str, str], platform: str = sys.platform) -> bool:
    """Whether a browser can be seen to be there."""
    return platform in _WITH_WINDOWS or any(environ.get(name) for name in _DISPLAYS)


def has_person(environ: Mapping[str, str], platform: str = sys.platform) -> bool:
    """Whether somebody can be asked: there is a browser, or a terminal to copy a line from."""
    return has_windows(environ, platform) or bool(sys.stderr and sys.stderr.isatty())
