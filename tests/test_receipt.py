"""``mcptwist.receipt``: what is printed when the daemon has started."""

from __future__ import annotations

import json
import re
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from mcptwist.receipt import receipt

URL = "http://127.0.0.1:8808"


def snippet(text: str) -> Any:
    """The JSON that is there to be pasted."""
    found = re.search(r"^  \{\n.*?^  \}$", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    return json.loads(found[0])


class ReceiptTests(SynchronousTestCase):
    """A receipt, not a log."""

    def test_one_server(self) -> None:
        """Where it is, under the server's own name, and how to stop it."""
        text = receipt([URL], ["time"])
        self.assertIn(f"  {URL}/mcp\n", text)
        self.assertIn("Ctrl-C", text)
        expected = {"mcpServers": {"time": {"type": "http", "url": f"{URL}/mcp"}}}
        self.assertEqual(snippet(text), expected)

    def test_several(self) -> None:
        """All of them as one, and each by itself, on each endpoint."""
        text = receipt([URL, "http://[::1]:8808"], ["a", "b"])
        for url in (URL, "http://[::1]:8808"):
            for path in ("/mcp ", "/servers/a/mcp\n", "/servers/b/mcp\n"):
                self.assertIn(url + path, text)
        self.assertEqual(list(snippet(text)["mcpServers"]), ["mcptwist"])

    def test_other_wires(self) -> None:
        """Where clients of the other wires come to, encrypted where the endpoint is."""
        text = receipt([URL, "https://[::1]:8443", "unix:/run/mcpd"], ["a"], wires=["ws", "sse"])
        places = [line.split()[0] for line in text.splitlines() if line.startswith("  ")]
        self.assertEqual(
            places[:7],
            [
                f"{URL}/mcp",
                "ws://127.0.0.1:8808/ws",
                f"{URL}/sse",
                "https://[::1]:8443/mcp",
                "wss://[::1]:8443/ws",
                "https://[::1]:8443/sse",
                "unix:/run/mcpd",
            ],
        )

    def test_keys_are_wanted(self) -> None:
        """Clients that cannot sign in start something that can."""
        text = receipt([URL], ["time"], known_as="https://mcp.example.com")
        server = {"command": "mcptwist", "args": ["connect", "https://mcp.example.com/mcp"]}
        self.assertEqual(snippet(text), {"mcpServers": {"time": server}})

    def test_logging_in(self) -> None:
        """Where browsers are let in, it says what their programs need, and what to do then."""
        for logs_in in (True, False):
            text = receipt([URL], ["time"], known_as="https://mcp.example.com", logs_in=logs_in)
            self.assertEqual("mcptwist approve CODE" in text, logs_in)
            self.assertEqual("need https://mcp.example.com/mcp" in text, logs_in)

    def test_broken(self) -> None:
        """Servers that are not served are named, with the reason."""
        self.assertIn("odd: command is missing", receipt([URL], [], ["odd: command is missing"]))

    def test_no_url(self) -> None:
        """Where there is no URL there is nothing to paste."""
        for urls in ([], ["unix:/run/mcpd"]):
            self.assertNotIn("mcpServers", receipt(urls, ["time"]))
