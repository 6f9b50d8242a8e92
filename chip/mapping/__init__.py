"""From layer shapes and a chip to a plan: cut, assign to tiles, place on the grid."""
