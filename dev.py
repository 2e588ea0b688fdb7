#!/usr/bin/env python3
"""The way in: run mcptwist from a checkout, test it, build its pages. Needs only Python.

    python3 dev.py run [ARGS...]    start `mcptwist run ARGS...` in the foreground
    python3 dev.py test [ARGS...]   lint, types, docs and all tests; ARGS go to trial
    python3 dev.py lint             ruff and mypy
    python3 dev.py docs             build docs/_build/html, warnings are errors
    python3 dev.py bench [ARGS...]  the benchmarks; ARGS go to benchmarks/run.py
    python3 dev.py clean            remove everything these commands have made

The first call makes a virtual environment in .venv and installs into it with pip (which
heeds its PIP_* settings and configuration files); later calls install only what changed.

`test` ends with the line `N passed, N failed` (and `, N skipped` when something was). A
lint, type or docs check that fails counts among the failed. When ARGS name tests, as in
`test tests.test_config`, those alone are run, without the other checks.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENV = HERE / ".venv"
PYTHON = VENV / "bin" / "python"
OLDEST = (3, 11)
MADE_HERE = (
    ".venv",
    ".interop",
    ".hypothesis",
    ".mypy_cache",
    ".ruff_cache",
    "_trial_temp*",
    "build",
    "dist",
    "*.egg-info",
    "docs/_build",
    "twisted/plugins/dropin.cache",
)


class Trouble(Exception):
    """Something the person at the keyboard has to put right; the text says what and how."""


def say(text: str) -> None:
    # On stderr, as the daemon's receipt and the tests' closing line own stdout.
    print(text, file=sys.stderr, flush=True)


# -- the machine ---------------------------------------------------------------------


def dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)


def check_machine() -> None:
    """Refuse early, and by name, what would otherwise fail late and obscurely."""
    if os.name != "posix":
        raise Trouble("mcptwist runs on POSIX systems (Linux, macOS, BSD, WSL), not on this one.")
    if sys.version_info < OLDEST:
        raise Trouble(
            f"mcptwist needs Python {dotted(OLDEST)} or newer; "
            f"{sys.executable} is {dotted(sys.version_info[:3])}.\n{advise_python()}"
        )


def advise_python() -> str:
    for name in ("python3.14", "python3.13", "python3.12", "python3.11"):
        if shutil.which(name):
            return f"This machine has {name}: call `{name} dev.py ...` instead."
    return "Install one (your system's packages, python.org, or `uv python install 3.13`)."


# -- the virtual environment ---------------------------------------------------------


def stamp_for(extra: str) -> Path:
    return VENV / f".installed-{extra or 'base'}"


def wanted() -> str:
    """What the environment depends on, as text: when it differs, pip has work to do."""
    declared = (HERE / "setup.py").read_bytes() + (HERE / "pyproject.toml").read_bytes()
    return json.dumps(
        {
            "python": sys.version,
            "checkout": str(HERE),
            "declared": hashlib.sha256(declared).hexdigest(),
        }
    )


def is_stamped(extra: str) -> bool:
    try:
        return stamp_for(extra).read_text(encoding="utf-8") == wanted()
    except OSError:
        return False


def is_usable() -> bool:
    """Whether .venv runs, has pip, and is of the Python that called us."""
    probe = "import sys, pip; print(sys.version)"
    try:
        answer = subprocess.run([str(PYTHON), "-c", probe], capture_output=True, text=True)
    except OSError:
        return False
    return answer.returncode == 0 and answer.stdout.strip() == sys.version.strip()


def make_environment() -> None:
    for module in ("venv", "ensurepip"):
        if importlib.util.find_spec(module) is None:
            raise Trouble(
                f"This Python has no `{module}` module, which making .venv takes.\n"
                f"Debian and Ubuntu keep it in python{dotted(sys.version_info[:2])}-venv; or make"
                " it with `uv venv --seed .venv`, then call this again."
            )
    say(f"Making .venv with Python {dotted(sys.version_info[:3])}")
    made = subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)])
    if made.returncode != 0:
        raise Trouble(f"Python could not make {VENV}; its own words are above.")


def install(extra: str) -> None:
    target = f"{HERE}[{extra}]" if extra else str(HERE)
    say(f"Installing mcptwist{f'[{extra}]' if extra else ''} (a minute or so, the first time)")
    command = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "install", "-qq"]
    # A user's `pip install --user` habit is refused inside a virtual environment.
    environ = {**os.environ, "PIP_USER": "0"}
    done = subprocess.run([*command, "--editable", target], env=environ, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise Trouble(
            "pip could not install what mcptwist needs; its own words are above.\n"
            "Without a network, or behind a mirror or proxy, tell pip where to look: PIP_INDEX_URL,"
            " PIP_FIND_LINKS, PIP_PROXY or PIP_CERT, then call this again."
        )
    stamp_for(extra).write_text(wanted(), encoding="utf-8")


def prepare(extra: str = "") -> None:
    """Bring .venv up to date; at once when it is. The `dev` extra includes the base."""
    import fcntl

    # Two calls at once would install over each other; the lock goes with the file.
    with open(__file__, "rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Waiting for another dev.py that is installing into .venv")
            fcntl.flock(lock, fcntl.LOCK_EX)
        if is_stamped("dev") or is_stamped(extra):
            return
        if not is_usable():
            make_environment()
        install(extra)


# -- the checks ----------------------------------------------------------------------


def module(name: str, *arguments: str) -> list[str]:
    return [str(PYTHON), "-m", name, *arguments]


LINT = {
    "ruff check": module("ruff", "check", "."),
    "ruff format": module("ruff", "format", "--check", "."),
    "mypy": module("mypy"),
}
SPHINX = ("-W", "--keep-going", "--quiet", "--no-color", "-b", "html", "docs", "docs/_build/html")
DOCS = {"docs": module("sphinx", *SPHINX)}


def interop() -> dict[str, list[str]]:
    """What the interop tests need beyond Python packages: other SDKs, the conformance suite."""
    if not (HERE / "tests" / "interop" / "install.py").exists():
        return {}
    return {"interop install": module("tests.interop.install")}


def browser() -> dict[str, list[str]]:
    """What the tests with a real browser need: Chromium, where Debian has it for us."""
    if not (HERE / "tests" / "live" / "browser.py").exists():
        return {}
    return {"browser install": module("tests.live.browser")}


def terminal() -> dict[str, list[str]]:
    """What the tests with a real terminal need: tmux, where Debian has it for us."""
    if not (HERE / "tests" / "live" / "terminal.py").exists():
        return {}
    return {"terminal install": module("tests.live.terminal")}


def failing(checks: dict[str, list[str]]) -> list[str]:
    """Run every check, in order, and return the names of those that failed."""
    failed = []
    for name, command in checks.items():
        say(f"== {name}")
        if subprocess.run(command, cwd=HERE, stdin=subprocess.DEVNULL).returncode != 0:
            failed.append(name)
    return failed


# -- the tests -----------------------------------------------------------------------


def names_tests(arguments: list[str]) -> bool:
    return any(word.startswith("tests") or word.endswith(".py") for word in arguments)


def run_trial(arguments: list[str]) -> tuple[int, str]:
    """Run trial, showing what it says as it says it; return its exit code and last words."""
    say("== trial")
    command = module("twisted.trial", *arguments)
    with subprocess.Popen(
        command, cwd=HERE, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    ) as trial:
        assert trial.stdout is not None
        last = b""
        while chunk := os.read(trial.stdout.fileno(), 65536):
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
            last = (last + chunk)[-4096:]
    return trial.returncode, last.decode("utf-8", "replace")


# Tokens, codes and tickets of ours, a JWS with its signature, private keys as JWK and as PEM.
SECRET = re.compile(
    rb"mcp_[a-z]{2}_[A-Za-z0-9_-]{20}|mcp\.ticket\.[A-Za-z0-9_-]{43}"
    rb"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"
    rb'|"d" ?: ?"[A-Za-z0-9_-]{43}|BEGIN [A-Z ]*PRIVATE KEY'
)


def leaks(log: Path) -> list[str]:
    """The lines of what was logged during all tests that hold a secret, by their numbers."""
    try:
        with open(log, "rb") as lines:
            return [str(n) for n, line in enumerate(lines, 1) if SECRET.search(line)]
    except OSError:
        return []


def tally(code: int, last_words: str) -> dict[str, int]:
    """Read trial's summary, `PASSED (skips=1, successes=8)`, as passed, failed and skipped.

    A todo that fails did not pass and counts as skipped; one that passes is a surprise and
    counts as failed. No summary, no test at all, or an exit code that contradicts it, is a
    failure too.
    """
    summaries = re.findall(r"^(?:PASSED|FAILED)(?: \((.*)\))?\s*$", last_words, re.MULTILINE)
    counted = re.findall(r"(\w+)=(\d+)", summaries[-1]) if summaries else []
    of = {word: int(number) for word, number in counted}
    passed = of.get("successes", 0)
    failed = of.get("failures", 0) + of.get("errors", 0) + of.get("unexpectedSuccesses", 0)
    skipped = of.get("skips", 0) + of.get("expectedFailures", 0)
    if not failed and (code != 0 or passed + skipped == 0):
        say(f"trial ended with exit code {code} and no failure of its own to show for it")
        failed = 1
    return {"passed": passed, "failed": failed, "skipped": skipped}


def closing_line(counts: dict[str, int]) -> str:
    line = f"{counts['passed']} passed, {counts['failed']} failed"
    return f"{line}, {counts['skipped']} skipped" if counts["skipped"] else line


# -- the commands --------------------------------------------------------------------


def run(arguments: list[str]) -> int:
    prepare()
    # Becoming the daemon, rather than its parent, leaves Ctrl-C, signals, the terminal and
    # the exit code to the one they are meant for.
    os.execv(VENV / "bin" / "mcptwist", ["mcptwist", "run", *arguments])


def test(arguments: list[str]) -> int:
    prepare("dev")
    chosen = names_tests(arguments)
    failed = [] if chosen else failing({**interop(), **browser(), **terminal(), **LINT, **DOCS})
    counts = tally(*run_trial(arguments if chosen else [*arguments, "tests"]))
    if found := leaks(HERE / "_trial_temp" / "test.log"):
        say(f"There are secrets in _trial_temp/test.log, line {', '.join(found[:20])}")
        failed.append("secrets in the log")
    counts["failed"] += len(failed)
    if failed:
        print(f"Failed beside the tests: {', '.join(failed)}", flush=True)
    print(closing_line(counts), flush=True)
    return 1 if counts["failed"] else 0


def lint(arguments: list[str]) -> int:
    refuse(arguments)
    prepare("dev")
    return 1 if failing(LINT) else 0


def docs(arguments: list[str]) -> int:
    refuse(arguments)
    prepare("dev")
    if failing(DOCS):
        return 1
    print(HERE / "docs" / "_build" / "html" / "index.html")
    return 0


def bench(arguments: list[str]) -> int:
    script = HERE / "benchmarks" / "run.py"
    if not script.exists():
        raise Trouble("This checkout has no benchmarks/run.py: there is nothing to run.")
    prepare("dev")
    os.execv(PYTHON, [str(PYTHON), str(script), *arguments])


def clean(arguments: list[str]) -> int:
    refuse(arguments)
    ours = [path for pattern in MADE_HERE for path in HERE.glob(pattern)]
    caches = [path for path in HERE.rglob("__pycache__") if VENV not in path.parents]
    for path in [*caches, *ours]:
        say(f"removing {path.relative_to(HERE)}")
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    return 0


def refuse(arguments: list[str]) -> None:
    if arguments:
        raise Trouble(f"This command takes no arguments; {arguments[0]!r} is one.")


COMMANDS = {"run": run, "test": test, "lint": lint, "docs": docs, "bench": bench, "clean": clean}


def main(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(__doc__)
        return 0 if argv else 2
    try:
        check_machine()
        if argv[0] not in COMMANDS:
            raise Trouble(f"No command {argv[0]!r}; there are: {', '.join(COMMANDS)}.")
        return COMMANDS[argv[0]](argv[1:])
    except Trouble as trouble:
        say(f"dev.py: {trouble}")
        return 2
    except KeyboardInterrupt:
        say("\nStopped.")
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
