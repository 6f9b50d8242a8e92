"""Well-known models as layer shapes: no weights, no torch. An input is one image, or one token where said."""

from __future__ import annotations

from collections.abc import Callable

from ..chip.plan import Convolution, LayerShape
from ..kernels.errors import unknown


def zoo_layers(name: str) -> tuple[LayerShape, ...]:
    """The layers of a model of the zoo, in the order in which they work."""
    if name not in ZOO:
        raise unknown("model", name, ZOO)
    return ZOO[name]()


def _conv(
    name: str, channels: int, out: int, kernel: int, size: int, stride: int = 1, padding: int | None = None,
    pooled: bool = False,
) -> LayerShape:  # fmt: skip
    """A convolution of square images; padding keeps the size by default."""
    pad = kernel // 2 if padding is None else padding
    side = (size + 2 * pad - kernel) // stride + 1
    shape = Convolution(channels, (kernel, kernel), (stride, stride), (size, size), (side, side), pooled)
    return LayerShape(name, out, channels * kernel * kernel, side * side, shape)


def lenet5() -> tuple[LayerShape, ...]:
    """LeNet5 as the field trains it on MNIST (Gokmen et al., Front. Neurosci. 2017)."""
    return (
        _conv("conv1", 1, 16, 5, 28, padding=0, pooled=True),
        _conv("conv2", 16, 32, 5, 12, padding=0, pooled=True),
        LayerShape("fc1", 128, 512),
        LayerShape("fc2", 10, 128),
    )


def vgg8() -> tuple[LayerShape, ...]:
    """NeuroSim's VGG-8 for CIFAR-10 (Peng et al., IEDM 2019)."""
    return (
        _conv("conv1", 3, 128, 3, 32),
        _conv("conv2", 128, 128, 3, 32, pooled=True),
        _conv("conv3", 128, 256, 3, 16),
        _conv("conv4", 256, 256, 3, 16, pooled=True),
        _conv("conv5", 256, 512, 3, 8),
        _conv("conv6", 512, 512, 3, 8, pooled=True),
        LayerShape("fc1", 1024, 8192),
        LayerShape("fc2", 10, 1024),
    )


def resnet9() -> tuple[LayerShape, ...]:
    """A ResNet-9 for CIFAR-10 of 1.84 M weights, after the one on the HERMES chip (1.87 M).

    The publication gives the number of weights, not the widths; these come within 2 %.
    """
    return (
        _conv("conv1", 3, 56, 3, 32),
        _conv("block1.conv1", 56, 56, 3, 32),
        _conv("block1.conv2", 56, 56, 3, 32),
        _conv("block2.conv1", 56, 112, 3, 32, stride=2),
        _conv("block2.conv2", 112, 112, 3, 16),
        _conv("block2.shortcut", 56, 112, 1, 32, stride=2),
        _conv("block3.conv1", 112, 224, 3, 16, stride=2),
        _conv("block3.conv2", 224, 224, 3, 8),
        _conv("block3.shortcut", 112, 224, 1, 16, stride=2),
        _conv("block4.conv1", 224, 224, 3, 8),
        _conv("block4.conv2", 224, 224, 3, 8, pooled=True),
        LayerShape("fc", 10, 224),
    )


