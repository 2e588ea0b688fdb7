"""``mcptwist hostkey``: the key that a daemon on this machine shows, and the next one."""

from __future__ import annotations

import os
import time
from pathlib import Path

from twisted.python import usage

from mcptwist.auth.authorizedkeys import LineProblem, duration
from mcptwist.auth.commands.keycommand import FAILED, OK, KeyCommand, Nouns
from mcptwist.auth.keyformats import SMALLEST_HOST_RSA
from mcptwist.auth.keys import KeyProblem, PrivateKey
from mcptwist.protocols.hostcertificate import state_directory
from mcptwist.protocols.nexthostkey import NextHostKey
from mcptwist.protocols.tls import CertificateFiles, CertificateProblem


class _HostKeyCommand(KeyCommand):
    optParameters = [
        ["directory", "d", None, "Where the daemon keeps its key: its tls.directory."],
    ]

    @property
    def place(self) -> Path:
        """Where the daemon keeps its key."""
        return Path(self["directory"]) if self["directory"] else state_directory(os.environ)

    def do(self) -> int:
        """What the command does; returns its exit status."""
        try:
            return self.act()
        except CertificateProblem as problem:
            raise KeyProblem(str(problem)) from None

    def act(self) -> int:
        """The same; a problem with the files may be raised."""
        raise NotImplementedError


class ShowOptions(_HostKeyCommand):
    """Print the fingerprints of the daemon's key, and of the next one."""

    synopsis = "mcptwist hostkey show [-d DIRECTORY]"

    def act(self) -> int:
        """Print them."""
        place = self.place
        _, key = CertificateFiles(str(place / "host_cert.pem"), str(place / "host_key.pem")).read()
        print(_fingerprint(key))
        following = NextHostKey(place).look()
        if following is not None:
            print(f"{_fingerprint(following.key)} from {_moment(following.begins)}")
        return OK


class RotateOptions(_HostKeyCommand):
    """Make the next key, which the daemon announces and shows when its time has come."""

    synopsis = "mcptwist hostkey rotate [--in 30d] [-d DIRECTORY]"
    optParameters = [
        ["in", None, "30d", "How long until it follows: clients that come by then learn it."],
    ]

    def postOptions(self) -> None:
        """Called when all options are there."""
        try:
            self["seconds"] = duration(self["in"])
        except LineProblem as problem:
            raise usage.UsageError(f"--in {problem}") from None

    def act(self) -> int:
        """Make it."""
        following = NextHostKey(self.place).prepare(time.time() + self["seconds"])
        print(f"{_fingerprint(following.key)} from {_moment(following.begins)}")
        return OK


class CancelOptions(_HostKeyCommand):
    """Take the next key away before its time."""

    synopsis = "mcptwist hostkey cancel [-d DIRECTORY]"

    def act(self) -> int:
        """Remove it."""
        files = [self.place / f"host_{each}.next.pem" for each in ("cert", "key")]
        there = [path for path in files if path.exists()]
        for path in there:
            path.unlink()
        print("the key stays as it is" if there else "there is no next key")
        return OK if there else FAILED


class HostKeyOptions(Nouns):
    """The key that a daemon on this machine shows."""

    synopsis = "mcptwist hostkey COMMAND"
    subCommands = [
        ["show", None, ShowOptions, "Print its fingerprint, and that of the next one."],
        ["rotate", None, RotateOptions, "Make the next one."],
        ["cancel", None, CancelOptions, "Take the next one away."],
    ]


def _fingerprint(key: object) -> str:
    return PrivateKey(key, SMALLEST_HOST_RSA).public.fingerprint  # type: ignore[arg-type]


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
