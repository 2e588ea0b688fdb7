"""``python -m tests.fuzz [--seconds N] [TARGET]…``: guess inputs, guided by what they reach.

Needs atheris (``pip install atheris``). Each target runs in a process of its own for
so many seconds; what it found worth keeping is put into ``.fuzz/TARGET``, and an input
that breaks it into ``.fuzz/crash-…``. Coverage is that of our own modules, and of those
that parse for us in Python.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

from tests.fuzz.seeds import SEEDS

CORPUS = Path(".fuzz")
#: Whose lines count as reached. To instrument everything would take minutes.
MEASURED = ["mcptwist", "tests.fuzz", "h2", "hpack", "hyperframe"]


def main() -> int:
    """Fuzz the targets that are named, or all of them, one after another."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("targets", nargs="*", choices=[*SEEDS, []], metavar="TARGET")
    parser.add_argument("--seconds", type=int, default=30, help="for each target (30)")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        return fuzz(options.targets[0], options.seconds)
    broken = [name for name in options.targets or SEEDS if not run(name, options.seconds)]
    print(f"broken: {', '.join(broken) or 'none'}")
    return 1 if broken else 0


def run(name: str, seconds: int) -> bool:
    """Fuzz one target in a process of its own; whether it held."""
    print(f"== {name}: {seconds} s", flush=True)
    command = [sys.executable, "-m", "tests.fuzz", "--alone", f"--seconds={seconds}", name]
    return subprocess.run(command, check=False).returncode == 0


def fuzz(name: str, seconds: int) -> int:
    """Fuzz one target in this process, which ends when it is done."""
    import atheris

    corpus = CORPUS / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS[name]):
        (corpus / f"seed-{number}").write_bytes(seed)
    # It tells of each module.
    with redirect_stderr(StringIO()), atheris.instrument_imports(include=MEASURED):
        from tests.fuzz.targets import TARGETS
    limits = [f"-max_total_time={seconds}", "-max_len=4096", f"-artifact_prefix={CORPUS}/"]
    quietly = ["-verbosity=0", "-print_final_stats=1"]
    atheris.Setup([name, str(corpus), *limits, *quietly], TARGETS[name])
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
