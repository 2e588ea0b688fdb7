"""The authorization server that lives in the daemon."""
