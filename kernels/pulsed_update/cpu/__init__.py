"""The pulsed update on CPUs (numba): train lengths, trains, coincidences, steps."""
