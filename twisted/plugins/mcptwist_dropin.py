"""Makes ``twistd mcpd`` known to Twisted. Imports nothing of mcptwist's own."""

from twisted.application.service import ServiceMaker

mcpd = ServiceMaker("mcpd", "mcptwist.tap", "Run MCP servers as one supervised daemon.", "mcpd")
