"""The page about the audit log has the events that there are, and no others."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import mcptwist
from mcptwist.auth.realm import CERTIFICATE, LOCAL, TICKET

ROOT = Path(mcptwist.__file__).parent
PAGE = ROOT.parent / "docs" / "auth" / "audit.rst"
EVENT = r"auth\.[a-z]+(?:\.[a-z_]+)?|mcp\.(?:allowed|denied)"
#: Events whose names are put together in the code.
MADE = {f"auth.{via}.ok" for via in (CERTIFICATE, LOCAL, TICKET)} | {"mcp.allowed", "mcp.denied"}


class PageTests(SynchronousTestCase):
    def test_events(self) -> None:
        code = "".join(path.read_text() for path in (ROOT / "auth").rglob("*.py"))
        told = set(re.findall(rf'"({EVENT})"', code)) | MADE
        self.assertEqual(set(re.findall(rf"``({EVENT})``", PAGE.read_text())), told)
