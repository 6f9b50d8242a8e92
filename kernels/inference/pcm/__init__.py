"""The law of phase-change memory, for noise models and for weight modifiers."""
