"""What serves a server written in Python; :mod:`mcptwist.server` is the door to it."""
