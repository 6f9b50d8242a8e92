"""What all experiments have."""

from ...missing import absent

__getattr__ = absent(__name__)
