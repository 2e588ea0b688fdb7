"""What the resources of many servers are called where they are seen as one.

A resource keeps its URI. Only where another server's has the same one already is it given
another: ``mcptwist:NAME/`` before its own, as in ``mcptwist:notes/file:///a.txt``. That is a URI
again, and a URI template where it was one, whose expansions are the prefixed expansions of the
original. So a URI that begins like that is always taken apart the same way, and a server's own
that happens to do so is prefixed like one that is taken. Pure.
"""

from __future__ import annotations

SCHEME = "mcptwist:"


def prefixed(server: str, uri: str) -> str:
    """*uri* with the name of its server, which no other server's can be equal to.

    :param server: its configured name, which has characters only that any URI may have.
    :param uri: a URI or URI template.
    """
    return f"{SCHEME}{server}/{uri}"


def split(public: str) -> tuple[str, str] | None:
    """The server and its own URI that *public* was made of; ``None`` where it has no prefix."""
    if not public.startswith(SCHEME):
        return None
    server, slash, uri = public.removeprefix(SCHEME).partition("/")
    return (server, uri) if server and slash and uri else None
