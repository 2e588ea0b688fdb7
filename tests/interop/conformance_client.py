"""The client that the official conformance suite starts: ``mcptwist list`` with the key it gives.

The suite says in ``MCP_CONFORMANCE_CONTEXT`` who we are and gives the private key as PEM; the URL
is the last argument.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile


def main() -> int:
    """Ask the server at that URL what it has."""
    context = json.loads(os.environ["MCP_CONFORMANCE_CONTEXT"])
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as key:  # nobody else can read it
        key.write(context["private_key_pem"])
        key.flush()
        argv = [sys.executable, "-m", "mcptwist", "list", sys.argv[-1], "--identity", key.name]
        return subprocess.run([*argv, "--principal", context["client_id"]], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
