"""The ``[catalog]`` and ``[groups]`` sections: how servers are seen as one, and which. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any

import msgspec

from mcptwist.configuration.servernames import check_name
from mcptwist.configuration.settings import (
    Key,
    Place,
    count,
    full_text,
    is_table,
    many,
    read_table,
    report_repeated,
    seconds,
    yes_or_no,
)


class Catalog(msgspec.Struct, frozen=True, kw_only=True):
    """The ``[catalog]`` section."""

    deadline: Annotated[
        float, Key(seconds, "a server may take so long to list what it has", "seconds")
    ] = 15.0
    entries: Annotated[int, Key(count, "entries taken of one list of a server")] = 10_000
    pages: Annotated[int, Key(count, "pages taken of one list of a server")] = 1000
    acknowledge: Annotated[
        float, Key(seconds, "a subscription waits so long for servers to confirm it", "seconds")
    ] = 5.0
    rejoin_min: Annotated[
        float, Key(seconds, "the first wait to listen again to a server that went", "seconds")
    ] = 5.0
    rejoin_max: Annotated[float, Key(seconds, "the longest such wait", "seconds")] = 300.0
    keep_lists: Annotated[
        bool, Key(yes_or_no, "servers that are not running are listed from their last lists")
    ] = True
    keep_for: Annotated[
        float, Key(seconds, "lists on disk that are older are not used", "seconds")
    ] = 30 * 86400.0


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Some of the servers, seen as one.

    :ivar name: a segment of its URL.
    """

    name: str
    servers: Annotated[tuple[str, ...], Key(many(full_text), "names of servers, in this order")]


class _Table(msgspec.Struct, frozen=True, kw_only=True):
    servers: Annotated[tuple[str, ...], Key(many(full_text), "")] = ()


def groups_table(place: Place, value: Any) -> tuple[Group, ...] | None:
    """The section: a table for each group, by its name."""
    if not is_table(place, value):
        return None
    before = len(place.ledger.mistakes)
    report_repeated(place, value)
    found = [_group(place.at(name), name, table) for name, table in value.items()]
    whole = tuple(each for each in found if each is not None)
    return whole if len(place.ledger.mistakes) == before else None


def _group(place: Place, name: str, value: Any) -> Group | None:
    check_name(place, name)
    table = read_table(place, value, _Table)
    if table is None:
        return None
    if not table.servers:
        place.mistake("has no servers", "a list of names")
    for each in sorted({each for each in table.servers if table.servers.count(each) > 1}):
        place.at("servers").mistake(f'has "{each}" more than once', "each server once")
    return Group(name=name, servers=table.servers)


def check_groups(
    place: Place, groups: Collection[Group], usable: Collection[str], others: Collection[str]
) -> None:
    """See to it that groups are made of servers that there are.

    :param usable: names of servers that can be used.
    :param others: names of those that are broken or disabled.
    """
    for group in groups:
        where = place.at(group.name).at("servers")
        for name in group.servers:
            if name in others:
                where.note(f'names "{name}", which is broken or disabled')
            elif name not in usable:
                where.mistake(f'names "{name}", which is no server', "names in mcpServers")
