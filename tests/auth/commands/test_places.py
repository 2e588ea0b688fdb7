"""Where the commands about keys put files, and what they say of it."""

from __future__ import annotations

import os
from contextlib import redirect_stderr
from io import StringIO

from twisted.trial.unittest import SynchronousTestCase

from mcptwist.auth.commands.keycommand import tell_root
from mcptwist.configuration.gateconfig import MACHINE, config_directory


class PlaceTests(SynchronousTestCase):
    def become(self, uid: int) -> None:
        self.patch(os, "geteuid", lambda: uid)

    def said(self, path: str, **environ: str) -> str:
        told = StringIO()
        with redirect_stderr(told):
            tell_root(path, environ)
        return told.getvalue()

    def test_somebody(self) -> None:
        self.become(1000)
        self.assertEqual(config_directory({"HOME": "/home/al"}), "/home/al/.config/mcptwist")
        self.assertEqual(config_directory({"XDG_CONFIG_HOME": "/x"}), "/x/mcptwist")
        self.assertEqual(self.said(f"{MACHINE}/id_ed25519", HOME="/home/al"), "")

    def test_root(self) -> None:
        """Whatever HOME says: sudo may have left it as it was."""
        self.become(0)
        for home in ("/root", "/home/al"):
            self.assertEqual(config_directory({"HOME": home}), MACHINE)
        self.assertEqual(config_directory({"XDG_CONFIG_HOME": "/x"}), "/x/mcptwist")

    def test_root_is_told(self) -> None:
        self.become(0)
        made = f"{MACHINE}/id_ed25519"
        self.assertIn("give --file", self.said(made, HOME="/root"))
        self.assertIn("one of al's own, leave sudo out", self.said(made, SUDO_USER="al"))
        self.assertEqual(self.said("/x/mcptwist/id_ed25519", XDG_CONFIG_HOME="/x"), "")
