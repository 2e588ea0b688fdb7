"""The reference of ``docs/administration.rst``.

``python -m tests.watching.reference`` prints it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from tests.administered import Administered, FakeDesk

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "administration.rst"


def reference() -> str:
    """What the daemon's own server offers, in its own words."""
    house = Administered(desk=FakeDesk())
    client = house.client
    resources = house.result(client.list_resources())
    templates = house.result(client.list_resource_templates())
    tools = house.result(client.list_tools())
    house.stop()
    parts = [_resource(each["uri"], each) for each in resources]
    parts += [_resource(each["uriTemplate"], each) for each in templates]
    parts += [_tool(each) for each in tools]
    return "\n\n\n".join(parts) + "\n"


def _resource(uri: str, told: dict[str, Any]) -> str:
    return f"``{uri}``\n   {_lines(told['description'])} ({told.get('mimeType', 'text/plain')})"


def _tool(told: dict[str, Any]) -> str:
    hints = told["annotations"]
    kind = "looks" if hints.get("readOnlyHint") else "ends something" if _ends(hints) else "acts"
    text = f"``{told['name']}`` ({kind})\n   {_lines(told['description'])}"
    properties = told["inputSchema"].get("properties", {})
    if not properties:
        return text
    required = set(told["inputSchema"].get("required", ()))
    words = [_argument(name, schema, name in required) for name, schema in properties.items()]
    return f"{text}\n\n   *Arguments*: {'; '.join(words)}."


def _ends(hints: dict[str, Any]) -> bool:
    return bool(hints.get("destructiveHint"))


def _argument(name: str, schema: dict[str, Any], required: bool) -> str:
    about = schema.get("description", "")
    notes = [about] if about else []
    if "default" in schema and schema["default"] not in ("", None):
        notes.append(f"{schema['default']} otherwise")
    if not required and not notes:
        notes.append("may be left out")
    return f"``{name}``" + (f" ({', '.join(notes)})" if notes else "")


def _lines(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    sys.stdout.write(reference())
