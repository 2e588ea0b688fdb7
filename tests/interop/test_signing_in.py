"""Our own client, which signs in with a key, against the servers of the conformance suite."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.interop import conformance_client
from tests.interop.rig import InteropCase, node
from tests.interop.test_conformance import PACKAGE, checks_in, shortcomings


class SigningInTests(InteropCase):
    environments = ("node",)

    async def test_client_credentials_with_a_signed_assertion(self) -> None:
        """``auth/client-credentials-jwt`` (SEP-1046), without a warning."""
        scenario, results = "auth/client-credentials-jwt", self.place / "results"
        command = f"{sys.executable} {Path(conformance_client.__file__).resolve()}"
        program = str(PACKAGE / "dist" / "index.js")
        argv = [node(), program, "client", "--command", command, "--scenario", scenario]
        ending = await self.run_program([*argv, "-o", str(results)], within=120.0)
        found = [check for checks in checks_in(results).values() for check in checks]
        self.assertEqual(list(shortcomings(scenario, found)), [], ending.said())
        self.assertEqual(ending.code, 0, ending.said())
        self.assertIn("client-credentials-jwt-verified", {check.id for check in found})
