"""aihwkit's errors, by its names: this project's own are among them."""

from crossgrid.emulator.errors import TileError as TileError
from crossgrid.kernels.errors import ConfigError as ConfigError
from crossgrid.kernels.errors import CrossgridError

from .missing import absent

AihwkitException = CrossgridError


class ModuleError(AihwkitException):
    """A layer cannot do this in the state that it is in."""


class TileModuleError(TileError):
    """A tile cannot take this state or configuration."""


class ArgumentError(AihwkitException):
    """An argument that means nothing."""


class CudaError(AihwkitException):
    """A card is asked for that is not there."""


class AnalogBiasConfigError(ConfigError):
    """A bias column where the layer cannot have one."""


class TorchTileConfigError(ConfigError):
    """What the torch tile cannot do."""


class CloudError(AihwkitException):
    """Of the cloud service, which is not here."""


class FusionExportError(CloudError):
    """Of the cloud's chip, which is not here."""


__getattr__ = absent(__name__)
