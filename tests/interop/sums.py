"""A server in the daemon's own process, with one tool."""

from __future__ import annotations

from mcptwist.server import Server

sums = Server("sums", version="1")


@sums.tool
def add(numbers: list[float]) -> str:
    """Add numbers."""
    return str(sum(numbers))
