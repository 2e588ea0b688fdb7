"""mcptwist: a Model Context Protocol daemon on Twisted."""

__version__ = "0.1.0.dev0"
