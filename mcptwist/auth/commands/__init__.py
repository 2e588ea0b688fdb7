"""What `mcptwist` does with keys, from the shell."""
