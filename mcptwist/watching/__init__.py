"""Looking at the daemon: what is counted, what is shown, and what can be done to it."""
