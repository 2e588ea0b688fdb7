"""``python -m tests.interop.install``: what the interop tests need, under ``.interop/``.

Five environments, each from files in ``pins/`` that name every version exactly:

- ``node``: Node 22, the official conformance suite, both TypeScript SDKs and the npm servers;
- ``programs``: Node 26, whose ``fetch`` speaks HTTP/2, and clients that people start, not import;
- ``python2``: the Python SDK 2.x and the servers written on it;
- ``python1``: the last Python SDK 1.x;
- ``autobahn``: the cases of Autobahn's test-suite for WebSockets.

And what Debian has, where we may install it: see :mod:`tests.debian`.

A second call does nothing unless the pins or the Python have changed: each environment carries a
stamp of what it was made from. Without npm on the machine ``node`` and ``programs`` are left out,
and the tests that need them are skipped; where ``CI`` is ``true`` that is a failure instead.

Only the standard library is used, and the package indexes are asked through pip and npm, which heed
their own settings.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.debian import PROGRAMS, in_ci
from tests.interop import autobahncases

CHECKOUT = Path(__file__).resolve().parents[2]
HOME = CHECKOUT / ".interop"
PINS = Path(__file__).with_name("pins")
CLIENTS = Path(__file__).with_name("clients")


class InstallError(Exception):
    """An environment could not be made; the text is what the installing program said."""


@dataclass(frozen=True)
class Environment:
    """One directory under ``.interop/``, made from some of the files in ``pins/``."""

    name: str
    pins: tuple[str, ...]
    make: Callable[[Environment], None]
    needs: str | None = None

    @property
    def home(self) -> Path:
        return HOME / self.name

    @property
    def stamp(self) -> Path:
        return self.home / "stamp"

    def wanted(self) -> str:
        """What the stamp says when the environment is up to date."""
        digest = hashlib.sha256(f"{sys.version}\n{self.home}\n".encode())
        for name in self.pins:
            digest.update((PINS / name).read_bytes())
        return digest.hexdigest()

    def is_installed(self) -> bool:
        return self.stamp.exists() and self.stamp.read_text() == self.wanted()

    def is_possible(self) -> bool:
        """Whether this machine has the program that installs it."""
        return self.needs is None or shutil.which(self.needs) is not None

    def install(self) -> None:
        """Make the environment anew; ``InstallError`` if that fails."""
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)
        self.make(self)
        self.stamp.write_text(self.wanted())


def run(*command: str | Path, cwd: Path = CHECKOUT) -> None:
    """Run *command* quietly; ``InstallError`` with the end of its output if it fails."""
    done = subprocess.run(
        command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode != 0:
        said = (done.stdout + done.stderr)[-4000:]
        raise InstallError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{said}")


def make_node(environment: Environment) -> None:
    for name in environment.pins:
        shutil.copy(PINS / name, environment.home)
    # Node looks for packages beside the script that imports them: see `rig.script`.
    (environment.home / CLIENTS.name).symlink_to(CLIENTS)
    # The `node` package fetches its binary in an install script; `allowScripts` in package.json
    # lets it, and no other package.
    run("npm", "ci", "--no-audit", "--no-fund", "--loglevel=error", cwd=environment.home)


def make_python(environment: Environment) -> None:
    run(sys.executable, "-m", "venv", environment.home)
    python = environment.home / "bin" / "python"
    pins = PINS / environment.pins[0]
    run(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", pins)


def make_autobahn(environment: Environment) -> None:
    original, pins = environment.home / "original", PINS / environment.pins[0]
    pip = (sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check")
    # What it depends on is for Python 2 as well, and its cases need none of it.
    run(*pip, "--no-deps", "--target", original, "-r", pins)
    autobahncases.rewrite(original, environment.home / "python3")


ENVIRONMENTS = {
    environment.name: environment
    for environment in (
        Environment("node", ("package.json", "package-lock.json"), make_node, needs="npm"),
        Environment(
            "programs",
            ("programs/package.json", "programs/package-lock.json"),
            make_node,
            needs="npm",
        ),
        Environment("python2", ("python2.txt",), make_python),
        Environment("python1", ("python1.txt",), make_python),
        Environment("autobahn", ("autobahn.txt",), make_autobahn),
    )
}


def obstacle(name: str) -> str | None:
    """Why the environment *name* cannot be used now, for a person to read; ``None`` if it can."""
    environment = ENVIRONMENTS[name]
    if environment.is_installed():
        return None
    if not environment.is_possible():
        return f"{environment.needs} is not on PATH: install Node.js (any version from 18 on)"
    return f".interop/{name} is missing or out of date: run `python -m tests.interop.install`"


def say(text: str) -> None:
    # One write for a whole line: several environments are made at once.
    sys.stderr.write(f"{text}\n")


def bring_up(environment: Environment) -> bool:
    """Install *environment* if it has to be; whether the interop tests may go ahead."""
    if environment.is_installed():
        return True
    if not environment.is_possible():
        say(f"interop: no {environment.needs} here, so the tests that need it will be skipped")
        return not in_ci()
    say(f"interop: installing .interop/{environment.name}")
    try:
        environment.install()
    except InstallError as error:
        say(f"interop: {error}")
        return False
    say(f"interop: .interop/{environment.name} is ready")
    return True


def main() -> int:
    with ThreadPoolExecutor() as pool:
        made = list(pool.map(bring_up, ENVIRONMENTS.values()))
    there = [program.bring_up() for program in PROGRAMS]
    return 0 if all([*made, *there]) else 1


if __name__ == "__main__":
    sys.exit(main())
