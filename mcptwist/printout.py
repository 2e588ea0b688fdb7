"""What ``mcptwist call`` and ``mcptwist list`` print for people. Pure.

What a server says is shown without the control characters in it: they could make
a terminal show something else than was said.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mcptwist.client import Client, Progress, ToolResult

_WIDEST_NAME = 40
_WIDEST = 100


def printable(text: str) -> str:
    """Text whose control characters are written out."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")


def answer(result: ToolResult) -> str:
    """What a tool answered: its text, or its structure where the text says no more than that."""
    structured = result.structured_content
    if structured is not None and _says_no_more(result, structured):
        return pretty(structured)
    return printable("\n".join(_block(block) for block in result.content))


def _says_no_more(result: ToolResult, structured: Any) -> bool:
    if not result.content:
        return True
    try:
        return len(result.content) == 1 and json.loads(result.text) == structured
    except ValueError:
        return False


def _block(block: Mapping[str, Any]) -> str:
    """One block of content in a line or more."""
    kind = block.get("type")
    if kind == "text":
        return str(block.get("text", ""))
    if kind in ("image", "audio"):
        size = len(str(block.get("data", ""))) * 3 // 4
        return f"[{kind} {block.get('mimeType', '')}, about {size} bytes; --json has it]"
    if kind == "resource_link":
        return f"[{block.get('name', 'resource')} {block.get('uri', '')}]"
    if kind == "resource":
        inner = block.get("resource")
        inner = inner if isinstance(inner, dict) else {}
        return str(inner.get("text", f"[resource {inner.get('uri', '')}; --json has it]"))
    return pretty(block)


def pretty(value: Any) -> str:
    """JSON for people."""
    return printable(json.dumps(value, indent=2, ensure_ascii=False))


def progress(found: Progress) -> str:
    """How far a call is, in a line."""
    share = f"{found.progress:g}"
    if found.total is not None:
        share += f"/{found.total:g}"
    return printable(f"{share} {found.message or ''}".rstrip()).replace("\n", " ")


def server(client: Client, lists: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """What a server is and has.

    :param lists: title → tools, resources and so on.
    """
    info = client.welcome.get("serverInfo")
    if not isinstance(info, dict):
        meta = client.welcome.get("_meta")
        info = meta.get("io.modelcontextprotocol/serverInfo") if isinstance(meta, dict) else None
    info = info if isinstance(info, dict) else {}
    told = " ".join(str(info[key]) for key in ("name", "version") if key in info)
    lines = [f"{client.name}: {told or 'a server'}, revision {client.revision}"]
    for title, items in lists.items():
        if items:
            lines += ["", f"{title}:", *_rows((_name(item), _about(item)) for item in items)]
    if client.missing:
        lines += ["", "not there now:", *_rows(client.missing.items())]
    return printable("\n".join(lines))


def servers(
    found: Mapping[str, Mapping[str, Any]], groups: Mapping[str, Sequence[str]] | None = None
) -> str:
    """The servers and groups of a daemon or a file, one a line.

    :param found: name → ``state`` and perhaps ``reason``.
    :param groups: name → names of servers.
    """
    rows = [
        (name, " ".join(filter(None, (str(each.get("state", "")), str(each.get("reason", ""))))))
        for name, each in found.items()
    ]
    lines = _rows(rows, indent="")
    if groups:
        told = ((name, ", ".join(map(str, names))) for name, names in groups.items())
        lines += ["", "groups:", *_rows(told)]
    return printable("\n".join(lines))


def _rows(pairs: Iterable[tuple[str, str]], indent: str = "  ") -> list[str]:
    rows = list(pairs)
    wide = min(max((len(name) for name, _ in rows), default=0), _WIDEST_NAME)
    return [f"{indent}{name:{wide}}  {about}".rstrip() for name, about in rows]


def _name(item: Mapping[str, Any]) -> str:
    return str(item.get("uri") or item.get("uriTemplate") or item.get("name") or "?")


def _about(item: Mapping[str, Any]) -> str:
    text = str(item.get("description") or item.get("title") or "")
    line = text.strip().split("\n", 1)[0].strip()
    return line if len(line) <= _WIDEST else f"{line[: _WIDEST - 1]}…"
