"""Parameters of a chip, a configuration and a mapping, varied: accuracy beside energy, point by point."""
