"""What a server may be called: its name is a segment of URLs and the prefix of its tools.

A tool of all servers in one is ``NAME__tool``, so a name has no ``__`` in it and no ``_`` at its
end: the first ``__`` is where the tool's own name begins. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from mcptwist.configuration.settings import Place

_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,64}\Z")


def check_name(place: Place, name: str) -> None:
    """Report a name that a server may not have, with one like it that it may."""
    if _NAME.match(name) and "__" not in name and name[-1] != "_" and name.strip("."):
        return
    better = re.sub(r"_{2,}", "_", re.sub(r"[^A-Za-z0-9_.\-]+", "-", name[:64])).strip("-_.")
    place.mistake(
        "is no name for a server, for it becomes part of a URL and of tool names",
        "letters, digits, - . and _, at most 64 of them, no two _ together and none at the end"
        + (f', such as "{better}"' if better and better != name else ""),
    )


_LAUNCHERS = frozenset({
    "bun", "bunx", "deno", "docker", "node", "npm", "npx", "pipx", "pnpm", "podman", "py",
    "pypy", "pypy3", "python", "python3", "sh", "bash", "sudo", "env", "tsx", "uv", "uvx",
    "yarn",
})  # fmt: skip
_SUBCOMMANDS = frozenset({"dlx", "exec", "run", "tool", "x"})
_OPTIONS_WITH_VALUE = frozenset({
    "--from", "--with", "--python", "-p", "--package", "--index-url", "-e", "--env",
    "--env-file", "-v", "--volume", "--mount", "--network", "--name", "-w", "--workdir",
    "--directory", "--project", "--entrypoint", "-u", "--user",
})  # fmt: skip
_GENERIC = frozenset({
    "__main__", "app", "bin", "build", "cli", "dist", "index", "lib", "main", "mcp", "run",
    "server", "src", "start",
})  # fmt: skip


def name_of_command(argv: Sequence[str]) -> str:
    """A name for the server which this command starts: that of the program, or of what a launcher
    such as ``npx`` or ``docker run`` is to start, without what all such names have in common.
    ``uvx mcp-server-time`` is "time"; "server" when nothing is left.
    """
    words = list(argv)
    while words and _stem(words[0]) in _LAUNCHERS:
        words = _after_options(words[1:])
    parts = PurePosixPath(words[0].replace("\\", "/")).parts if words else ()
    for part in reversed(parts):
        name = _plain_name(part)
        if name and name.lower() not in _GENERIC:
            return name
    return "server"


def _stem(word: str) -> str:
    return PurePosixPath(word.replace("\\", "/")).name.removesuffix(".exe").rstrip("0123456789.")


def _after_options(words: Sequence[str]) -> list[str]:
    rest = list(words)
    while rest and (rest[0].startswith("-") or rest[0] in _SUBCOMMANDS):
        word = rest.pop(0)
        if word in {"-m", "--"}:
            break
        if word in _OPTIONS_WITH_VALUE and rest:
            rest.pop(0)
    return rest


def _plain_name(part: str) -> str:
    name = re.split(r"(?<=.)[@:=<>~\[]", part, maxsplit=1)[0]
    name = re.sub(r"\.(?:py|js|mjs|cjs|ts|sh|exe|jar)\Z", "", name)
    name = re.sub(r"^(?:mcp[-_])?server[-_]|^mcp[-_]", "", name)
    name = re.sub(r"[-_](?:mcp[-_]?server|mcp|server)\Z", "", name)
    return re.sub(r"_{2,}", "_", re.sub(r"[^A-Za-z0-9_.\-]+", "-", name))[:64].strip("-_.")
