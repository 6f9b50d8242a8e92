"""What is run."""

from ...missing import absent

__getattr__ = absent(__name__)
