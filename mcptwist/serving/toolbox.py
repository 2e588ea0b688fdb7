"""The server a daemon has when it was given none: small things that models lack.

What time it is, exact arithmetic, digests, random numbers, looking into JSON, a
way to ask the person, and a look at the connection itself. It reads no file,
opens no connection, keeps nothing, and everything it is asked is bounded.

It is also the example of :mod:`mcptwist.server` in use.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import random
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from difflib import get_close_matches
from functools import cache
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, available_timezones

import msgspec
from msgspec import Meta, Raw
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

import mcptwist
from mcptwist.server import Context, Limits, Refused, Server
from mcptwist.serving import calculator

NAME = "toolbox"

Text = Annotated[str, Meta(max_length=1_000_000)]
Choices = Annotated[list[Annotated[str, Meta(max_length=200)]], Meta(max_length=50)]
Zone = Annotated[str, Meta(description="A zone's name, such as Europe/Berlin", max_length=100)]
Instant = Annotated[str, Meta(description="ISO 8601; UTC if it has no offset", max_length=64)]
_BEYOND = "that is outside the years 1 to 9999"
_Members = dict[str, Raw] | list[Raw] | str | float | bool | None
Count = Annotated[int, Meta(ge=1, le=1000)]

_INSTRUCTIONS = (
    "Small things to rely on instead of guessing: the time anywhere, dates, exact decimal "
    "arithmetic, digests, base64, UUIDs, random numbers, parts of JSON documents, and a "
    "question to the person at the other end."
)


class Moment(msgspec.Struct, frozen=True):
    """A point in time, in one zone.

    :ivar unix: seconds since 1970.
    """

    iso: str
    zone: str
    weekday: str
    week: int
    unix: int

    @classmethod
    def of(cls, when: datetime, zone: str) -> Moment:
        """*when*, which knows its zone."""
        return cls(
            when.isoformat(timespec="seconds"),
            zone,
            f"{when:%A}",
            when.isocalendar().week,
            int(when.timestamp()),
        )


class Span(msgspec.Struct, frozen=True):
    """From one point in time to another; negative when it goes back."""

    days: int
    seconds: float
    text: str


class Caller(msgspec.Struct, frozen=True):
    """What a server gets to know of who calls it."""

    client: dict[str, Any]
    revision: str
    era: str
    capabilities: dict[str, Any]


def make_toolbox(
    clock: IReactorTime, chance: random.Random | None = None, version: str = "0"
) -> Server:
    """The server.

    :param clock: whose seconds are those since 1970, as the reactor's are.
    :param version: of the daemon, which is the server's too.
    :param chance: where random numbers come from; the operating system's if not given.
    """
    server = Server(
        NAME,
        version=version,
        title="Toolbox",
        instructions=_INSTRUCTIONS,
        ttl=60.0,
        limits=Limits(held=64),
    )
    _offer_time(server, clock)
    _offer_zones(server, clock)
    _offer_text(server)
    _offer_json(server)
    _offer_chance(server, chance or random.SystemRandom())
    _offer_company(server, clock)
    return server


def toolbox(clock: IReactorTime) -> Server:
    """The server as a configuration's ``python`` names it."""
    return make_toolbox(clock, version=mcptwist.__version__)


def _offer_time(server: Server, clock: IReactorTime) -> None:
    @server.tool(read_only=True)
    def now(zone: Zone = "UTC") -> Moment:
        """What time it is, anywhere in the world."""
        return _now(clock, zone)

    @server.tool(read_only=True, idempotent=True)
    def convert_time(when: Instant, zone: Zone) -> Moment:
        """The same point in time as a clock in another zone shows it."""
        try:
            return Moment.of(_instant(when).astimezone(_zone(zone)), zone)
        except OverflowError:
            raise Refused(_BEYOND) from None

    @server.tool(read_only=True, idempotent=True)
    def shift_time(
        when: Instant, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0
    ) -> Moment:
        """A point in time, so much later; negative numbers go back."""
        start = _instant(when)
        try:
            shift = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
            return Moment.of(start + shift, str(start.tzinfo))
        except (OverflowError, ValueError):
            raise Refused(_BEYOND) from None

    @server.tool(read_only=True, idempotent=True)
    def time_between(start: Instant, end: Instant) -> Span:
        """How long it is from one point in time to another."""
        length = _instant(end) - _instant(start)
        return Span(length.days, length.total_seconds(), str(length))


