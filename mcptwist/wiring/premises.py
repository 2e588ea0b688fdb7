"""What everything is put together from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import mcptwist
from mcptwist.config import Config
from mcptwist.errors import HostNotTrusted
from mcptwist.protocols.h2limits import HTTP2ClientCounters
from mcptwist.server import Server

IDENTITY = {"name": "mcptwist", "version": mcptwist.__version__}
"""What the daemon calls itself, to clients and to servers."""


@dataclass(frozen=True)
class Premises:
    """What every part of the daemon may be made of.

    :ivar config: checked values.
    :ivar reactor: everything that waits, listens or launches goes by it.
    :ivar environ: from which children inherit what their configuration names.
    :ivar own: servers that the application around us has made, by their names in *config*.
    :ivar distrusted: told when a server elsewhere shows a key that is not to be believed.
    :ivar http2_client: what is counted of HTTP/2 connections to servers.
    """

    config: Config
    reactor: Any
    environ: Mapping[str, str]
    distrusted: Callable[[HostNotTrusted], object] = lambda problem: None
    http2_client: HTTP2ClientCounters = field(default_factory=HTTP2ClientCounters)
    own: Mapping[str, Server] = field(default_factory=dict)
