"""AnalogMultiheadAttention: attention whose projections sit on tiles."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from crossgrid.kernels.errors import ConfigError

from ..config.rpu import RPUConfig
from .base import AnalogLayer, require_digital_bias
from .inputs import eager, require_input
from .keys import key_of
from .linear import AnalogLinear
from .matrix import AnalogMatrix


class AnalogMultiheadAttention(AnalogLayer):
    """Torch's ``nn.MultiheadAttention`` with the projections of queries, keys, values and results on tiles.

    Queries, keys and values have one matrix ``in_proj_weight`` [3 embed, embed] where they are equally wide;
    it is read once for each different tensor among them. Scores, softmax and the weighted sums of values are
    digital, and so are biases unless ``mapping.digital_bias`` is False.

    Args:
        embed_dim, num_heads, dropout, bias, add_bias_kv, add_zero_attn, kdim, vdim, batch_first: as torch has
            them.
        rpu_config: as for ``AnalogLinear``.
    """

    starts_drawn = False  # ``out_proj`` is a layer of its own

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        rpu_config: RPUConfig | None = None,
    ) -> None:
        super().__init__()
        twin = nn.MultiheadAttention(
            embed_dim, num_heads, dropout, bias, add_bias_kv, add_zero_attn, kdim, vdim, batch_first
        )
        self._be_like(twin, rpu_config, "")

    def _be_like(self, twin: nn.MultiheadAttention, rpu_config: RPUConfig | None, name: str) -> None:
        """Take sizes, parameters and mode of a torch layer that is called ``name``."""
        self.embed_dim, self.num_heads, self.head_dim = twin.embed_dim, twin.num_heads, twin.head_dim
        self.kdim, self.vdim, self.dropout = twin.kdim, twin.vdim, twin.dropout
        self.batch_first, self.add_zero_attn = twin.batch_first, twin.add_zero_attn
        self._qkv_same_embed_dim = twin._qkv_same_embed_dim
        biased = twin.in_proj_bias is not None
        if not self._qkv_same_embed_dim:
            why = "queries, keys and values of several widths have several matrices and one bias"
            require_digital_bias(name or type(self).__name__, biased, rpu_config, why)
        self._bias_on_tiles = biased and rpu_config is not None and not rpu_config.mapping.digital_bias
        matrices = self.matrices()
        keys = torch.Generator().manual_seed(key_of(twin, name))
        for weight, own in twin._parameters.items():
            if weight in matrices:
                key = int(torch.randint(2**63 - 1, (), generator=keys).item())
                out_size, in_size = cast(Tensor, own).shape
                spec = self._spec(key, out_size, in_size, rpu_config, self._bias_on_tiles)
                self._add_matrix(matrices[weight], spec, out_size if self._bias_on_tiles else None)
            elif weight not in self._parameters:
                self.register_parameter(weight, own)
        if twin.bias_k is None:  # torch has no parameters of these names then
            self.bias_k = self.bias_v = None
        digital: Any = twin.out_proj
        self.out_proj = AnalogLinear.from_digital(
            digital, cast(RPUConfig, rpu_config), f"{name}.out_proj".strip(".")
        )
        self._take_over(twin, name)

    def matrices(self) -> dict[str, AnalogMatrix]:
        parts = ["in_proj"] if self._qkv_same_embed_dim else ["q_proj", "k_proj", "v_proj"]
        bias = "in_proj_bias" if self._bias_on_tiles else ""
        return {
            f"{part}_weight": AnalogMatrix(self, f"{part}_weight", bias, f"analog_{part}", part)
            for part in parts
        }

    @eager
    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Results [L, B, E] and weights [B, (heads,) L, S] of queries [L, B, E], keys and values [S, B, ...].

        Masks and the order of axes are torch's (``batch_first``; [L, E] without a batch).
        """
        for x in (query, key, value):
            require_input(type(self).__name__, x)
        batched = query.dim() == 3
        swaps = self.batch_first and batched
        q, k, v = self._projected(query, key, value)
        q, k, v = (x.transpose(0, 1) if swaps else x if batched else x.unsqueeze(1) for x in (q, k, v))
        if is_causal and attn_mask is None:
            raise ConfigError("is_causal is a hint about attn_mask, as in torch: give attn_mask too")
        hinted = is_causal and key_padding_mask is None and not need_weights  # torch takes the hint then
        mask = None if hinted else self._mask(q, k, key_padding_mask, attn_mask)
        k, v, mask = self._extended(k, v, mask)
        q_BHLD, k_BHSD, v_BHSD = (self._heads(x) for x in (q, k, v))
        weights = None
        if need_weights:
            scores = q_BHLD @ k_BHSD.transpose(-2, -1) / math.sqrt(self.head_dim)
            weights = torch.softmax(scores if mask is None else scores + mask, dim=-1)
            weights = functional.dropout(weights, self.dropout, self.training)
            y_BHLD = weights @ v_BHSD
            weights = weights.mean(dim=1) if average_attn_weights else weights
            weights = weights if batched else weights.squeeze(0)
        else:
            drop = self.dropout if self.training else 0.0
            y_BHLD = functional.scaled_dot_product_attention(
                q_BHLD, k_BHSD, v_BHSD, mask, drop, is_causal=hinted
            )
        y = cast(nn.Module, self.out_proj)(y_BHLD.permute(2, 0, 1, 3).flatten(2))
        return (y.transpose(0, 1) if swaps else y if batched else y.squeeze(1)), weights

    def _projected(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What queries, keys and values become; equal tensors are read together."""
        width = self.embed_dim
        found: list[Tensor] = []
        if self._qkv_same_embed_dim:
            (matrix,) = self.matrices().values()
            read: dict[int, Tensor] = {}
            for n, x in enumerate((query, key, value)):
                if id(x) not in read:
                    read[id(x)] = matrix(x)
                found.append(read[id(x)][..., n * width : (n + 1) * width])
        else:
            found = [m(x) for m, x in zip(self.matrices().values(), (query, key, value), strict=True)]
        bias = None if self._bias_on_tiles else self.in_proj_bias
        if bias is not None:
            found = [y + b.to(y.dtype) for y, b in zip(found, cast(Tensor, bias).chunk(3), strict=True)]
        return found[0], found[1], found[2]

    def _mask(self, q: Tensor, k: Tensor, padding: Tensor | None, mask: Tensor | None) -> Tensor | None:
        """What is added to the scores [B, heads, L, S], as torch makes it of its two masks."""
        total: Tensor | None = None
        for given, shape in (
            (mask, (-1, 1 if mask is None or mask.dim() == 2 else self.num_heads, q.shape[0], k.shape[0])),
            (padding, (-1, 1, 1, k.shape[0])),
        ):
            if given is not None:
                part = given.to(q.dtype).reshape(shape)
                if given.dtype is torch.bool:
                    part = torch.zeros_like(part).masked_fill_(given.reshape(shape), float("-inf"))
                total = part if total is None else total + part
        return total

    def _extended(self, k: Tensor, v: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """Keys and values [S, B, E] with the learned and the zero ones behind them."""
        batch = k.shape[1]
        pairs: list[tuple[Tensor, Tensor]] = []
        if self.bias_k is not None and self.bias_v is not None:
            pairs.append((self.bias_k, self.bias_v))
        if self.add_zero_attn:
            pairs.append((k.new_zeros(1, 1, self.embed_dim), v.new_zeros(1, 1, self.embed_dim)))
        for more_k, more_v in pairs:
            k, v = torch.cat([k, more_k.expand(1, batch, -1)]), torch.cat([v, more_v.expand(1, batch, -1)])
            mask = None if mask is None else functional.pad(mask, (0, 1))
        return k, v, mask

    def _heads(self, x_SBE: Tensor) -> Tensor:
        """[S, B, E] as [B, heads, S, E / heads]."""
        steps, batch, _ = x_SBE.shape
        return x_SBE.reshape(steps, batch, self.num_heads, self.head_dim).permute(1, 2, 0, 3)

    @classmethod
    def from_digital(
        cls, module: nn.MultiheadAttention, rpu_config: RPUConfig, name: str
    ) -> AnalogMultiheadAttention:
        """The analog twin of a torch layer, with its weights."""
        made = cls.__new__(cls)
        AnalogLayer.__init__(made)
        made._be_like(module, rpu_config, name)
        return made

    def to_digital(self) -> nn.Module:
        """A torch layer with this layer's present weights."""
        has_bias, biases_kv = self.in_proj_bias is not None, self.bias_k is not None
        with torch.random.fork_rng(devices=[]):  # its own initial weights are replaced
            twin = nn.MultiheadAttention(
                self.embed_dim, self.num_heads, self.dropout, has_bias, biases_kv, self.add_zero_attn,
                self.kdim, self.vdim, self.batch_first,
            )  # fmt: skip
        self._give_back(twin)
        for name in ("bias_k", "bias_v") if self._bias_on_tiles else ("in_proj_bias", "bias_k", "bias_v"):
            own = getattr(self, name)
            if own is not None:
                setattr(twin, name, own)
        out: Any = twin.out_proj
        self.out_proj._give_back(out)
        return twin.train(self.training)

    def extra_repr(self) -> str:
        return f"{self.embed_dim}, {self.num_heads}"
