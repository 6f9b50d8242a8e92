"""A small transformer that reads an image in patches, and adapters of low rank beside its weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTH, HEADS, BLOCKS, PATCH, RANK, CLASSES = 48, 4, 3, 7, 4, 10
PATCHES = (28 // PATCH) ** 2


class Adapter(nn.Module):
    """B A x: what a matrix W learns while it stays as it is (Hu et al., "LoRA", 2021); 0 at first."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(inputs, RANK, bias=False), nn.Linear(RANK, outputs, bias=False)
        nn.init.zeros_(self.b.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x))


class Block(nn.Module):
    """Attention, then two layers at each place; both are added to what came in."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.between = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention, self.join = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)
        self.adapters = nn.ModuleDict()  # by the layer that they are beside

    def forward(self, x: Tensor) -> Tensor:
        """[B, places, WIDTH]."""
        batch, places, _ = x.shape
        heads = self._read("attention", self.before(x)).reshape(batch, places, 3, HEADS, WIDTH // HEADS)
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(query, key, value).transpose(1, 2)
        x = x + self._read("join", seen.reshape(batch, places, WIDTH))
        return x + self._read("down", functional.gelu(self._read("up", self.between(x))))

    def _read(self, name: str, x: Tensor) -> Tensor:
        y = getattr(self, name)(x)
        return y + self.adapters[name](x) if name in self.adapters else y


class Transformer(nn.Module):
    """Logits [B, 10] of images [B, 1, 28, 28]."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.places = nn.Linear(PATCH**2, WIDTH), nn.Parameter(torch.randn(PATCHES, WIDTH) / 8)
        self.blocks = nn.ModuleList(Block() for _ in range(BLOCKS))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        patches = functional.unfold(x, PATCH, stride=PATCH).transpose(1, 2)
        h = self.embed(patches) + self.places
        for block in self.blocks:
            h = block(h)
        return self.head(self.norm(h.mean(dim=1)))


def turned(images: Tensor) -> Tensor:
    """Images that lie on their side."""
    return images.rot90(1, (2, 3))


def add_adapters(model: Transformer) -> None:
    """An adapter beside each layer of each block."""
    for block in model.blocks:
        for name, layer in [*block.named_children()]:
            if isinstance(layer, nn.Linear):
                block.adapters[name] = Adapter(layer.in_features, layer.out_features)
