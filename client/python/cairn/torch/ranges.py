"""Which bytes of a stored tensor a wanted box needs.

Pure: from shapes to byte ranges, no I/O. Used by reader.py to read, when a checkpoint is loaded onto another number
of ranks, what is wanted and little else.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["Span", "runs_of", "spans_of"]


@dataclass(frozen=True)
class Span:
    """Consecutive bytes to read, and the part of the wanted box that lies in them.

    The part has ``shape`` (as many dimensions as the tensor) and starts at ``box_offset`` in the wanted box. In the
    bytes read, its elements lie at ``strides`` (in elements), the first of them at the start.
    """

    offset: int  # bytes, from the start of the stored tensor
    length: int  # bytes
    box_offset: tuple[int, ...]
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def row_major(shape: Sequence[int]) -> tuple[int, ...]:
    """Strides, in elements, of a contiguous tensor."""
    strides = [1] * len(shape)
    for dim in range(len(shape) - 2, -1, -1):
        strides[dim] = strides[dim + 1] * max(shape[dim + 1], 1)
    return tuple(strides)


def runs_of(
    stored_shape: Sequence[int],
    offsets: Sequence[int],
    lengths: Sequence[int],
    element_bytes: int,
    target_strides: Sequence[int],
) -> tuple[int, Iterator[Span]]:
    """The box at ``offsets`` of ``lengths`` as runs that are consecutive both as stored and in a target with
    ``target_strides``: what can be read straight into the target. Returns the bytes of each run, all alike."""
    strides = row_major(stored_shape)
    joined = len(lengths)
    extent = 1
    while joined > 0:
        dim = joined - 1
        if lengths[dim] > 1 and not strides[dim] == target_strides[dim] == extent:
            break
        extent *= lengths[dim]
        joined = dim

    def generate() -> Iterator[Span]:
        inner = sum(o * s for o, s in zip(offsets[joined:], strides[joined:]))
        shape = (*([1] * joined), *lengths[joined:])
        for index in itertools.product(*(range(length) for length in lengths[:joined])):
            first = inner + sum((o + i) * s for o, i, s in zip(offsets, index, strides))
            box_offset = (*index, *([0] * (len(lengths) - joined)))
            yield Span(first * element_bytes, extent * element_bytes, box_offset, shape, strides)

    return extent * element_bytes, generate()


def spans_of(
    stored_shape: Sequence[int],
    offsets: Sequence[int],
    lengths: Sequence[int],
    element_bytes: int,
    *,
    gap_bytes: int,
    span_bytes: int,
) -> Iterator[Span]:
    """The box at ``offsets`` of ``lengths`` as spans in ascending order, to be copied to the target from a buffer.

    Rows at most ``gap_bytes`` apart are read as one span, because a request and a checksummed block cost more than
    the gap. A span holds at most ``span_bytes`` and at least one element.
    """
    if math.prod(lengths) == 0:
        return
    strides = row_major(stored_shape)
    dims = len(stored_shape)
    # One span covers the innermost dimensions [joined, dims), and some rows of the one before.
    joined = dims
    extent = 1  # elements from the first to the last of that inner box
    rows = 1
    while joined > 0:
        dim = joined - 1
        wider = (lengths[dim] - 1) * strides[dim] + extent
        if lengths[dim] > 1:
            if (strides[dim] - extent) * element_bytes > gap_bytes:
                break
            if wider * element_bytes > span_bytes:
                rows = max(1, (span_bytes // element_bytes - extent) // strides[dim] + 1)
                break
        extent = wider
        joined = dim
    inner = sum(o * s for o, s in zip(offsets[joined:], strides[joined:]))
    steps = [range(length) for length in lengths[:joined]]
    if joined > 0:
        steps[-1] = range(0, lengths[joined - 1], rows)
    for index in itertools.product(*steps):
        first = inner + sum((o + i) * s for o, i, s in zip(offsets, index, strides))
        shape = [1] * joined + list(lengths[joined:])
        length = extent
        if joined > 0:
            shape[joined - 1] = min(rows, lengths[joined - 1] - index[-1])
            length = (shape[joined - 1] - 1) * strides[joined - 1] + extent
        box_offset = (*index, *([0] * (dims - joined)))
        yield Span(first * element_bytes, length * element_bytes, box_offset, tuple(shape), strides)
