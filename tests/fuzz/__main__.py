"""``python -m tests.fuzz [--seconds N] [TARGET]…``: guess inputs, guided by what they reach.

Needs atheris (``pip install atheris``). Each target runs in a process of its own for
so many seconds; what it found worth keeping is put into ``.fuzz/TARGET``, and an input
that breaks it into ``.fuzz/crash-…``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from tests.fuzz.seeds import SEEDS
from tests.fuzz.targets import TARGETS

CORPUS = Path(".fuzz")


def main() -> int:
    """Fuzz the targets that are named, or all of them, one after another."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []], metavar="TARGET")
    parser.add_argument("--seconds", type=int, default=30, help="for each target (30)")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        return fuzz(options.targets[0], options.seconds)
    broken = [name for name in options.targets or TARGETS if not run(name, options.seconds)]
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
    atheris.instrument_all()
    limits = [f"-max_total_time={seconds}", "-max_len=4096", f"-artifact_prefix={CORPUS}/"]
    atheris.Setup([name, str(corpus), *limits, "-verbosity=0"], TARGETS[name])
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
