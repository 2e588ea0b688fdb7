"""The client that the official conformance suite starts: ``mcptwist connect``, and who talks to it.

It is a host of MCP servers as any, which knows nothing of tokens: it has ``mcptwist connect`` as a
stdio server, lists its tools and calls one. The suite says in ``MCP_CONFORMANCE_CONTEXT`` who we
are where we are somebody, and gives the URL as the last argument. The person who is asked to log
in has :mod:`tests.interop.conformance_browser` for a browser.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

DOCUMENT = "https://conformance-test.local/client-metadata.json"
"""What the suite expects as the URL of our document, where it takes one."""
SCENARIO = "MCP_CONFORMANCE_SCENARIO"


def options(context: dict[str, Any], place: Path) -> list[str]:
    """What a person would say on the command line, knowing what the suite told."""
    said = []
    if "private_key_pem" in context:
        said += ["--identity", secret(place / "key.pem", context["private_key_pem"])]
        said += ["--principal", context["client_id"]]
    elif "client_id" in context:
        said += ["--client-id", context["client_id"]]
    if "client_secret" in context:
        said += ["--client-secret-file", secret(place / "secret", context["client_secret"])]
    if "issuer" in context:
        said += ["--issuer", context["issuer"]]
    if os.environ.get(SCENARIO) == "auth/basic-cimd":
        said += ["--client-id", DOCUMENT]
    return said


def secret(path: Path, text: str) -> str:
    path.touch(0o600)
    path.write_text(text)
    return str(path)


class Host:
    """Whoever has ``mcptwist connect`` as a server.

    :param environ: of that process.
    """

    def __init__(self, argv: list[str], environ: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ, text=True
        )
        self._asked = 0

    def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """What is answered to a request."""
        self._asked += 1
        self.tell(method, params, id=self._asked)
        assert self._process.stdout is not None
        for line in self._process.stdout:
            answer: dict[str, Any] = json.loads(line)
            if answer.get("id") == self._asked and "method" not in answer:
                return answer
        raise EOFError

    def tell(self, method: str, params: dict[str, Any], **more: Any) -> None:
        """Say something."""
        assert self._process.stdin is not None
        message = {"jsonrpc": "2.0", "method": method, "params": params, **more}
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()

    def leave(self) -> int:
        """The exit status of the server, after its client has left."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self._process.wait(20)


def talk(host: Host) -> list[dict[str, Any]]:
    """What hosts do with every server."""
    about = {"name": "conformance", "version": "1"}
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": about}
    answers = [host.ask("initialize", hello)]
    if "result" in answers[0]:
        host.tell("notifications/initialized", {})
        answers += [host.ask("tools/list", {})]
        answers += [host.ask("tools/call", {"name": "test-tool", "arguments": {}})]
    return answers


def main() -> int:
    """Ask the server at that URL what it has."""
    context = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT") or "{}")
    browser = Path(__file__).with_name("conformance_browser.py")
    with tempfile.TemporaryDirectory() as place:
        environ = {**os.environ, "XDG_CONFIG_HOME": place, "HOME": place}
        environ["BROWSER"] = f"{sys.executable} {browser} %s"
        argv = [sys.executable, "-m", "mcptwist", "connect", *options(context, Path(place))]
        host = Host([*argv, sys.argv[-1]], environ)
        answers = talk(host)
        status = host.leave()
    failed = [answer["error"] for answer in answers if "error" in answer]
    print(*failed, sep="\n", file=sys.stderr)
    return status or len(failed)


if __name__ == "__main__":
    sys.exit(main())
