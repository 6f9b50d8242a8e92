"""Stages: parts of a model, each in a process beside its tiles, which hand their values on to the next."""
