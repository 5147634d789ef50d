"""Real text without a download: the licences that every Debian and Ubuntu carries, and Python's own library.

`load` gives the bytes, `Batches` draws from them. The position in the data is part of the training state:
`Batches.state` goes into the checkpoint and comes back, so that no batch is seen twice or left out.
"""

import sysconfig
from pathlib import Path

import torch

_LIMIT_BYTES = 2 << 20
_HELD_OUT = 16  # one part in this many is kept for evaluation


def load() -> torch.Tensor:
    """The text as one uint8 tensor: the same bytes at every call on one machine."""
    library = Path(sysconfig.get_path("stdlib"))
    files = sorted(p for p in Path("/usr/share/common-licenses").glob("*") if not p.is_symlink())
    files += sorted(library.glob("*.py"))
    pieces, total = [], 0
    for file in files:
        if total >= _LIMIT_BYTES:
            break
        if file.is_file():
            piece = file.read_bytes()
            pieces.append(piece)
            total += len(piece)
    if total < 100_000:
        raise RuntimeError(f"found only {total} bytes of text below {library}")
    return torch.frombuffer(bytearray(b"\n".join(pieces)), dtype=torch.uint8)


class Batches:
    """Draws global batches: every rank draws the same one and takes its rows.

    So the data do not depend on how many ranks there are, and a job may go on with fewer.
    """

    def __init__(self, text: torch.Tensor, rows: int, context: int, seed: int) -> None:
        held_out = len(text) // _HELD_OUT
        self._train, self._eval = text[:-held_out], text[-held_out:]
        self._rows, self._context = rows, context
        self._generator = torch.Generator().manual_seed(seed)
        self._eval_seed = seed + 1

    def next(self, rank: int, ranks: int) -> tuple[torch.Tensor, torch.Tensor]:
        """This rank's rows of the next global batch, as (inputs, targets)."""
        return self._draw(self._train, self._generator, rank, ranks)

    def evaluation(self, rank: int, ranks: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows of held-out text: the same ones at every call."""
        generator = torch.Generator().manual_seed(self._eval_seed)
        return self._draw(self._eval, generator, rank, ranks)

    @property
    def state(self) -> torch.Tensor:
        """The position in the data, as a tensor for the checkpoint."""
        return self._generator.get_state()

    @state.setter
    def state(self, value: torch.Tensor) -> None:
        self._generator.set_state(value)

    def _draw(
        self, text: torch.Tensor, generator: torch.Generator, rank: int, ranks: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if self._rows % ranks:
            raise ValueError(f"a global batch of {self._rows} rows does not divide among {ranks} ranks")
        starts = torch.randint(len(text) - self._context - 1, (self._rows,), generator=generator)
        mine = starts[rank * self._rows // ranks : (rank + 1) * self._rows // ranks]
        windows = torch.stack([text[s : s + self._context + 1] for s in mine.tolist()]).long()
        return windows[:, :-1].contiguous(), windows[:, 1:].contiguous()
