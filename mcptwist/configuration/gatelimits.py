"""The sections ``[auth.limits]`` and ``[auth.penalties]``: how much may wait at the gate, be given
out and be remembered, and what failures cost. Pure.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from mcptwist.configuration.settings import Key, Place, Reader, count, seconds

__all__ = ["GateLimits", "PenaltyRules"]


def _between(least: float, most: float, told: str) -> Reader:
    """A reader of a length of time within bounds.

    :param told: the bounds, in words.
    """

    def read(place: Place, value: Any) -> float | None:
        found = seconds(place, value)
        if found is not None and not least <= found <= most:
            place.mistake("is out of range", f"a length of time from {told}")
            return None
        return found

    return read


class GateLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The ``[auth.limits]`` section."""

    tokens: Annotated[int, Key(count, "tokens that are good at a time; 503 beyond")] = 100_000
    tokens_per_key: Annotated[
        int, Key(count, "the same, of one key; beyond, its oldest token ends")
    ] = 64
    tickets: Annotated[int, Key(count, "tickets that nobody has used yet; 503 beyond")] = 10_000
    tickets_per_key: Annotated[
        int, Key(count, "the same, of one key; beyond, its oldest ticket ends")
    ] = 16
    uses: Annotated[
        int, Key(count, "assertions and proofs remembered, for each is good once; 503 beyond")
    ] = 100_000
    uses_per_key: Annotated[int, Key(count, "the same, of one key")] = 25_000
    keys_per_principal: Annotated[
        int, Key(count, "keys of one name, each of which may have to be tried; more are refused")
    ] = 16
    rate: Annotated[
        int, Key(count, "tokens and tickets that one address may ask for a second; 429 beyond")
    ] = 10
    burst: Annotated[int, Key(count, "and how many at once")] = 50
    assertion_lifetime: Annotated[
        float,
        Key(
            _between(10, 3600, "ten seconds to one hour"),
            "an assertion may be good for so long, and is remembered for it; 401 beyond",
            "seconds",
        ),
    ] = 300.0
    clock_skew: Annotated[
        float,
        Key(
            _between(1, 300, "one second to five minutes"),
            "by which clients' clocks may be wrong in assertions; 401 beyond",
            "seconds",
        ),
    ] = 30.0
    tasks: Annotated[
        int, Key(count, "tasks of servers remembered as their callers'; beyond, the oldest is lost")
    ] = 100_000
    proof_age: Annotated[
        float,
        Key(
            _between(5, 300, "five seconds to five minutes"),
            "the same in proofs of possession, where they need hold no nonce of ours",
            "seconds",
        ),
    ] = 60.0
    signatures: Annotated[
        int, Key(count, "signed requests remembered, for each is good once; 503 beyond")
    ] = 200_000
    signatures_per_key: Annotated[int, Key(count, "the same, of one key")] = 50_000
    signature_age: Annotated[
        float,
        Key(
            _between(5, 300, "five seconds to five minutes"),
            "a signed request may be under way for so long, and is remembered for it; 401 beyond",
            "seconds",
        ),
    ] = 300.0
    proving: Annotated[
        float,
        Key(
            _between(1, 120, "one second to two minutes"),
            "a WebSocket's client has so long to prove who it is; closed with 4408 then",
            "seconds",
        ),
    ] = 10.0


class PenaltyRules(msgspec.Struct, frozen=True, kw_only=True):
    """The ``[auth.penalties]`` section, which is sshd's ``PerSourcePenalties``."""

    login: Annotated[
        float, Key(seconds, "what an assertion or a proof costs that is not good", "seconds")
    ] = 5.0
    token: Annotated[
        float, Key(seconds, "what a token, ticket or certificate costs that is none", "seconds")
    ] = 5.0
    ended: Annotated[
        float, Key(seconds, "what a token or a ticket costs that was good once", "seconds")
    ] = 0.2
    silence: Annotated[
        float, Key(seconds, "what it costs to open a WebSocket and prove nothing", "seconds")
    ] = 2.0
    threshold: Annotated[
        float, Key(seconds, "all costs of an address are waited for once they sum up to", "seconds")
    ] = 15.0
    longest: Annotated[float, Key(seconds, "the longest wait", "seconds")] = 600.0
    sources: Annotated[int, Key(count, "addresses remembered; beyond, the oldest is forgotten")] = (
        65_536
    )
