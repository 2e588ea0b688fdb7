"""What can be said about a server that is a child process. Pure.

No message, and no repr, shows a value of an environment.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any, ClassVar

from mcptwist.configuration.anyserver import Pairs, Server, pairs_of
from mcptwist.configuration.paths import path
from mcptwist.configuration.redaction import secret_values, secrets_in_arguments
from mcptwist.configuration.settings import (
    Key,
    Place,
    expanded,
    full_text,
    is_number,
    many,
    seconds,
    text,
)

#: What a child gets of the daemon's environment, beside its own ``env``.
INHERITED = (
    "HOME", "LANG", "LC_*", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER",
)  # fmt: skip


def _command(place: Place, value: Any) -> str | None:
    if isinstance(value, list):
        place.mistake("is a list", "the program alone; its arguments belong into args")
        return None
    found = expanded(place, value)
    if found is None:
        return None
    if " " in found.strip() and "/" not in found and "\\" not in found:
        place.note("has a space in it; arguments belong into args, one by one")
    return full_text(place, found)


def _args(place: Place, value: Any) -> tuple[str, ...] | None:
    if isinstance(value, str):
        place.mistake("is a string", 'a list with each argument by itself, as ["--port", "80"]')
        return None
    return many(expanded)(place, value)


_VARIABLE_NAME = re.compile(r"[^=\0]+\Z")


def _env(place: Place, value: Any) -> Pairs | None:
    return pairs_of(place, value, _env_name, _env_value)


def _env_name(place: Place, name: str) -> None:
    if text(place, name) is not None and not _VARIABLE_NAME.match(name):
        place.mistake("is no name for a variable", "a name without =")


def _env_value(place: Place, value: Any) -> str | None:
    if isinstance(value, bool):
        place.mistake("is true or false", 'a string, as "true"')
        return None
    return expanded(place, str(value) if is_number(value) else value)


class StdioServer(Server, frozen=True, kw_only=True):
    """A server that is a child process of the daemon."""

    KIND: ClassVar[str] = "stdio"
    MARK: ClassVar[str] = "command"

    command: Annotated[str, Key(_command, "the program; found on PATH unless it has a slash")]
    args: Annotated[tuple[str, ...], Key(_args, "its arguments")] = ()
    env: Annotated[Pairs, Key(_env, "variables set for it")] = ()
    env_inherit: Annotated[
        tuple[str, ...],
        Key(many(full_text), "variables it gets from the daemon; * stands for any characters"),
    ] = INHERITED
    cwd: Annotated[str | None, Key(path, "its working directory, from the file's directory on")] = (
        None
    )
    stop_grace: Annotated[
        float,
        Key(seconds, "wait after closing its stdin before TERM, and again before KILL", "seconds"),
    ] = 5.0

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """The child's whole environment.

        :param environ: the daemon's own.
        """
        inherited = {
            name: value
            for name, value in environ.items()
            if any(fnmatchcase(name, pattern) for pattern in self.env_inherit)
        }
        return inherited | dict(self.env)

    def secrets(self) -> frozenset[str]:
        return self.confidential | secret_values(self.env) | secrets_in_arguments(self.args)

    def _target(self) -> str:
        return " ".join((self.command, *self.args))
