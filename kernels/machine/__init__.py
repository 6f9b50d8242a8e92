"""What makes plain Python run fast on a processor: compilation, lanes, pages. See the README."""
