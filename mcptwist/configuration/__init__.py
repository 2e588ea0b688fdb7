"""How a configuration is read; :mod:`mcptwist.config` is the door to it."""
