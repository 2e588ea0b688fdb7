"""Learning a server's next key over a connection on which the present one is known.

OpenSSH's ``UpdateHostKeys``: a server that is going to have another key says so beforehand, signed
with both (``docs/auth/host-keys.rst``). What it says is worth something only when it comes from
whom we know: a server that was met for the first time by the word of an issuer teaches nothing.
Whatever goes wrong changes nothing, and is told to the log.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IAgent

from mcptwist.auth.asking.knownhosts import KnownHosts
from mcptwist.auth.hostkeys import LARGEST, PATH, StatementRefused, read_statement
from mcptwist.auth.keyfiles import FileProblem
from mcptwist.auth.keys import PublicKey
from mcptwist.auth.keystore import KeyList
from mcptwist.errors import McpTwistError
from mcptwist.protocols.bodies import WholeBody, drop

OFTEN = 86400.0
"""Seconds between two questions to one host."""
_PATIENCE = 20.0
_HTTPS = 443


class KeyLearner:
    """Asks servers that are known what their keys will be.

    :param path: ``known_hosts``.
    :param agent: asks; it judges whom it asks, as every connection does.
    :param wall: seconds since 1970.
    """

    log = Logger()

    def __init__(
        self, path: str, agent: IAgent, clock: IReactorTime, wall: Callable[[], float]
    ) -> None:
        self._path = path
        self._agent = agent
        self._clock = clock
        self._wall = wall
        self._asked: dict[tuple[str, int], float] = {}

    def recognised(self, host: str, port: int, key: PublicKey) -> None:
        """A server has just shown the key it is known by."""
        now = self._clock.seconds()
        last = self._asked.get((host, port))
        if last is not None and now - last < OFTEN:
            return
        self._asked[host, port] = now
        # The handshake in which this is told is not over yet.
        self._clock.callLater(0, self._begin, host, port, key)

    def _begin(self, host: str, port: int, key: PublicKey) -> None:
        asking = Deferred.fromCoroutine(self._ask(host, port, key))
        asking.addTimeout(_PATIENCE, self._clock)
        asking.addErrback(self._failed, host)

    async def _ask(self, host: str, port: int, key: PublicKey) -> None:
        name = f"[{host}]" if ":" in host else host
        issuer = f"https://{name}" if port == _HTTPS else f"https://{name}:{port}"
        response: Any = await self._agent.request(b"GET", f"{issuer}{PATH}".encode())
        if response.code != 200:
            drop(response)
            return
        body = WholeBody(LARGEST)
        response.deliverBody(body)
        found = read_statement(await body.done, key, issuer, self._wall())
        keys = [found.current, *([found.following] if found.following else [])]
        self._learn(host, port, keys)

    def _learn(self, host: str, port: int, keys: list[PublicKey]) -> None:
        def updated(text: str) -> str:
            return KnownHosts(text).updated(host, port, keys)

        if KeyList(self._path).rewrite(updated):
            self.log.info(
                "{host} is known by these keys from now on: {keys}",
                host=f"{host}:{port}",
                keys=" ".join(key.fingerprint for key in keys),
            )

    def _failed(self, failure: Failure, host: str) -> None:
        if failure.check(StatementRefused, FileProblem):
            self.log.warn("{host}: {why}", host=host, why=failure.getErrorMessage())
        elif not failure.check(McpTwistError):
            self.log.debug("{host}: {why}", host=host, why=failure.getErrorMessage())
