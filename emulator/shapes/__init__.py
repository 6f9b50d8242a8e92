"""From a torch model to the shapes that a mapper takes."""
