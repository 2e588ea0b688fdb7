"""The server that a configuration names, imported."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorTime

from mcptwist.errors import ServerStartFailed
from mcptwist.server import Server


def load_server(where: str, clock: IReactorTime) -> Server:
    """The server that a configuration names.

    :param where: ``package.module:attribute``; the attribute is a :class:`Server`,
        or a function that returns one. A function with a parameter is given the
        clock, which in a daemon is the reactor.
    :raises ServerStartFailed: saying what is wrong with it.
    """
    module_name, colon, attribute = where.partition(":")
    if not colon or not module_name or not attribute:
        raise ServerStartFailed(
            f"{where!r} names no server: it must be package.module:attribute, "
            "such as myapp.mcp:server"
        )
    found = _import(where, module_name)
    for name in attribute.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise ServerStartFailed(f"{where}: {module_name} has no {attribute}") from None
    if not isinstance(found, Server) and callable(found):
        found = _call(where, found, clock)
    if not isinstance(found, Server):
        raise ServerStartFailed(
            f"{where} is a {type(found).__name__}, not a mcptwist.server.Server"
        )
    return found


def _import(where: str, module_name: str) -> Any:
    try:
        return importlib.import_module(module_name)
    except Exception as problem:
        # Importing runs the user's code, which may raise anything.
        raise ServerStartFailed(
            f"{where}: importing {module_name} failed with {type(problem).__name__}: {problem}"
        ) from problem


def _call(where: str, factory: Callable[..., Any], clock: IReactorTime) -> Any:
    try:
        return factory(clock) if inspect.signature(factory).parameters else factory()
    except Exception as problem:
        raise ServerStartFailed(
            f"{where} failed with {type(problem).__name__}: {problem}"
        ) from problem
