"""mcptwist: a Model Context Protocol daemon on Twisted."""
