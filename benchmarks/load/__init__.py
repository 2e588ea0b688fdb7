"""The parts of ``mcpload``, a load generator for MCP servers and gateways.

``http1``, ``http2`` and ``websocket`` are the client's ends of the wires, ``calls`` is what is
said over them, ``sessions`` is one client's stay on each transport, ``processes`` is what the
gateway used meanwhile.  Standard library only, on asyncio, so that nothing of the daemon under
test takes part in testing it.
"""


class Failure(Exception):
    """An exchange that did not go as it should; its text is what is counted."""
