"""Who is let in: the keys that stand before the daemon, and what needs none."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from typing import Any

from mcptwist.auth.denials import CannotStart
from mcptwist.auth.gatehouse import Gatehouse
from mcptwist.auth.keydesk import Desk
from mcptwist.config import Config
from mcptwist.configuration.listening import is_local, is_mutual
from mcptwist.daemon import Daemon
from mcptwist.protocols.machine import process_start
from mcptwist.protocols.pages import Answering
from mcptwist.wiring.premises import Premises


class Exposed(CannotStart):
    """The daemon would be open to a network, and would not know who is calling."""


def refuse_exposure(config: Config) -> None:
    """:raises Exposed: it would listen on more than this machine without keys, or ask for keys."""
    if config.auth is not None:
        return
    exposed = [entry for entry in config.endpoints.values() if not is_local(entry)]
    if exposed:
        raise Exposed(f"{exposed[0]} is open to the network, and nothing is said of auth")
    mutual = [entry for entry in config.endpoints.values() if is_mutual(entry)]
    if mutual:
        raise Exposed(f"{mutual[0]} asks clients for keys, and nothing is said of auth")


def make_gatehouse(daemon: Daemon, premises: Premises) -> Gatehouse | None:
    """What stands before the daemon, where keys are wanted."""
    auth = premises.config.auth
    if auth is None:
        return None
    gatehouse = Gatehouse(
        auth,
        premises.reactor,
        secrets.token_bytes,
        born=process_start(),
        environ=premises.environ,
        monotonic=time.monotonic,
    )
    gatehouse.watch(daemon.concourse.sessions)
    gatehouse.setServiceParent(daemon)
    daemon.counters["auth"] = gatehouse.census
    daemon.gauges = gatehouse.census.gauges
    return gatehouse


def make_desk(daemon: Daemon, premises: Premises, gatehouse: Gatehouse | None) -> Desk | None:
    """Where keys are looked up and revoked, if there are any."""
    auth = premises.config.auth
    if gatehouse is None or auth is None:
        return None

    def identities() -> list[str]:
        return [session.principal for session in daemon.concourse.sessions]

    def idle() -> Iterator[tuple[str, float]]:
        now = premises.reactor.seconds()
        for session in daemon.concourse.sessions:
            yield session.principal, now - session.last_used
        for listener in daemon.all_listeners():
            connections: list[Any] = list(listener.factory.connections)
            for meter in (connection.meter for connection in connections):
                yield getattr(meter.stay, "principal", ""), now - meter.last_used(now)

    _, revoked = auth.paths(premises.environ)
    return Desk(
        gatehouse.books.keyring,
        gatehouse.files,
        revoked,
        identities,
        time.time,
        gatehouse.guests,
        gatehouse.books.guestbook,
        idle,
        gatehouse.audit.journal,
        None if gatehouse.people is None else gatehouse.people.approvals,
    )


def public_pages(daemon: Daemon) -> dict[bytes, Any]:
    """What anybody may ask: whether the daemon is well, and not what it serves."""

    def ready() -> tuple[int, Any]:
        status, report = daemon.ready()
        return status, {"status": report["status"]}

    return {b"health": Answering(daemon.health), b"ready": Answering(ready)}
