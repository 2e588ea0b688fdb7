"""``mcptwist.configuration.described``: a server, in words fit for anyone's eyes."""

from __future__ import annotations

from typing import Any

from mcptwist.configuration.described import described
from tests.configuration.test_serverconfig import Reading as _Reading


class DescribedTests(_Reading):
    """What is told of a table."""

    def told(self, table: Any, **environ: str) -> dict[str, str]:
        return described(self.good(table, **environ))

    def test_as_it_would_be_anyway(self) -> None:
        """Only how it is reached, where nothing else was said."""
        self.assertEqual(self.told({"command": "cat", "args": ["-u"]}), {"reached": "cat -u"})

    def test_what_was_said(self) -> None:
        """Whatever is not as it would be anyway."""
        table = {
            "command": "cat",
            "timeout": 5,
            "scope": "session",
            "restart": {"policy": "never"},
            "tools": {"allow": ["a*", "b"]},
        }
        told = self.told(table)
        self.assertEqual((told["timeout"], told["scope"]), ("5", "session"))
        self.assertIn("policy never", told["restart"])
        self.assertIn("a*, b", told["tools"])

    def test_secrets(self) -> None:
        """Of variables and headers the names alone, and no secret anywhere."""
        table = {
            "command": "cat",
            "args": ["--token", "hunter2hunter2"],
            "env": {"API_KEY": "hunter2hunter2", "PLACE": "here"},
            "cwd": "/srv/hunter2hunter2",
        }
        told = self.told(table)
        self.assertEqual(told["env"], "API_KEY, PLACE")
        self.assertNotIn("hunter2", str(told))
        told = self.told(
            {"url": "https://x.example/mcp?key=hunter2hunter2", "headers": {"X-Key": "hunter2"}}
        )
        self.assertEqual(told["headers"], "X-Key")
        self.assertNotIn("hunter2", str(told))
