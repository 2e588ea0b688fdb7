"""What must be in no output: the forms that secrets have, whoever made them."""

from __future__ import annotations

import re

#: Tokens and codes of ours, a ticket as it is offered, a JWS with its signature, a private key as a
#: JWK and as PEM.
SECRET = re.compile(
    r"mcp_[a-z]{2}_[A-Za-z0-9_-]{20}"
    r"|mcp\.ticket\.[A-Za-z0-9_-]{43}"
    r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"
    r'|"d" ?: ?"[A-Za-z0-9_-]{43}'
    r"|BEGIN [A-Z ]*PRIVATE KEY"
)


def secrets_in(said: str) -> list[str]:
    """What of *said* is secret, as far as one can see it; its beginnings only."""
    return [found[0][:12] for found in SECRET.finditer(said)]
