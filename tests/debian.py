"""Programs that tests need and that Debian has: where they are, and how they get there.

They are installed on Debian and as root. Where there is none, the tests that need it are skipped
and say so; where ``CI`` is ``true`` that is a failure instead, which names the package.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from unittest import SkipTest

#: It waits for others who are installing, but not for a network that is not there.
APT = (
    "apt-get",
    "-qq",
    "-oDpkg::Use-Pty=0",
    "-oDPkg::Lock::Timeout=120",
    "-oAcquire::http::Timeout=20",
)


def in_ci() -> bool:
    """Whether nothing that can be tested may be skipped."""
    return os.environ.get("CI", "").lower() == "true"


def is_possible() -> bool:
    """Whether programs can be installed here."""
    try:
        is_debian = platform.freedesktop_os_release()["ID"] == "debian"
    except OSError:
        is_debian = False
    return is_debian and os.geteuid() == 0


@dataclass(frozen=True)
class DebianProgram:
    """A program that comes in one of Debian's packages.

    :ivar package: the package.
    :ivar names: of the program, the first that there is being taken.
    :ivar installer: the module to run with ``python -m`` that installs it.
    """

    package: str
    names: tuple[str, ...]
    installer: str

    def find(self) -> str | None:
        """The program's path, if there is one."""
        return next((path for name in self.names if (path := shutil.which(name))), None)

    @property
    def path(self) -> str:
        """The program's path, where there is no :meth:`obstacle`."""
        path = self.find()
        if path is None:
            raise AssertionError(f"{self.missing()}, and in CI nothing is skipped")
        return path

    def needed(self) -> str:
        """The program's path, for a test that cannot do without: it ends here if there is none."""
        reason = self.obstacle()
        if reason is not None:
            raise SkipTest(reason)
        return self.path

    def obstacle(self) -> str | None:
        """Why a test cannot use it, for a person to read; None when it can, or should."""
        return None if self.find() or in_ci() else self.missing()

    def missing(self) -> str:
        """That it is not there, and how it gets there, for a person to read."""
        return (
            f"{self.names[0]} is not on PATH: Debian's package {self.package} has it,"
            f" and as root `python -m {self.installer}` installs that"
        )

    def install(self) -> bool:
        """Install it if there is none and we may; say whether there is one then."""
        if self.find() is None and is_possible():
            environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            for words in ("update",), ("install", "--yes", "--no-install-recommends", self.package):
                command = [*APT, *words]
                subprocess.run(command, env=environ, stdin=subprocess.DEVNULL, stdout=sys.stderr)
        return self.find() is not None

    def bring_up(self) -> bool:
        """Install it if need be, and tell if that fails; whether the tests may go ahead."""
        found = self.install()
        if not found:
            sys.stderr.write(f"{self.missing()}; without it, tests are skipped, or fail in CI.\n")
        return found or not in_ci()


INSTALLER = "tests.interop.install"

BASH = DebianProgram("bash", ("bash",), INSTALLER)
CURL = DebianProgram("curl", ("curl",), INSTALLER)
GIT = DebianProgram("git", ("git",), INSTALLER)
H2LOAD = DebianProgram("nghttp2-client", ("h2load",), INSTALLER)
OPENSSL = DebianProgram("openssl", ("openssl",), INSTALLER)
SETPRIV = DebianProgram("util-linux", ("setpriv",), INSTALLER)
SSH_ADD = DebianProgram("openssh-client", ("ssh-add",), INSTALLER)
SSH_AGENT = DebianProgram("openssh-client", ("ssh-agent",), INSTALLER)
SSH_KEYGEN = DebianProgram("openssh-client", ("ssh-keygen",), INSTALLER)

#: What :data:`INSTALLER` installs; tmux and Chromium are at home in :mod:`tests.live`.
PROGRAMS = (BASH, CURL, GIT, H2LOAD, OPENSSL, SETPRIV, SSH_ADD, SSH_AGENT, SSH_KEYGEN)
