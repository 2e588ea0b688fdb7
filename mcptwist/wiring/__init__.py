"""The parts of the wiring diagram; ``services.py`` joins them into one service."""
