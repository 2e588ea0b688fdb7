"""What the daemon prints when it has started: a receipt, not a log."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

MARK = "mcptwist"
_WIRES = {"ws": "WebSocket", "sse": "HTTP+SSE, for clients of 2024-11-05"}


def receipt(
    urls: Sequence[str],
    servers: Sequence[str],
    broken: Sequence[str] = (),
    certificate: tuple[str, str, str] | None = None,
    wires: Sequence[str] = (),
    known_as: str = "",
    logs_in: bool = False,
) -> str:
    """What was started and how to use it.

    :param urls: where the daemon answers, without a path.
    :param servers: the names of the servers behind it.
    :param broken: a line for each server that could not be configured.
    :param wires: what else is served beside Streamable HTTP: ``ws``, ``sse``.
    :param certificate: that of encrypted endpoints: its file, its SHA-256 fingerprint, and that of
        its key, as known_hosts goes by it; empty for a key of another kind.
    :param known_as: where keys are wanted, the URL that clients know the daemon by.
    :param logs_in: whether clients without a key can be logged in, with a browser.
    """
    lines = [f"mcptwist serves {_named(servers)}:", ""]
    for url in urls:
        lines += [*_places(url, servers), *_others(url, wires)]
    lines += ["", *(f"  not served: {line}" for line in broken), *([""] if broken else [])]
    if urls and urls[0].startswith("http") and not urlsplit(urls[0]).path:
        lines += _certificate(*certificate) if certificate else []
        if known_as:
            lines += ["For a client's configuration, where a key is that is let in:", ""]
            lines += [_snippet(known_as, servers, "connect"), ""]
            lines += _login(known_as) if logs_in else []
        else:
            lines += ["For a client's configuration:", "", _snippet(urls[0], servers), ""]
    return "\n".join([*lines, "Press Ctrl-C to stop.", ""])


def _named(servers: Sequence[str]) -> str:
    if not servers:
        return "no server yet"
    if len(servers) == 1:
        return f"the server {servers[0]}"
    return f"{len(servers)} servers"


def _places(url: str, servers: Sequence[str]) -> list[str]:
    if url.startswith("lines:") or urlsplit(url).path:
        return [f"  {url}"]
    if len(servers) == 1:
        return [f"  {url}/mcp"]
    whole = [f"  {url}/mcp  (all of them, tools named SERVER__TOOL)"]
    return [*whole, *(f"  {url}/servers/{name}/mcp" for name in servers)]


def _others(url: str, wires: Sequence[str]) -> list[str]:
    """Where clients of the other wires come to."""
    if not url.startswith("http") or urlsplit(url).path:
        return []
    places = {"ws": f"ws{url.removeprefix('http')}/ws", "sse": f"{url}/sse"}
    return [f"  {places[wire]}  ({_WIRES[wire]})" for wire in wires]


def _certificate(path: str, fingerprint: str, key: str) -> list[str]:
    shown = [f"Host key: {key}", ""] if key else []
    return [f"Certificate: {path}", "  SHA-256", f"  {fingerprint}", "", *shown]


def _login(known_as: str) -> list[str]:
    return [
        f"Programs that log in with a browser need {known_as}/mcp and nothing else.",
        "Let them in with: mcptwist approve CODE",
        "",
    ]


def _snippet(url: str, servers: Sequence[str], command: str = "") -> str:
    """The ``mcpServers`` object that clients have in their files.

    :param command: of ours that stands between, as it can sign in with a key.
    """
    name = servers[0] if len(servers) == 1 else MARK
    server: dict[str, Any] = {"type": "http", "url": f"{url}/mcp"}
    if command:
        server = {"command": MARK, "args": [command, f"{url}/mcp"]}
    value = {"mcpServers": {name: server}}
    return "\n".join(f"  {line}" for line in json.dumps(value, indent=2).splitlines())
