"""Writes the reference of ``docs/administration.rst``: ``python -m tests.watching.reference``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.administered import Administered, FakeDesk

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "administration.rst"


LEGEND = """\
*Looks* changes nothing, *acts* begins or changes something, *ends something* takes something from
somebody.
"""


def reference() -> str:
    """What the daemon's own server offers, in its own words."""
    house = Administered(desk=FakeDesk())
    client = house.client
    resources = house.result(client.list_resources())
    templates = house.result(client.list_resource_templates())
    tools = house.result(client.list_tools())
    house.stop()
    things = [_resource(each["uri"], each) for each in resources]
    things += [_resource(each["uriTemplate"], each) for each in templates]
    parts = ["Resources", "---------", "", *things, "Tools", "-----", "", LEGEND]
    return "\n".join([*parts, *map(_tool, tools)])


def rewritten(page: str) -> str:
    """The page, with the reference as it has to be."""
    head, _, _ = page.partition("Resources\n---------\n")
    return head + reference()


def _resource(uri: str, told: dict[str, Any]) -> str:
    return f"``{uri}``\n   {_lines(told['description'])} ({told.get('mimeType', 'text/plain')})\n"


def _tool(told: dict[str, Any]) -> str:
    hints = told["annotations"]
    kind = "looks" if hints.get("readOnlyHint") else "ends something" if _ends(hints) else "acts"
    text = f"``{told['name']}`` ({kind})\n   {_lines(told['description'])}"
    properties = told["inputSchema"].get("properties", {})
    if not properties:
        return f"{text}\n"
    required = set(told["inputSchema"].get("required", ()))
    words = [_argument(name, schema, name in required) for name, schema in properties.items()]
    return f"{text}\n\n   *Arguments*: {'; '.join(words)}.\n"


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
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
