"""How a pass goes through a model that is cut into parts, and where the parts begin."""
