"""The wires: the only place that touches network and processes."""
