"""Well-known models as layer shapes: no weights, no torch. An input is one image, or one token where said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from crossgrid.chip.plan.plan import OUTSIDE, Convolution, Join, LayerShape
from crossgrid.kernels.errors import unknown


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
    layers = [_conv("conv1", 3, 56, 3, 32)]
    channels, size = 56, 32
    for block, width, stride in (
        ("block1", 56, 1),
        ("block2", 112, 2),
        ("block3", 224, 2),
        ("block4", 224, 1),
    ):
        first = _conv(f"{block}.conv1", channels, width, 3, size, stride=stride)
        second = _conv(f"{block}.conv2", width, width, 3, size // stride, pooled=block == "block4")
        shortcut = (
            None if stride == 1 else _conv(f"{block}.shortcut", channels, width, 1, size, stride=stride)
        )
        layers += _residual(layers[-1], [first, second], shortcut)
        channels, size = width, size // stride
    return (*layers, LayerShape("fc", 10, 224))


def resnet18() -> tuple[LayerShape, ...]:
    """ResNet-18 for ImageNet (He et al., CVPR 2016), names as torchvision's."""
    layers = [_conv("conv1", 3, 64, 7, 224, stride=2, padding=3, pooled=True)]
    channels, size = 64, 56
    for stage, width in enumerate((64, 128, 256, 512), start=1):
        for block in range(2):
            stride = 2 if stage > 1 and block == 0 else 1
            name = f"layer{stage}.{block}"
            body = [
                _conv(f"{name}.conv1", channels, width, 3, size, stride=stride),
                _conv(f"{name}.conv2", width, width, 3, size // stride),
            ]
            shortcut = None
            if stride == 2:
                shortcut = _conv(f"{name}.downsample.0", channels, width, 1, size, stride=2)
            layers += _residual(layers[-1], body, shortcut)
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
            body = [
                _conv(f"{name}.conv1", channels, width, 1, size),
                _conv(f"{name}.conv2", width, width, 3, size, stride=stride),
                _conv(f"{name}.conv3", width, 4 * width, 1, size // stride),
            ]
            shortcut = None
            if block == 0:
                shortcut = _conv(f"{name}.downsample.0", channels, 4 * width, 1, size, stride=stride)
            layers += _residual(layers[-1], body, shortcut)
            channels, size = 4 * width, size // stride
    return (*layers, LayerShape("fc", 1000, 2048))


def _residual(
    before: LayerShape, body: Sequence[LayerShape], shortcut: LayerShape | None
) -> list[LayerShape]:
    """A block that reads ``before``: its last layer's outputs meet the shortcut's, or what the block read."""
    chain = [replace(body[0], sources=(before.name,)), *body[1:]]
    last = body[-1]
    values = last.out * last.reuse
    if shortcut is None:
        return [*chain[:-1], replace(last, joins=(Join(before.name, values),))]
    return [*chain, replace(shortcut, sources=(before.name,), joins=(Join(last.name, values),))]


def bert_base() -> tuple[LayerShape, ...]:
    """BERT-base (Devlin et al., 2019); an input is a sequence of 128 tokens."""
    tokens, hidden = 128, 768
    values = tokens * hidden
    layers, before = [], OUTSIDE
    for k in range(12):
        name = f"encoder.layer.{k}"
        attention = f"{name}.attention.self"
        for part in ("query", "key"):
            layers.append(LayerShape(f"{attention}.{part}", hidden, hidden, tokens, sources=(before,)))
        met = (Join(f"{attention}.query", values), Join(f"{attention}.key", values))
        layers.append(LayerShape(f"{attention}.value", hidden, hidden, tokens, None, (before,), met))
        output = LayerShape(f"{name}.attention.output.dense", hidden, hidden, tokens)
        layers.append(replace(output, joins=(Join(before, values),)))
        layers.append(LayerShape(f"{name}.intermediate.dense", 3072, hidden, tokens))
        last = LayerShape(f"{name}.output.dense", hidden, 3072, tokens, joins=(Join(output.name, values),))
        layers.append(last)
        before = last.name
    return (*layers, LayerShape("pooler.dense", hidden, hidden))


def gpt2() -> tuple[LayerShape, ...]:
    """GPT-2 small (Radford et al., 2019) with its output layer; an input is one token."""
    hidden = 768
    layers, before = [], OUTSIDE
    for k in range(12):
        name = f"transformer.h.{k}"
        layers.append(LayerShape(f"{name}.attn.c_attn", 3 * hidden, hidden))
        projection = LayerShape(f"{name}.attn.c_proj", hidden, hidden, joins=(Join(before, hidden),))
        layers.append(projection)
        layers.append(LayerShape(f"{name}.mlp.c_fc", 4 * hidden, hidden))
        last = LayerShape(f"{name}.mlp.c_proj", hidden, 4 * hidden, joins=(Join(projection.name, hidden),))
        layers.append(last)
        before = last.name
    return (*layers, LayerShape("lm_head", 50257, hidden))


def _llama(depth: int, hidden: int, key_value: int, wide: int) -> tuple[LayerShape, ...]:
    layers, before = [], OUTSIDE
    for k in range(depth):
        attention, mlp = f"model.layers.{k}.self_attn", f"model.layers.{k}.mlp"
        layers.append(LayerShape(f"{attention}.q_proj", hidden, hidden, sources=(before,)))
        layers.append(LayerShape(f"{attention}.k_proj", key_value, hidden, sources=(before,)))
        met = (Join(f"{attention}.q_proj", hidden), Join(f"{attention}.k_proj", key_value))
        layers.append(LayerShape(f"{attention}.v_proj", key_value, hidden, 1, None, (before,), met))
        output = LayerShape(f"{attention}.o_proj", hidden, hidden, joins=(Join(before, hidden),))
        layers.append(output)
        layers.append(LayerShape(f"{mlp}.gate_proj", wide, hidden, sources=(output.name,)))
        up = (Join(f"{mlp}.gate_proj", wide),)
        layers.append(LayerShape(f"{mlp}.up_proj", wide, hidden, 1, None, (output.name,), up))
        last = LayerShape(f"{mlp}.down_proj", hidden, wide, joins=(Join(output.name, hidden),))
        layers.append(last)
        before = last.name
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
