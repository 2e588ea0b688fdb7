"""Many servers as one: what they list, what it is called there, and whose it is."""