def resnet18() -> tuple[LayerShape, ...]:
    """ResNet-18 for ImageNet (He et al., CVPR 2016), names as torchvision's."""
    layers = [_conv("conv1", 3, 64, 7, 224, stride=2, padding=3, pooled=True)]
    channels, size = 64, 56
    for stage, width in enumerate((64, 128, 256, 512), start=1):
        for block in range(2):
            stride = 2 if stage > 1 and block == 0 else 1
            name = f"layer{stage}.{block}"
            layers.append(_conv(f"{name}.conv1", channels, width, 3, size, stride=stride))
            layers.append(_conv(f"{name}.conv2", width, width, 3, size // stride))
            if stride == 2:
                layers.append(_conv(f"{name}.downsample.0", channels, width, 1, size, stride=2))
            channels, size = width, size // stride
    return (*layers, LayerShape("fc", 1000, 512))


def resnet50() -> tuple[LayerShape, ...]:
    """ResNet-50 for ImageNet (He et al., CVPR 2016; stride in the 3 x 3 layer), names as torchvision's."""
    layers = [_conv("conv1", 3, 64, 7, 224, stride=2, padding=3, pooled=True)]
    channels, size = 64, 56
    for stage, (width, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), start=1):
        for block in range(blocks):
            stride = 2 if stage > 1 and block == 0 else 1
            name = f"layer{stage}.{block}"
            layers.append(_conv(f"{name}.conv1", channels, width, 1, size))
            layers.append(_conv(f"{name}.conv2", width, width, 3, size, stride=stride))
            layers.append(_conv(f"{name}.conv3", width, 4 * width, 1, size // stride))
            if block == 0:
                layers.append(_conv(f"{name}.downsample.0", channels, 4 * width, 1, size, stride=stride))
            channels, size = 4 * width, size // stride
    return (*layers, LayerShape("fc", 1000, 2048))


def bert_base() -> tuple[LayerShape, ...]:
    """BERT-base (Devlin et al., 2019); an input is a sequence of 128 tokens."""
    tokens = 128
    layers = []
    for k in range(12):
        name = f"encoder.layer.{k}"
        for part in ("query", "key", "value"):
            layers.append(LayerShape(f"{name}.attention.self.{part}", 768, 768, tokens))
        layers.append(LayerShape(f"{name}.attention.output.dense", 768, 768, tokens))
        layers.append(LayerShape(f"{name}.intermediate.dense", 3072, 768, tokens))
        layers.append(LayerShape(f"{name}.output.dense", 768, 3072, tokens))
    return (*layers, LayerShape("pooler.dense", 768, 768))


def gpt2() -> tuple[LayerShape, ...]:
    """GPT-2 small (Radford et al., 2019) with its output layer; an input is one token."""
    layers = []
    for k in range(12):
        name = f"transformer.h.{k}"
        layers.append(LayerShape(f"{name}.attn.c_attn", 2304, 768))
        layers.append(LayerShape(f"{name}.attn.c_proj", 768, 768))
        layers.append(LayerShape(f"{name}.mlp.c_fc", 3072, 768))
        layers.append(LayerShape(f"{name}.mlp.c_proj", 768, 3072))
    return (*layers, LayerShape("lm_head", 50257, 768))


def _llama(depth: int, hidden: int, key_value: int, wide: int) -> tuple[LayerShape, ...]:
    layers = []
    for k in range(depth):
        name = f"model.layers.{k}"
        layers.append(LayerShape(f"{name}.self_attn.q_proj", hidden, hidden))
        layers.append(LayerShape(f"{name}.self_attn.k_proj", key_value, hidden))
        layers.append(LayerShape(f"{name}.self_attn.v_proj", key_value, hidden))
        layers.append(LayerShape(f"{name}.self_attn.o_proj", hidden, hidden))
        layers.append(LayerShape(f"{name}.mlp.gate_proj", wide, hidden))
        layers.append(LayerShape(f"{name}.mlp.up_proj", wide, hidden))
        layers.append(LayerShape(f"{name}.mlp.down_proj", hidden, wide))
    return (*layers, LayerShape("lm_head", 32000, hidden))


def llama_2_7b() -> tuple[LayerShape, ...]:
    """Llama 2 7B (Touvron et al., 2023) with its output layer; an input is one token."""
    return _llama(32, 4096, 4096, 11008)


def llama_2_70b() -> tuple[LayerShape, ...]:
    """Llama 2 70B (Touvron et al., 2023) with its output layer; an input is one token."""
    return _llama(80, 8192, 1024, 28672)


ZOO: dict[str, Callable[[], tuple[LayerShape, ...]]] = {
    "lenet5": lenet5,
    "vgg8": vgg8,
    "resnet9": resnet9,
    "resnet18": resnet18,
    "resnet50": resnet50,
    "bert-base": bert_base,
    "gpt2": gpt2,
    "llama-2-7b": llama_2_7b,
    "llama-2-70b": llama_2_70b,
}
