"""Where tiles live, and one layer's tiles seen as a whole."""
