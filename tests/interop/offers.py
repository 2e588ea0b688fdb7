"""What the fixture servers offer and say: the same words in every era and SDK.

The names and texts are those the official conformance suite asks for, plus a few of our own that
the client scripts in ``clients/`` use (``echo``, ``wait``, ``test://journal``). Everything is
written as the plain objects that go over the wire. Only the standard library is used, so that a
server on any SDK can import this.

``FIXTURE_JOURNAL`` names a file that every copy of a server appends to, one line when a call of
``wait`` starts and one if it is cancelled; ``test://journal`` reads it back, whichever copy of the
server a client reaches.
"""

from __future__ import annotations

import base64
import json
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Json = dict[str, Any]

WATCHED = "test://watched-resource"
JOURNAL_URI = "test://journal"
STRING: Json = {"type": "string"}

journal = Path(os.environ.get("FIXTURE_JOURNAL", os.devnull))


def note(line: str) -> None:
    """Write one line into the journal."""
    with journal.open("a") as lines:
        lines.write(f"{line}\n")


def png() -> str:
    """One red pixel, as base64."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0\xff\0\0")
    image = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + image).decode()


def wav() -> str:
    """A WAV file with no samples, as base64."""
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 8000, 8000, 1, 8)
    body = b"WAVE" + form + struct.pack("<4sI", b"data", 0)
    return base64.b64encode(b"RIFF" + struct.pack("<I", len(body)) + body).decode()


def text(words: str) -> Json:
    return {"type": "text", "text": words}


def image() -> Json:
    return {"type": "image", "data": png(), "mimeType": "image/png"}


def embedded(uri: str, mime: str, words: str) -> Json:
    return {"type": "resource", "resource": {"uri": uri, "mimeType": mime, "text": words}}


# What a server asks its client.


def form(words: str, required: list[str], **properties: Json) -> Json:
    """An input request that asks the user to fill in a form."""
    schema: Json = {"type": "object", "properties": properties, "required": required}
    params = {"message": words, "requestedSchema": schema}
    return {"method": "elicitation/create", "params": params}


def question(words: str, field: str, kind: str = "string") -> Json:
    """An input request that asks the user for one field."""
    return form(words, [field], **{field: {"type": kind}})


def sampling(words: str, tokens: int = 100) -> Json:
    """An input request that asks the client's model to complete a message."""
    params = {"messages": [{"role": "user", "content": text(words)}], "maxTokens": tokens}
    return {"method": "sampling/createMessage", "params": params}


ROOTS: Json = {"method": "roots/list", "params": {}}
NAME = question("What is your name?", "name")
CONFIRM = question("Please confirm", "ok", "boolean")
STEP_1 = question("Step 1: What is your name?", "name")
STEP_2 = question("Step 2: What is your favorite color?", "color")
CONTEXT = question("What context should the prompt use?", "context")
CAPITAL = sampling("What is the capital of France?")
GREETING = sampling("Generate a greeting", 50)

#: A form with a default of every kind (SEP-1034).
DEFAULTS = form(
    "Please check these values",
    [],
    name={"type": "string", "default": "John Doe"},
    age={"type": "integer", "default": 30},
    score={"type": "number", "default": 95.5},
    status={"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
    verified={"type": "boolean", "default": True},
)

_PLAIN_CHOICE = ["option1", "option2", "option3"]
_TITLED_CHOICE = [
    {"const": "value1", "title": "First Option"},
    {"const": "value2", "title": "Second Option"},
    {"const": "value3", "title": "Third Option"},
]

#: A form that lets the user choose, in every way there is (SEP-1330).
ENUMS = form(
    "Please choose",
    [],
    untitledSingle={"type": "string", "enum": _PLAIN_CHOICE},
    titledSingle={"type": "string", "oneOf": _TITLED_CHOICE},
    legacyEnum={
        "type": "string",
        "enum": ["opt1", "opt2", "opt3"],
        "enumNames": ["Option One", "Option Two", "Option Three"],
    },
    untitledMulti={"type": "array", "items": {"type": "string", "enum": _PLAIN_CHOICE}},
    titledMulti={"type": "array", "items": {"anyOf": _TITLED_CHOICE}},
)


def who(words: str) -> Json:
    """An input request for the user's name and address."""
    return form(
        words,
        ["username", "email"],
        username={"type": "string", "description": "User's response"},
        email={"type": "string", "description": "User's email address"},
    )


def elicited(said: Json) -> str:
    """What a tool says of an elicitation's result."""
    return f"action={said['action']}, content={json.dumps(said.get('content'))}"


def sampled(said: Json) -> str:
    """What a tool says of a sampling's result."""
    return f"LLM response: {said['content'].get('text', said['content'])}"


# Tools and prompts that only answer.


@dataclass(frozen=True)
class Plain:
    """A tool or a prompt that asks and announces nothing.

    :ivar listed: as it is listed.
    :ivar says: makes its content of the arguments.
    """

    listed: Json
    says: Callable[[Json], Any]


PLAIN_TOOLS: dict[str, Plain] = {}
PLAIN_PROMPTS: dict[str, Plain] = {}

Said = Callable[[Json], Any]


def listed_tool(name: str, description: str, properties: Json) -> Json:
    """A tool as it is listed, all of whose properties are required."""
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {"name": name, "description": description, "inputSchema": schema}


def listed_prompt(name: str, description: str, arguments: dict[str, str]) -> Json:
    """A prompt as it is listed; *arguments* are name and description of each."""
    listed = [{"name": n, "description": d, "required": True} for n, d in arguments.items()]
    return {"name": name, "description": description, "arguments": listed}


def plain_tool(
    name: str, description: str, schema: Json | None = None, **properties: Json
) -> Callable[[Said], Said]:
    """Offer the decorated function as a tool; keyword arguments are its required properties."""
    listed = listed_tool(name, description, properties)

    def register(says: Said) -> Said:
        PLAIN_TOOLS[name] = Plain(listed | ({"inputSchema": schema} if schema else {}), says)
        return says

    return register


def plain_prompt(name: str, description: str, **arguments: str) -> Callable[[Said], Said]:
    """Offer the decorated function as a prompt; keyword arguments describe its arguments."""

    def register(says: Said) -> Said:
        PLAIN_PROMPTS[name] = Plain(listed_prompt(name, description, arguments), says)
        return says

    return register


@plain_tool("test_simple_text", "Answers with one text")
def simple_text(arguments: Json) -> Any:
    return text("This is a simple text response for testing.")


@plain_tool("test_image_content", "Answers with an image")
def image_content(arguments: Json) -> Any:
    return image()


@plain_tool("test_audio_content", "Answers with audio")
def audio_content(arguments: Json) -> Any:
    return {"type": "audio", "data": wav(), "mimeType": "audio/wav"}


@plain_tool("test_embedded_resource", "Answers with an embedded resource")
def embedded_resource(arguments: Json) -> Any:
    return embedded(
        "test://embedded-resource", "text/plain", "This is an embedded resource content."
    )


@plain_tool("test_multiple_content_types", "Answers with text, an image and a resource")
def multiple_content_types(arguments: Json) -> Any:
    data = embedded(
        "test://mixed-content-resource", "application/json", '{"test":"data","value":123}'
    )
    return [text("Multiple content types test:"), image(), data]


@plain_tool("test_error_handling", "Always fails")
def error_handling(arguments: Json) -> Any:
    failed = [text("This tool intentionally returns an error for testing")]
    return {"content": failed, "isError": True}


@plain_tool(
    "json_schema_2020_12_tool",
    "Has the whole vocabulary of JSON Schema 2020-12 in its input schema",
    {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": {"street": STRING, "city": STRING},
            }
        },
        "properties": {
            "name": STRING,
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": STRING,
            "email": STRING,
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {
            "properties": {"contactMethod": {"const": "phone"}},
            "required": ["contactMethod"],
        },
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": False,
    },
)
def json_schema(arguments: Json) -> Any:
    return text(f"Called with {json.dumps(arguments)}")


