"""How servers elsewhere are reached: whom we believe to be the server."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from mcptwist.auth.introduction import introduce
from mcptwist.auth.keyfiles import FileProblem
from mcptwist.auth.pinning import Pinning
from mcptwist.configuration.gateconfig import config_directory
from mcptwist.configuration.reach import Reach
from mcptwist.errors import HostNotTrusted
from mcptwist.interfaces import IConnector
from mcptwist.protocols.remote import AUTO, remote_connector
from mcptwist.protocols.trust import Trust


def make_pinning(reach: Reach, environ: Mapping[str, str] = os.environ) -> Pinning:
    """The keys of servers that are believed."""
    path = reach.known_hosts or os.path.join(config_directory(environ), "known_hosts")
    return Pinning(path, reach.host_keys, reach.accept_new)


def introduce_to(url: str, reach: Reach, environ: Mapping[str, str] = os.environ) -> None:
    """Have the person at the terminal say whether the server at *url* is the one, if need be.

    :raises McpTwistError: it is not, or does not answer.
    """
    try:
        introduce(url, make_pinning(reach, environ), reach.ca)
    except FileProblem as problem:
        raise HostNotTrusted(str(problem)) from None


def make_trust(reach: Reach, environ: Mapping[str, str] = os.environ) -> Trust:
    """Whom we believe to be a server."""
    return Trust(reach.ca, make_pinning(reach, environ))


def way_to(
    url: str,
    reactor: Any,
    headers: Sequence[tuple[str, str]] = (),
    reach: Reach | None = None,
    environ: Mapping[str, str] = os.environ,
    *,
    wire: str = AUTO,
    **more: Any,
) -> IConnector:
    """The way to the server at *url*; see :func:`mcptwist.protocols.remote.remote_connector`."""
    trust = make_trust(reach or Reach(), environ)
    return remote_connector(url, wire, reactor, headers, trust=trust, **more)
