"""The pulsed update: ``naive`` (numpy), ``cpu`` (numba) and ``cuda`` (Triton), the same signature."""