@plain_tool(
    "test_x_mcp_header",
    "Has an argument that travels in a header as well",
    {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}},
)
def x_mcp_header(arguments: Json) -> Any:
    return text(f"region={arguments.get('region')}")


@plain_tool("echo", "Answers with its argument", text=STRING)
def echo(arguments: Json) -> Any:
    return text(arguments["text"])


@plain_prompt("test_simple_prompt", "One message")
def simple_prompt(arguments: Json) -> Any:
    return [text("This is a simple prompt for testing.")]


@plain_prompt(
    "test_prompt_with_arguments",
    "A message with its arguments in it",
    arg1="First test argument",
    arg2="Second test argument",
)
def prompt_with_arguments(arguments: Json) -> Any:
    arg1, arg2 = arguments.get("arg1"), arguments.get("arg2")
    return [text(f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'")]


@plain_prompt(
    "test_prompt_with_embedded_resource",
    "A resource and a message",
    resourceUri="URI of the resource to embed",
)
def prompt_with_embedded_resource(arguments: Json) -> Any:
    uri = arguments.get("resourceUri", "test://example-resource")
    resource = embedded(uri, "text/plain", "Embedded resource content for testing.")
    return [resource, text("Please process the embedded resource above.")]


@plain_prompt("test_prompt_with_image", "An image and a message")
def prompt_with_image(arguments: Json) -> Any:
    return [image(), text("Please analyze the image above.")]


# Resources and completions.

RESOURCES: list[Json] = [
    {"uri": "test://static-text", "name": "static-text", "mimeType": "text/plain"},
    {"uri": "test://static-binary", "name": "static-binary", "mimeType": "image/png"},
    {"uri": WATCHED, "name": "watched-resource", "mimeType": "text/plain"},
    {"uri": JOURNAL_URI, "name": "journal", "mimeType": "text/plain"},
]
TEMPLATE: Json = {
    "uriTemplate": "test://template/{id}/data",
    "name": "template",
    "mimeType": "application/json",
}


def contents(uri: str) -> Json | None:
    """What is at *uri*; ``None`` if nothing is."""
    before, _, after = TEMPLATE["uriTemplate"].partition("{id}")
    if uri.startswith(before) and uri.endswith(after) and len(uri) > len(before + after):
        id_ = uri.removeprefix(before).removesuffix(after)
        data = {"id": id_, "templateTest": True, "data": f"Data for ID: {id_}"}
        return {"uri": uri, "mimeType": "application/json", "text": json.dumps(data)}
    match uri:
        case "test://static-text":
            words = "This is the content of the static text resource."
        case "test://static-binary":
            return {"uri": uri, "mimeType": "image/png", "blob": png()}
        case "test://watched-resource":
            words = "Watched resource content"
        case "test://journal":
            words = journal.read_text() if journal.exists() else ""
        case _:
            return None
    return {"uri": uri, "mimeType": "text/plain", "text": words}


def completion(typed: str) -> Json:
    values = [word for word in ("paris", "park", "party") if word.startswith(typed)]
    return {"values": values, "total": len(values), "hasMore": False}
