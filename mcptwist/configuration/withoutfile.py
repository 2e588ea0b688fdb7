"""Configurations that come of no file: the built-in one, and those of the command line."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from mcptwist.configuration.listening import endpoints, is_local, is_mutual
from mcptwist.configuration.serverconfig import PythonServer, StdioServer
from mcptwist.configuration.servernames import check_name, name_of_command
from mcptwist.configuration.settings import Ledger, Place
from mcptwist.configuration.whole import Config, Loaded

#: The server that is there when nothing was configured.
BUILTIN_NAME = "toolbox"
BUILTIN_SERVER = "mcptwist.serving.toolbox:toolbox"


def default_config() -> Config:
    """What is used when nothing was configured: the built-in server alone."""
    toolbox = PythonServer(name=BUILTIN_NAME, python=BUILTIN_SERVER)
    return Config(servers=(toolbox,), keyless=True)


def command_config(name: str | None, argv: Sequence[str], listen: Sequence[str] = ()) -> Loaded:
    """The configuration of ``mcptwist run -- COMMAND``: that server alone, with the caller's whole
    environment, as any command started from a shell.

    :param name: the server's name; None to take it from the command (see ``name_of_command``).
    :param argv: the command and its arguments.
    :param listen: endpoints, as for ``override_listen``.
    """
    ledger = Ledger({})
    chosen = name_of_command(argv) if name is None else name
    check_name(ledger.place("--name"), chosen)
    if not argv or not argv[0]:
        ledger.place("--").mistake("has no command after it", "the command of a stdio server")
    if ledger.mistakes:
        return Loaded("the command line", None, tuple(ledger.mistakes))
    server = StdioServer(name=chosen, command=argv[0], args=tuple(argv[1:]), env_inherit=("*",))
    return override_listen(
        Loaded("the command line", Config(servers=(server,), keyless=True)), listen
    )


def override_listen(loaded: Loaded, listen: Sequence[str]) -> Loaded:
    """The same, listening on the endpoints of the command line, if there are any."""
    if not listen or loaded.config is None:
        return _refuse_exposure(loaded, "listen")
    ledger = Ledger({})
    chosen = endpoints(ledger.place("--listen"), list(listen))
    if ledger.mistakes or chosen is None:
        return Loaded(loaded.name, None, (*loaded.mistakes, *ledger.mistakes))
    old = tuple(note for note in loaded.config.notes if not note.path.startswith("listen["))
    config = msgspec.structs.replace(loaded.config, listen=chosen, notes=(*old, *ledger.notes))
    return _refuse_exposure(msgspec.structs.replace(loaded, config=config), "--listen")


def _refuse_exposure(loaded: Loaded, where: str) -> Loaded:
    """Nobody listens to a network without knowing who is calling."""
    if loaded.config is None or loaded.config.auth is not None:
        return loaded
    ledger = Ledger({})
    for path, entry in loaded.config.endpoints.items():
        shown_path = path.replace("listen", where, 1) if path.startswith("listen") else path
        if not is_local(entry):
            Place(ledger, shown_path).mistake(
                "is open to the network, and there are no keys",
                f"{_table(loaded)}, or interface=127.0.0.1",
            )
        elif is_mutual(entry):
            Place(ledger, shown_path).mistake(
                "asks clients for keys, and none are known", _table(loaded)
            )
    if not ledger.mistakes:
        return loaded
    return Loaded(loaded.name, None, (*loaded.mistakes, *ledger.mistakes))


def _table(loaded: Loaded) -> str:
    return f"an {loaded.table('auth')}" if loaded.form == "TOML" else loaded.table("auth")
