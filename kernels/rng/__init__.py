"""Addressed randomness: every random number is Philox4x32-10 of an address, never of an order.

The address of a draw is (tile key; stream, tick, row, column):

* key: two 32-bit words, ``tile_key(layer_key, block)``. Two tiles never share a key.
* counter: ``(column, row, tick & 0xffffffff, (stream << 24) | (extra << 16) | (tick >> 32))``.

``tick`` is the logical time in vectors (48 bits), assigned by the front-end in program order;
``extra`` (8 bits) numbers what repeats within one tick (a bound-management attempt, the pulses of one
crosspoint). One call gives four words; where a line has many draws its index is split into
``line // 4`` in the counter and word ``line % 4``.

``naive`` (numpy), ``cpu`` (numba) and ``cuda`` (Triton) give the same words; ``formulas`` turns words
into uniforms and normals. ``mersenne`` moves torch's own generator on, whose state layers' keys follow from.
"""

from .address import Stream, counter_high, new_key, tile_key

__all__ = ["Stream", "counter_high", "new_key", "tile_key"]
