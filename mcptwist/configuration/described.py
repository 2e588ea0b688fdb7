"""What the configuration says of a server, in words fit for anyone's eyes. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from mcptwist.configuration.redaction import redact
from mcptwist.configuration.serverconfig import ServerConfig

_OTHERWISE = frozenset({"name", "command", "args", "url", "python", "confidential"})
_PAIRS = frozenset({"env", "headers"})


def described(server: ServerConfig) -> dict[str, str]:
    """How it is reached, and whatever is not as it would be anyway; of pairs only the names."""
    found = {"reached": server.target}
    secrets = server.secrets()
    for field in msgspec.structs.fields(server):
        value = getattr(server, field.name)
        if field.name not in _OTHERWISE and value != _default(field):
            words = _names(value) if field.name in _PAIRS else redact(_text(value), secrets)
            found[field.name] = words
    return found


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default


def _names(pairs: Any) -> str:
    return ", ".join(str(name) for name, _ in pairs)


def _text(value: Any) -> str:
    if isinstance(value, msgspec.Struct):
        parts = msgspec.structs.asdict(value).items()
        return ", ".join(f"{name} {_text(part)}" for name, part in parts if part)
    if isinstance(value, (list, tuple, frozenset, set)):
        return ", ".join(map(_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
