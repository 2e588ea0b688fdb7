"""``mcptwist call`` and ``mcptwist list``."""

from __future__ import annotations

import json
import sys

from twisted.python import usage

from mcptwist.auth.commands.reachoptions import CallingOptions


class AskingOptions(CallingOptions):
    """What ``call`` and ``list`` have in common."""

    optParameters = [
        ["config", "c", None, "Start the server for this, from that file; no daemon is needed."],
        ["url", "u", None, "Where the daemon is; otherwise MCPTWIST_URL or http://127.0.0.1:8808."],
    ]
    optFlags = [["json", "j", "Print JSON, for scripts."]]

    def __init__(self) -> None:
        super().__init__()
        self["server"] = self["tool"] = ""
        self["arguments"] = {}

    def postOptions(self) -> None:
        """Called when all options are there."""
        super().postOptions()
        if self["config"] and (self["url"] or self["headers"]):
            raise usage.UsageError("--url and --header go with a daemon, not with --config")

    def ask(self, command: str) -> int:
        """Do it."""
        from mcptwist import asking

        question = asking.Question(
            self["server"],
            self["tool"],
            self["arguments"],
            asking.daemon_url(self["url"]),
            self["config"],
            self["headers"],
            self.reach,
            bool(self["json"]),
        )
        return asking.perform(getattr(asking, command), question)


class CallOptions(AskingOptions):
    """Call a tool and print what it answers. JSON holds its arguments; - reads them from stdin."""

    synopsis = "mcptwist call [options] SERVER TOOL [JSON]"

    def parseArgs(  # type: ignore[override]
        self, server: str, tool: str, arguments: str = "{}"
    ) -> None:
        """Called with what follows the options."""
        self["server"], self["tool"] = server, tool
        text = sys.stdin.read() if arguments == "-" else arguments
        try:
            self["arguments"] = json.loads(text)
        except ValueError as problem:
            raise usage.UsageError(f"the arguments are not JSON: {problem}") from None
        if not isinstance(self["arguments"], dict):
            raise usage.UsageError("the arguments must be a JSON object, such as '{\"a\": 1}'")

    def perform(self) -> int:
        """Call it."""
        return self.ask("call")


class ListOptions(AskingOptions):
    """Print the servers there are, or what one of them has. SERVER may be the URL of any."""

    synopsis = "mcptwist list [options] [SERVER]"

    def parseArgs(self, server: str = "") -> None:
        """Called with what follows the options."""
        self["server"] = server

    def perform(self) -> int:
        """List them."""
        return self.ask("list_servers")
