"""From a script for aihwkit to one for this project: what to expect, and the edit."""
