"""Well-known language models as layer shapes, with what they compute besides.

An input is a sequence of 128 tokens (BERT), or one token of a text (GPT-2, Llama, Mixtral), whose attention
looks back on as many tokens as the model is made for.
"""

from __future__ import annotations

from dataclasses import replace

from crossgrid.chip.plan.digital import DigitalWork
from crossgrid.chip.plan.layer_shape import OUTSIDE, Join, LayerShape


def bert_base() -> tuple[LayerShape, ...]:
    """BERT-base (Devlin et al., 2019); an input is a sequence of 128 tokens."""
    tokens, hidden = 128, 768
    values = tokens * hidden
    layers, before = [], OUTSIDE
    for k in range(12):
        name = f"encoder.layer.{k}"
        attention = f"{name}.attention.self"
        for part in ("query", "key"):
            layers.append(
                LayerShape(f"{attention}.{part}", hidden, hidden, tokens, sources=(before,), in_step=True)
            )
        met = (Join(f"{attention}.query", values), Join(f"{attention}.key", values))
        layers.append(
            LayerShape(f"{attention}.value", hidden, hidden, tokens, None, (before,), met, in_step=True)
        )
        output = LayerShape(f"{name}.attention.output.dense", hidden, hidden, tokens)
        layers.append(replace(output, joins=(Join(before, values),)))
        layers.append(LayerShape(f"{name}.intermediate.dense", 3072, hidden, tokens, in_step=True))
        last = LayerShape(f"{name}.output.dense", hidden, 3072, tokens, in_step=True)
        last = replace(last, joins=(Join(output.name, values),))
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
        layers += _gated(mlp, ("gate_proj", "up_proj", "down_proj"), output.name, hidden, wide)
        before = layers[-1].name
    return (*layers, LayerShape("lm_head", 32000, hidden))


def _gated(
    name: str, parts: tuple[str, str, str], before: str, hidden: int, wide: int, activity: float = 1.0
) -> list[LayerShape]:
    """A gated network of two wide layers, whose values are multiplied, and a narrow one."""
    gate, up, down = (f"{name}.{part}" for part in parts)
    return [
        LayerShape(gate, wide, hidden, sources=(before,), activity=activity),
        LayerShape(up, wide, hidden, sources=(before,), joins=(Join(gate, wide),), activity=activity),
        LayerShape(down, hidden, wide, joins=(Join(before, hidden),), activity=activity),
    ]


def llama_2_7b() -> tuple[LayerShape, ...]:
    """Llama 2 7B (Touvron et al., 2023) with its output layer; an input is one token."""
    return _llama(32, 4096, 4096, 11008)


def llama_2_70b() -> tuple[LayerShape, ...]:
    """Llama 2 70B (Touvron et al., 2023) with its output layer; an input is one token."""
    return _llama(80, 8192, 1024, 28672)


def mixtral() -> tuple[LayerShape, ...]:
    """Mixtral 8x7B (Jiang et al., 2024) with its output layer: two of a layer's eight experts get a token.

    What the experts of a token make is added where the last of them stands.
    """
    hidden, key_value, wide, experts, chosen = 4096, 1024, 14336, 8, 2
    layers, before = [], OUTSIDE
    for k in range(32):
        attention, moe = f"model.layers.{k}.self_attn", f"model.layers.{k}.block_sparse_moe"
        layers.append(LayerShape(f"{attention}.q_proj", hidden, hidden, sources=(before,)))
        layers.append(LayerShape(f"{attention}.k_proj", key_value, hidden, sources=(before,)))
        met = (Join(f"{attention}.q_proj", hidden), Join(f"{attention}.k_proj", key_value))
        layers.append(LayerShape(f"{attention}.v_proj", key_value, hidden, 1, None, (before,), met))
        output = LayerShape(f"{attention}.o_proj", hidden, hidden, joins=(Join(before, hidden),))
        layers += [output, LayerShape(f"{moe}.gate", experts, hidden)]
        for expert in range(experts):
            name = f"{moe}.experts.{expert}"
            layers += _gated(name, ("w1", "w3", "w2"), output.name, hidden, wide, chosen / experts)
        others = tuple(Join(f"{moe}.experts.{expert}.w2", hidden) for expert in range(experts - 1))
        layers[-1] = replace(layers[-1], joins=(*layers[-1].joins, *others))
        before = layers[-1].name
    return (*layers, LayerShape("lm_head", 32000, hidden))


def transformer_work(
    blocks: list[str], tokens: int, context: int, hidden: int, wide: int, vocabulary: int, heads: int
) -> tuple[DigitalWork, ...]:
    """What stays digital in a transformer for ``tokens`` tokens that attend to ``context`` of them.

    ``hidden`` x ``context`` products of queries with keys, as many with values; two normalizations, two
    shortcuts and the activation of ``wide`` values in each block.
    """
    embedded = float(tokens * hidden)
    works = [DigitalWork("embedding", "embedding", 0.0, 0.0, 2 * embedded, vocabulary * hidden)]
    pairs, made = float(tokens * context), 2 * embedded + tokens * wide
    moved = 2 * embedded + 2 * context * hidden
    for name in blocks:
        works += [
            DigitalWork(f"{name} attention", "attention", 2 * pairs * hidden, 4 * pairs * heads, moved),
            DigitalWork(f"{name} norms", "normalization", 0.0, 10 * embedded, 4 * embedded, 4 * hidden),
            DigitalWork(f"{name} activation", "elementwise", 0.0, made, 2 * made),
        ]
    return tuple(works)
