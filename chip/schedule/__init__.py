"""When everything on a chip happens: a discrete-event model of a stream of inputs over a plan."""
