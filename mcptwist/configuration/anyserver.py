"""What can be said about a server, whatever it is reached by. Pure."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, TypeAlias

import msgspec

from mcptwist.catalog.selection import NamedSelection, Selection, Selections
from mcptwist.configuration.redaction import redact
from mcptwist.configuration.settings import (
    Key,
    Place,
    Reader,
    choice,
    count,
    is_number,
    is_table,
    none_or,
    read_table,
    report_repeated,
    seconds,
    table_of,
    yes_or_no,
)

Pairs: TypeAlias = tuple[tuple[str, str], ...]


class Breaker(msgspec.Struct, frozen=True, kw_only=True):
    """When a server that keeps dying is left alone for a while."""

    starts: Annotated[int, Key(count, "so many starts")] = 5
    within: Annotated[float, Key(seconds, "within this time open the breaker", "seconds")] = 60.0
    open_for: Annotated[
        float, Key(seconds, "no start is tried for so long; calls fail at once", "seconds")
    ] = 60.0


class Restart(msgspec.Struct, frozen=True, kw_only=True):
    """What follows when a server's wire is lost."""

    policy: Annotated[
        Literal["on-failure", "always", "never"],
        Key(choice("on-failure", "always", "never"), "when to start it again"),
    ] = "on-failure"
    backoff_min: Annotated[float, Key(seconds, "the first wait; doubles", "seconds")] = 0.5
    backoff_max: Annotated[float, Key(seconds, "the longest wait", "seconds")] = 60.0
    reset_after: Annotated[
        float, Key(seconds, "after so much uptime its failures are forgotten", "seconds")
    ] = 30.0
    breaker: Annotated[
        Breaker | None,
        Key(none_or(table_of(Breaker)), 'a table as below, or "none"'),
    ] = Breaker()


def _restart(place: Place, value: Any) -> Restart | None:
    if isinstance(value, str):
        found = read_table(place, {"policy": value}, Restart)
    else:
        found = read_table(place, value, Restart)
    if found is not None and found.backoff_min > found.backoff_max:
        place.mistake("has a backoff_min above its backoff_max", "the other way round")
        return None
    return found


START_TIMEOUT = 60.0
TIMEOUT = 300.0
TIMEOUT_MAX = 3600.0

#: A bare ``timeout`` above this is in milliseconds.
LONGEST_TIMEOUT_IN_SECONDS = 3600


def _timeout(place: Place, value: Any) -> float | None:
    """Clients disagree on ``timeout``: for some it is in seconds, for others in milliseconds."""
    if is_number(value) and value > LONGEST_TIMEOUT_IN_SECONDS:
        place.note('is above 3600, so it was read as milliseconds; write "90s" or "2h" to be exact')
        value = value / 1000
    return seconds(place, value)


def _tools(place: Place, value: Any) -> NamedSelection | None:
    """A table, or the list of names that some clients have under the same key."""
    if isinstance(value, list | str):
        value = {"allow": value}
    found: NamedSelection | None = table_of(NamedSelection)(place, value)
    return found


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """What every server has, whatever it is reached by.

    :ivar name: its path segment under ``/servers/`` and the prefix of its tools.
    :ivar confidential: secrets that were found while reading, beside those in its own fields.
    """

    KIND: ClassVar[str] = ""
    MARK: ClassVar[str] = ""

    name: str
    scope: Annotated[
        Literal["shared", "session", "pool"],
        Key(
            choice("shared", "session", "pool"),
            "one for all clients, one per session, or a few shared out",
        ),
    ] = "shared"
    pool: Annotated[int, Key(count, 'how many there are with scope = "pool"')] = 4
    lazy: Annotated[bool, Key(yes_or_no, "started by its first call, not with the daemon")] = True
    restart: Annotated[
        Restart, Key(_restart, "a policy, or a table as below; when it is started again")
    ] = Restart()
    timeout: Annotated[
        float, Key(_timeout, "a call may be silent for so long; progress starts it anew", "seconds")
    ] = TIMEOUT
    timeout_max: Annotated[
        float, Key(seconds, "a call may take so long, progress or not", "seconds")
    ] = TIMEOUT_MAX
    start_timeout: Annotated[
        float, Key(seconds, "from its start to its first answer", "seconds")
    ] = START_TIMEOUT
    era: Annotated[
        Literal["auto", "legacy", "modern"],
        Key(choice("auto", "legacy", "modern"), "the protocol era it speaks; auto finds out"),
    ] = "auto"
    max_in_flight: Annotated[
        int | None,
        Key(count, "requests not yet answered, instead of limits.in_flight_per_server"),
    ] = None
    tools: Annotated[
        NamedSelection, Key(_tools, "a table as below, or a list of those that are served")
    ] = NamedSelection()
    prompts: Annotated[
        NamedSelection, Key(table_of(NamedSelection), "a table as below: which are served")
    ] = NamedSelection()
    resources: Annotated[
        Selection, Key(table_of(Selection), "a table as below, without rename, by their URIs")
    ] = Selection()
    confidential: frozenset[str] = frozenset()

    @property
    def selections(self) -> Selections:
        """What of it clients see."""
        return Selections(self.tools, self.prompts, self.resources)

    @property
    def target(self) -> str:
        """What is reached, in a line fit for anyone's eyes."""
        return redact(self._target(), self.secrets())

    def secrets(self) -> frozenset[str]:
        """Values not to be shown to anyone (:mod:`mcptwist.configuration.redaction`)."""
        return self.confidential

    def _target(self) -> str:
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}: {self.target}>"


def pairs_of(place: Place, value: Any, check_name: Any, read_value: Reader) -> Pairs | None:
    """A table of names and values, in its order.

    :param check_name: told each name and where it is; reports what is wrong with it.
    :return: ``None`` where anything was wrong, which is reported then.
    """
    if not is_table(place, value):
        return None
    before = len(place.ledger.mistakes)
    report_repeated(place, value)
    for name in value:
        check_name(place.at(name), name)
    pairs = tuple((name, read_value(place.at(name), each)) for name, each in value.items())
    return pairs if len(place.ledger.mistakes) == before else None