def _offer_zones(server: Server, clock: IReactorTime) -> None:
    @server.resource("toolbox://zones", mime_type="application/json")
    def zones() -> Sequence[str]:
        """The names of all time zones."""
        return _zone_names()

    @server.resource("toolbox://zones/{zone}", mime_type="application/json")
    def zone(zone: str) -> Moment:
        """What time it is in one zone; a slash in its name is written %2F."""
        return _now(clock, zone)

    @server.prompt(title="Plan a meeting")
    def plan_meeting(topic: str, here: Zone, there: Zone) -> str:
        """Find a time for a meeting of people in two time zones."""
        return (
            f"Find three times in the next five working days for a meeting about {topic!r} "
            f"that are between 9:00 and 17:00 both in {here} and in {there}. Begin with what "
            "time it is now in both, and give each proposal in both."
        )

    @server.completion("plan_meeting", "here")
    @server.completion("plan_meeting", "there")
    @server.completion("toolbox://zones/{zone}", "zone")
    def zone_names(typed: str) -> list[str]:
        wanted = typed.lower()
        names = [name for name in _zone_names() if wanted in name.lower()]
        return sorted(names, key=lambda name: (not name.lower().startswith(wanted), name))


def _offer_text(server: Server) -> None:
    @server.tool(read_only=True, idempotent=True)
    def calculate(
        expression: Annotated[str, Meta(max_length=1000, examples=["(0.1 + 0.2) * 3"])],
    ) -> calculator.Value:
        """Exact decimal arithmetic, to 50 digits.

        It knows + - * / // % ** and parentheses, abs, sqrt, exp, ln, log (to base
        ten), round(value, places), min, max, pi and e.
        """
        try:
            return calculator.calculate(expression)
        except calculator.Miscalculation as problem:
            raise Refused(str(problem)) from None

    @server.tool(read_only=True, idempotent=True)
    def digest(
        text: Text,
        algorithm: Literal["sha256", "sha512", "sha1", "md5", "blake2b"] = "sha256",
    ) -> str:
        """The digest of a text (in UTF-8), in hexadecimal."""
        return hashlib.new(algorithm, text.encode(), usedforsecurity=False).hexdigest()

    @server.tool(read_only=True, idempotent=True)
    def encode_base64(text: Text, url_safe: bool = False) -> str:
        """A text (in UTF-8) in base64."""
        encode = base64.urlsafe_b64encode if url_safe else base64.b64encode
        return encode(text.encode()).decode()

    @server.tool(read_only=True, idempotent=True)
    def decode_base64(text: Text) -> str:
        """The text that is in base64, of either alphabet, with or without padding."""
        plain = "".join(text.split()).rstrip("=").replace("-", "+").replace("_", "/")
        try:
            return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True).decode()
        except UnicodeDecodeError:
            raise Refused("what it holds is not text in UTF-8") from None
        except (binascii.Error, ValueError) as problem:
            raise Refused(f"this is not base64: {problem}") from None


def _offer_json(server: Server) -> None:
    @server.tool(read_only=True, idempotent=True)
    def format_json(document: Text, indent: Annotated[int, Meta(ge=0, le=8)] = 2) -> str:
        """Lay a JSON document out for reading; with indent 0, on one line."""
        try:
            return msgspec.json.format(document, indent=indent or -1)
        except (msgspec.DecodeError, RecursionError) as problem:
            raise Refused(f"this is not JSON: {problem}") from None

    @server.tool(read_only=True, idempotent=True)
    def look_into_json(
        document: Text,
        pointer: Annotated[str, Meta(max_length=1000, examples=["/users/0/name"])],
    ) -> str:
        """The part of a JSON document that a JSON Pointer (RFC 6901) points to."""
        return bytes(_pointed_to(document, pointer)).decode()


