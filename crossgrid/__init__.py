"""crossgrid: a distributed emulator of analog crossbar chips."""
