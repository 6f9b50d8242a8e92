"""Where experiments are run: in this process."""

from ...missing import absent
from .local import LocalRunner as LocalRunner

__getattr__ = absent(__name__)
