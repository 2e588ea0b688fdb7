"""``python -m mcptwist``."""

from mcptwist.cli import main

main()
