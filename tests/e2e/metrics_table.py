"""The table of metrics that operators read (server/admin/METRICS.md), for tests to compare with."""

import os
import re
from dataclasses import dataclass

from cairn_harness import ROOT

_ROW = re.compile(r"^\| `(\w+)` \| (\w+) \| ([\w, ]*) ?\| (.+) \|$", re.MULTILINE)


@dataclass(frozen=True)
class Row:
    """What the table says of a metric."""

    kind: str
    labels: frozenset


def documented():
    """Its rows, by name."""
    with open(os.path.join(ROOT, "server", "admin", "METRICS.md"), encoding="utf-8") as file:
        rows = _ROW.findall(file.read())
    names = [name for name, _, _, _ in rows]
    assert len(set(names)) == len(names), "a metric is in the table twice"
    return {name: Row(kind, frozenset(labels.replace(",", " ").split())) for name, kind, labels, _ in rows}
