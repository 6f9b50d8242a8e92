"""What scripts use of torchvision, without downloads: pictures are drawn, models are small."""

from . import datasets as datasets
from . import models as models
from . import transforms as transforms
from . import utils as utils
