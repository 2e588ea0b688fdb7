"""The window: seeing and steering a running daemon from a terminal."""
