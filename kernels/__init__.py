"""Arrays in, arrays out: random numbers, devices, the pulsed update and the analog product."""
