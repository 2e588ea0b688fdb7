"""The ways to servers, for clients that see them as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from mcptwist.awaited import Awaited, ask
from mcptwist.catalog.edits import text
from mcptwist.catalog.guest import Guests
from mcptwist.catalog.inventory import Inventory
from mcptwist.company import LEVELS
from mcptwist.errors import ClientGone, InvalidParams
from mcptwist.exchange import Exchange
from mcptwist.interfaces import IAnswerer
from mcptwist.messages import Json, encode_json, open_fields
from mcptwist.versions import MODERN

if TYPE_CHECKING:
    from mcptwist.session import Session


class Ways:
    """Puts exchanges to servers, each of which is told first what it should know of a session.

    :param servers: by name.
    :param inventories: what each of them lists, by name.
    """

    def __init__(
        self, servers: Mapping[str, Any], inventories: Mapping[str, Inventory], guests: Guests
    ) -> None:
        self._servers = servers
        self._inventories = inventories
        self._guests = guests

    def put(self, server: str, exchange: Exchange, enquiring: bool = False) -> None:
        """Put *exchange* to *server*, and introduce its session first where that is news."""
        stay = exchange.stay
        if stay.era != MODERN:
            if stay.ended is not None:
                exchange.fail(ClientGone("the session is over"))
                return
            guest = self._guests.of(stay)
            if server not in guest.met:
                guest.met.add(server)
                if guest.level is not None:
                    self._tell_level(server, stay, guest.level)
        if enquiring:
            self._inventories[server].enquire(exchange)
        else:
            self._servers[server].begin(exchange)

    def enquire(self, server: str, stay: Any, method: str, params: Json) -> Deferred[Json]:
        """Ask *server* something for the client whose *stay* it is, in the server's own words."""
        awaited = Awaited()
        answer = awaited.answer
        awaited.begin(_Way(partial(self.put, server, enquiring=True)), method, params, stay)
        return answer

    def set_level(self, exchange: Exchange) -> None:
        """Tell the servers this session has met; the others hear it when it meets them."""
        level = text(open_fields(exchange.request.params), "level")
        if level not in LEVELS:
            raise InvalidParams(f"level must be one of {', '.join(LEVELS)}")
        guest = self._guests.of(exchange.stay)
        guest.level = level
        for server in guest.met:
            self._tell_level(server, exchange.stay, level)
        exchange.succeed({})

    def _tell_level(self, server: str, session: Session, level: str) -> None:
        told = ask(
            self._servers[server], "logging/setLevel", encode_json({"level": level}), session
        )
        told.addErrback(lambda _: None)  # most servers have no levels


@implementer(IAnswerer)
class _Way:
    """Somewhere to put exchanges."""

    __slots__ = ("begin",)

    def __init__(self, begin: Callable[[Exchange], None]) -> None:
        self.begin = begin
