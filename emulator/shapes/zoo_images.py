"""Well-known image networks as layer shapes, with what they compute besides. An input is one image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from crossgrid.chip.plan.digital import DigitalWork
from crossgrid.chip.plan.layer_shape import OUTSIDE, Convolution, Join, LayerShape


def _conv(
    name: str, channels: int, out: int, kernel: int, size: int, stride: int = 1, padding: int | None = None,
    pooled: bool = False, groups: int = 1,
) -> LayerShape:  # fmt: skip
    """A convolution of square images; padding keeps the size by default."""
    pad = kernel // 2 if padding is None else padding
    side = (size + 2 * pad - kernel) // stride + 1
    shape = Convolution(channels, (kernel, kernel), (stride, stride), (size, size), (side, side), pooled)
    return LayerShape(name, out, channels * kernel * kernel, side * side, shape, groups=groups)


def image_work(layers: Sequence[LayerShape], normalized: bool = True) -> tuple[DigitalWork, ...]:
    """What follows the layers of an image network: batch normalization of convolutions, activation,
    shortcuts, pooling of 2 x 2, and a mean over what is left before the last layers."""
    works = []
    for k, layer in enumerate(layers[:-1]):
        made, shape = float(layer.out * layer.reuse), layer.convolution
        if shape is not None and normalized:
            name = f"{layer.name} normalized"
            works.append(DigitalWork(name, "normalization", 0.0, 2 * made, 2 * made, 2 * layer.out))
        additions = float(sum(join.values for join in layer.joins))
        values = 2 * made + 2 * additions
        works.append(DigitalWork(f"{layer.name} activated", "elementwise", 0.0, made + additions, values))
        last = layers[k + 1].convolution is None
        if shape is not None and (shape.pooled or last):
            works.append(DigitalWork(f"{layer.name} pooled", "pooling", 0.0, made, 1.25 * made))
    return tuple(works)


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


def vgg16() -> tuple[LayerShape, ...]:
    """VGG-16 for ImageNet (Simonyan & Zisserman, ICLR 2015), names as torchvision's."""
    layers, channels, size, number = [], 3, 224, 0
    for width, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for k in range(count):
            pooled = k == count - 1
            layers.append(_conv(f"features.{number}", channels, width, 3, size, pooled=pooled))
            channels, number = width, number + 2 + pooled
        size //= 2
    sizes = ((4096, 512 * 7 * 7), (4096, 4096), (1000, 4096))
    return (*layers, *(LayerShape(f"classifier.{3 * k}", *each) for k, each in enumerate(sizes)))


def mobilenet_v2() -> tuple[LayerShape, ...]:
    """MobileNetV2 for ImageNet (Sandler et al., CVPR 2018), names as torchvision's."""
    layers = [_conv("features.0.0", 3, 32, 3, 224, stride=2)]
    channels, size, number = 32, 112, 1
    for expansion, width, count, first_stride in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
        (6, 320, 1, 1),
    ):  # fmt: skip
        for k in range(count):
            name, wide = f"features.{number}.conv", channels * expansion
            stride = first_stride if k == 0 else 1
            body = [_conv(f"{name}.0.0", channels, wide, 1, size)] if expansion > 1 else []
            body.append(_conv(f"{name}.{len(body)}.0", wide, wide, 3, size, stride=stride, groups=wide))
            size //= stride
            body.append(_conv(f"{name}.{len(body)}", wide, width, 1, size))
            if stride == 1 and channels == width:
                layers += _residual(layers[-1], body, None)
            else:
                layers += body
            channels, number = width, number + 1
    layers.append(_conv("features.18.0", 320, 1280, 1, size))
    return (*layers, LayerShape("classifier.1", 1000, 1280))


def unet() -> tuple[LayerShape, ...]:
    """A U-Net (Ronneberger et al., MICCAI 2015) that keeps images at 256 x 256: in colour, two classes.

    Each decoder reads the encoder of its size and the layer below, which a transposed convolution of 2 x 2
    makes wide: a pixel is a vector, and becomes four.
    """
    layers: list[LayerShape] = []
    channels, size, widths = 3, 256, (64, 128, 256, 512, 1024)
    for level, width in enumerate(widths):
        pooled = level < len(widths) - 1
        layers.append(_conv(f"down{level}.conv1", channels, width, 3, size))
        layers.append(_conv(f"down{level}.conv2", width, width, 3, size, pooled=pooled))
        channels, size = width, size // 2 if pooled else size
    for level, width in reversed(list(enumerate(widths[:-1]))):
        wide = LayerShape(f"up{level}.transposed", 4 * width, 2 * width, size**2, in_step=True)
        layers.append(wide)
        size *= 2
        first = _conv(f"up{level}.conv1", 2 * width, width, 3, size)
        layers.append(replace(first, sources=(f"down{level}.conv2", wide.name), concatenated=(width, width)))
        layers.append(_conv(f"up{level}.conv2", width, width, 3, size))
    return (*layers, _conv("out", 64, 2, 1, size))


def unet_work() -> tuple[DigitalWork, ...]:
    """What stays digital of the U-Net: what follows its layers, and placing their windows."""
    works = list(image_work([layer for layer in unet() if layer.convolution is not None]))
    for level, width in enumerate((64, 128, 256, 512)):
        values = float(4 * width * (256 >> level + 1) ** 2)
        works.append(DigitalWork(f"up{level}.transposed", "elementwise", 0.0, values, 2 * values))
    return tuple(works)


def vit_b_16() -> tuple[LayerShape, ...]:
    """ViT-B/16 for ImageNet (Dosovitskiy et al., ICLR 2021): 197 tokens, names as torchvision's."""
    tokens, hidden = 197, 768
    patches = Convolution(3, (16, 16), (16, 16), (224, 224), (14, 14))
    layers, values = [LayerShape("conv_proj", hidden, 768, 196, patches, (OUTSIDE,))], tokens * hidden
    for k in range(12):
        name, before = f"encoder.layers.encoder_layer_{k}", layers[-1].name
        layers.append(LayerShape(f"{name}.self_attention.in_proj", 3 * hidden, hidden, tokens, in_step=True))
        met = (Join(before, values),)
        layers.append(LayerShape(f"{name}.self_attention.out_proj", hidden, hidden, tokens, joins=met))
        met = (Join(layers[-1].name, values),)
        layers.append(LayerShape(f"{name}.mlp.0", 4 * hidden, hidden, tokens, in_step=True))
        layers.append(LayerShape(f"{name}.mlp.3", hidden, 4 * hidden, tokens, joins=met, in_step=True))
    return (*layers, LayerShape("heads.head", 1000, hidden))
