"""The commands about keys."""

from __future__ import annotations

from mcptwist.auth.authorizecommands import AuthorizeOptions, RevokeOptions
from mcptwist.auth.keycommands import KeygenOptions, KeyOptions, KeyscanOptions

COMMANDS = [
    ["keygen", None, KeygenOptions, "Make a key."],
    ["key", None, KeyOptions, "Look at a key."],
    ["authorize", None, AuthorizeOptions, "Say who is let in."],
    ["revoke", None, RevokeOptions, "Let a key in nowhere any more."],
    ["keyscan", None, KeyscanOptions, "Print the key that a host shows."],
]
"""For the command line."""
