"""The commands as processes of their own."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from subprocess import PIPE, Popen

from twisted.trial.unittest import SynchronousTestCase


class PipeTests(SynchronousTestCase):
    """Reading no further than one likes."""

    def test_head(self) -> None:
        """Whoever stops reading gets no traceback."""
        read, write = os.pipe()
        os.close(read)
        path = Path(self.mktemp() + ".json")
        path.write_text('{"mcpServers":{"a":{"command":5}}}', encoding="utf-8")
        command = [sys.executable, "-m", "mcptwist", "check", str(path)]
        process = Popen(command, stdout=write, stderr=PIPE)
        os.close(write)
        _, said = process.communicate(timeout=60)
        self.assertEqual((said, process.returncode), (b"", 1))