def _offer_chance(server: Server, chance: random.Random) -> None:
    @server.tool(read_only=True)
    def random_numbers(
        low: Annotated[int, Meta(ge=-(2**53), le=2**53)] = 1,
        high: Annotated[int, Meta(ge=-(2**53), le=2**53)] = 6,
        count: Count = 1,
    ) -> list[int]:
        """Random whole numbers, both bounds included."""
        if low > high:
            raise Refused(f"low is {low} and high is {high}: low must not be above high")
        return [chance.randint(low, high) for _ in range(count)]

    @server.tool(read_only=True)
    def make_uuids(count: Count = 1) -> str:
        """New random UUIDs (version 4), one a line."""
        made = (uuid.UUID(int=chance.getrandbits(128), version=4) for _ in range(count))
        return "\n".join(map(str, made))


def _offer_company(server: Server, clock: IReactorTime) -> None:
    @server.tool(read_only=True)
    async def wait(seconds: Annotated[float, Meta(ge=0, le=300)], ctx: Context) -> str:
        """Let time pass; says every second how much of it did."""
        waited = 0.0
        while waited < seconds:
            step = min(1.0, seconds - waited)
            await deferLater(clock, step)
            waited += step
            ctx.progress(waited, seconds)
        return f"{seconds:g} seconds have passed"

    @server.tool(read_only=True)
    async def ask_person(
        question: Annotated[str, Meta(min_length=1, max_length=2000)],
        ctx: Context,
        choices: Choices | None = None,
    ) -> str:
        """Ask the person at the other end, and wait for the answer.

        :param choices: what they may choose from; without, they use their own words.
        """
        answer: dict[str, Any] = {"type": "string", "title": "Answer"}
        if choices:
            answer["enum"] = choices
        form = {"type": "object", "properties": {"answer": answer}, "required": ["answer"]}
        elicited = await ctx.elicit(question, form)
        if not elicited.accepted or elicited.content is None:
            raise Refused(f"the person did not answer ({elicited.action})")
        return str(elicited.content.get("answer", ""))

    @server.tool(read_only=True)
    def who_is_calling(ctx: Context) -> Caller:
        """What this server knows of the client: its name, its revision, what it can do."""
        return Caller(dict(ctx.client), ctx.revision, ctx.era, dict(ctx.capabilities))


def _now(clock: IReactorTime, zone: str) -> Moment:
    return Moment.of(datetime.fromtimestamp(clock.seconds(), _zone(zone)), zone)


def _zone(name: str) -> tzinfo:
    """The zone; only names from the list, since others would be looked for as files.

    :raises Refused: there is none.
    """
    if name == "UTC":
        return UTC
    names = _zone_names()
    if name in names:
        return ZoneInfo(name)
    close = get_close_matches(name[:100], names, n=3)
    hint = f"; did you mean {' or '.join(close)}?" if close else ""
    raise Refused(f"there is no time zone {name!r}{hint}")


@cache
def _zone_names() -> tuple[str, ...]:
    return tuple(sorted(available_timezones() | {"UTC"}))


def _instant(text: str) -> datetime:
    try:
        when = datetime.fromisoformat(text.strip())
    except ValueError:
        raise Refused(f"{text!r} is no date and time, such as 2026-07-28T12:00:00Z") from None
    return when if when.tzinfo is not None else when.replace(tzinfo=UTC)


def _pointed_to(document: str, pointer: str) -> Raw:
    """Opens only what is on the way, so numbers and order stay as they were written."""
    if pointer and not pointer.startswith("/"):
        raise Refused('a pointer is empty or begins with "/"')
    part = Raw(document.encode())
    try:
        msgspec.json.decode(part)
        for step in pointer.split("/")[1:]:
            part = _member(part, step.replace("~1", "/").replace("~0", "~"))
    except (msgspec.DecodeError, RecursionError) as problem:
        raise Refused(f"this is not JSON: {problem}") from None
    return part


def _member(part: Raw, step: str) -> Raw:
    members = msgspec.json.decode(part, type=_Members)
    if isinstance(members, list) and step.isdecimal() and int(step) < len(members):
        found: Raw = members[int(step)]
        return found
    if isinstance(members, dict) and step in members:
        return Raw(members[step])
    raise Refused(f"there is nothing at {step!r}")
