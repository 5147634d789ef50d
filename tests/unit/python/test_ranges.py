"""cairn.torch.ranges against brute force: random boxes of random tensors, read span by span, equal the slice."""

import random

import pytest
import torch
from cairn.torch.ranges import row_major, runs_of, spans_of

SEED = random.SystemRandom().randrange(1 << 32)


def random_box(random_source):
    dims = random_source.randint(0, 4)
    shape = tuple(random_source.randint(1, 7) for _ in range(dims))
    offsets = tuple(random_source.randint(0, size - 1) for size in shape)
    lengths = tuple(random_source.randint(1, size - start) for size, start in zip(shape, offsets))
    return shape, offsets, lengths


def box_of(tensor, offsets, lengths):
    return tensor[tuple(slice(o, o + n) for o, n in zip(offsets, lengths))]


@pytest.mark.parametrize("case", range(300))
def test_spans_cover_the_box_and_keep_their_bounds(case):
    print("seed", SEED, "case", case)
    source = random.Random(SEED * 1000 + case)
    shape, offsets, lengths = random_box(source)
    stored = torch.arange(torch.Size(shape).numel(), dtype=torch.int32).reshape(shape)
    memory = stored.reshape(-1).view(torch.uint8) if stored.numel() else torch.empty(0, dtype=torch.uint8)
    gap, limit = source.choice([0, 8, 40, 1000]), source.choice([4, 16, 64, 10_000])
    got = torch.full(lengths, -1, dtype=torch.int32)
    end = 0
    for span in spans_of(shape, offsets, lengths, 4, gap_bytes=gap, span_bytes=limit):
        assert span.offset >= end, "ascending, and nothing is read twice"
        end = span.offset + span.length
        assert 4 <= span.length <= max(limit, 4)
        buffer = memory[span.offset : end].clone().view(torch.int32)
        part = buffer.as_strided(span.shape, span.strides)
        box_of(got, span.box_offset, span.shape).copy_(part)
    assert torch.equal(got, box_of(stored, offsets, lengths))


@pytest.mark.parametrize("case", range(300))
def test_runs_are_consecutive_in_both(case):
    print("seed", SEED, "case", case)
    source = random.Random(SEED * 1000 + case)
    shape, offsets, lengths = random_box(source)
    stored = torch.arange(torch.Size(shape).numel(), dtype=torch.int32).reshape(shape)
    order = list(range(len(lengths)))
    source.shuffle(order)
    wider = [length + source.randint(0, 2) for length in lengths]
    whole = torch.full([wider[d] for d in order], -1, dtype=torch.int32).permute(
        [order.index(d) for d in range(len(order))]
    )
    target = box_of(whole, (0,) * len(lengths), lengths)
    run_bytes, runs = runs_of(shape, offsets, lengths, 4, target.stride())
    flat = stored.reshape(-1)
    memory = whole.as_strided((whole.untyped_storage().nbytes() // 4,), (1,), 0)
    for run in runs:
        assert run.length == run_bytes
        first = target.storage_offset() + sum(o * s for o, s in zip(run.box_offset, target.stride()))
        memory[first : first + run.length // 4] = flat[run.offset // 4 : (run.offset + run.length) // 4]
    assert torch.equal(target, box_of(stored, offsets, lengths))


def test_a_contiguous_box_is_one_run_and_one_span():
    assert runs_of((8, 5, 3), (2, 0, 0), (4, 5, 3), 2, row_major((4, 5, 3)))[0] == 4 * 5 * 3 * 2
    (span,) = spans_of((8, 5, 3), (2, 0, 0), (4, 5, 3), 2, gap_bytes=0, span_bytes=1 << 20)
    assert (span.offset, span.length) == (2 * 15 * 2, 4 * 15 * 2)


def test_far_rows_are_read_apart_and_near_ones_together():
    far = list(spans_of((4, 10_000), (0, 0), (4, 10), 4, gap_bytes=16, span_bytes=1 << 20))
    assert [span.length for span in far] == [40] * 4
    near = list(spans_of((4, 12), (0, 0), (4, 10), 4, gap_bytes=16, span_bytes=1 << 20))
    assert [span.length for span in near] == [3 * 48 + 40]


def test_an_empty_box_needs_nothing():
    assert list(spans_of((4, 0), (0, 0), (4, 0), 4, gap_bytes=0, span_bytes=64)) == []
