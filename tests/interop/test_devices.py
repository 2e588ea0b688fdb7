"""A real client that knows no keys logs in with a code that a person approves."""

from __future__ import annotations

import json
import sys
from typing import Any

from mcptwist.auth.keys import ED25519
from tests.interop import test_auth
from tests.interop.install import ENVIRONMENTS
from tests.interop.rig import node
from tests.patience import SECONDS

HELLO = {
    "protocolVersion": test_auth.LEGACY,
    "capabilities": {},
    "clientInfo": {"name": "x", "version": "1"},
}
MESSAGES: tuple[dict[str, Any], ...] = (
    {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HELLO},
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
    {
        "jsonrpc": "2.0",
        "id": 2,
        "method": "tools/call",
        "params": {"name": "add", "arguments": {"numbers": [1, 2]}},
    },
)


class McpRemoteTests(test_auth.KeyCase):
    """``mcp-remote --device-code``, as it is."""

    environments = ("node",)

    async def test_device_code(self) -> None:
        await self.start_closed(ED25519, people=True)
        file = self.place / "id"
        file.write_bytes(self.key.openssh())
        file.chmod(0o600)
        remote = str(ENVIRONMENTS["node"].home / "node_modules/mcp-remote/dist/proxy.js")
        argv = [node(), remote, f"{self.base}/mcp", "--device-code", "--allow-http"]
        home = {"HOME": str(self.place), "MCP_REMOTE_CONFIG_DIR": str(self.place / "remote")}
        program = self.start(argv, home)
        assert program.transport is not None
        heard = await program.when_said(r"user_code=([A-Z-]{9})", SECONDS)
        approving = [sys.executable, "-m", "mcptwist", "approve", heard.group(1), "--yes"]
        ending = await self.run_program([*approving, "--url", self.base, "-i", str(file)])
        self.assertEqual(ending.out, "approved: it may mcp:read mcp:call as alice\n", ending.said())
        await program.when_said("Proxy established", SECONDS)
        for message in MESSAGES:
            program.transport.write(json.dumps(message).encode() + b"\n")
            if "id" in message:
                heard = await program.when_said(rf'(?m)^{{.*"id":{message["id"]}\b.*}}$', SECONDS)
        answer = json.loads(heard.group(0))
        program.transport.closeStdin()
        self.assertEqual(answer["result"]["content"][0]["text"], "3.0")
        (issued,) = self.audited("auth.token.issued")
        self.assertEqual(issued["principal"], "alice")
        self.assertEqual(len(self.audited("mcp.allowed")), 1)
        self.assert_nothing_secret()
