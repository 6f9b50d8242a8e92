"""What aihwkit says of its compiled library. There is none here; on cards, ``emulate(device="cuda")``."""

from ..missing import absent


class cuda:
    """What the C++ library can do with cards."""

    @staticmethod
    def is_compiled() -> bool:
        """Whether layers themselves can be moved to a card; here ``emulate`` moves their tiles."""
        return False


__getattr__ = absent(__name__)
