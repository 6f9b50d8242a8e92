"""Write docs/families.md: run in the repository's root."""

from __future__ import annotations

from pathlib import Path

import transformers
from families import ALWAYS, FAMILIES, Family
from family_errors import compared, held

HEAD = """# Hugging Face's families on tiles

Tiny random models of {count} families, made from their configurations alone with transformers
{version}, converted with `cg.FloatingPointRPUConfig()` and compared with their digital selves: outputs,
gradients of what is digital in both, and all parameters after one step, in training and in evaluation
(the larger of both). Errors are the largest differences in units of the largest number of each tensor.
`make test-slow` repeats all of them, `make test` those in bold, and asks for less than 1e-5.
`tests/golden/make_families.py` writes this page.

Both models compute in float32 and add the same products in another order, which is all that differs. One
rounding is 6e-8 (half of 2^-23); a sum of n products in another order is off by about sqrt(n) of them, and a
model passes some dozens of sums of up to a few hundred products, the second half of them on the way back:
sqrt(50 x 300) x 6e-8 = 7e-6 if nothing damps them, and less where a normalization does. Hence 1e-5. What
is near zero on purpose has a floor as its unit, below which a difference is rounding of other numbers:

| error | unit | floor of the unit | why |
|---|---|---|---|
| forward | largest output | 1e-12 | none is needed: no output is zero |
| gradient | largest gradient of the parameter | 1 % of the largest of any digital parameter | the bias of \
keys, and one before a normalization, cannot change the output: its gradient is what rounding leaves |
| step | largest number of the parameter after the step | 0.01 | biases start at zero, and those that cannot \
change the output stay there |

| family | kind | on tiles | digital | forward | gradient | step | what stays digital |
|---|---|---|---|---|---|---|---|
"""

TAIL = """
Embeddings look rows up, normalizations scale what they read, biases are added: none multiplies by a
matrix. In these tiny models they are large parts, of a real one a few percent. Routers choose experts
by a parameter of their own class. Mamba's `dt_proj` and `conv1d` are excluded: its mixer computes with
their weights past the layers (with a pulsed layer a backward pass says so). A weight that is computed
from others (weight normalization in speech models) is named in a warning; with an `InferenceRPUConfig` it
is on tiles.
"""


def row(name: str, family: Family) -> str:
    """A family's line of the table."""
    model, inputs = family.made(transformers)
    errors = [compared(model, inputs, training, family.past) for training in (True, False)]
    found = held(model, family.past)
    worst = (max(getattr(e, what) for e in errors) for what in ("forward", "gradient", "step"))
    rest = "; ".join(f"{what} {100 * share:.1f} %" for what, share in found.digital.items() if share >= 5e-4)
    numbers = " | ".join(f"{error:.0e}" for error in worst)
    tiles = f"{100 * found.on_tiles:.1f} % | {100 * (1 - found.on_tiles):.1f} %"
    shown = f"**{name}**" if name in ALWAYS else name
    return f"| {shown} | {family.kind} | {tiles} | {numbers} | {rest} |\n"


if __name__ == "__main__":
    rows = [row(name, family) for name, family in FAMILIES.items()]
    head = HEAD.format(count=len(rows), version=transformers.__version__)
    Path("docs/families.md").write_text(head + "".join(rows) + TAIL, encoding="utf-8")
