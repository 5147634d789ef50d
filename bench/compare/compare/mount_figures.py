"""What is measured of mounts, by name, and the table of it: a row for each figure, a column for each way to the disk."""

import statistics
from dataclasses import dataclass

# By the names of their classes in mounts.py.
WAYS = {"ext4": "ext4", "passthrough": "pass-thr.", "nfs": "NFS", "cairn": "Cairn"}
OTHERS = tuple(way for way in WAYS if way != "cairn")


@dataclass(frozen=True)
class Figure:
    name: str
    label: str
    unit: str

    @property
    def less_is_better(self):
        return self.unit == "s"

    def of(self, way):
        """The name of its samples."""
        return f"mount_{self.name}_{way}"

    def ratio(self, way):
        """The name of Cairn's speed divided by that way's."""
        return f"mount_{self.name}_vs_{way}"


def _by_jobs(name, label, unit, who):
    return [Figure(f"{name}_{count}", f"{label}, {count} {who}", unit) for count in (1, 4)]


SEQUENTIAL = (_by_jobs("seq_write", "fio write, 1m, end fsync", "GiB/s", "job(s)")
              + _by_jobs("seq_read", "fio read, 1m, cold", "GiB/s", "job(s)"))
FIGURES = [
    *SEQUENTIAL,
    *_by_jobs("rand_write_4k", "fio random write, 4k, end fsync", "ops/s", "job(s)"),
    *_by_jobs("rand_read_4k", "fio random read, 4k, cold", "ops/s", "job(s)"),
    *_by_jobs("rand_write_128k", "fio random write, 128k, end fsync", "ops/s", "job(s)"),
    *_by_jobs("rand_read_128k", "fio random read, 128k, cold", "ops/s", "job(s)"),
    *_by_jobs("create", "create, write 4 KiB, close", "files/s", "at once"),
    *_by_jobs("stat", "stat of them, cold", "files/s", "at once"),
    *_by_jobs("read", "open, read, close, cold", "files/s", "at once"),
    *_by_jobs("remove", "remove", "files/s", "at once"),
    Figure("torch_save", "torch.save, fsync", "s"),
    Figure("torch_load", "torch.load, cold", "s"),
    Figure("safetensors_save", "safetensors save_file, fsync", "s"),
    Figure("safetensors_open", "safetensors safe_open (mmap), all, cold", "s"),
    Figure("cp_in", "cp of one file there, sync", "s"),
    Figure("cp_out", "cp of it to /dev/null, cold", "s"),
    Figure("tar_in", "tar -x of a tree there", "s"),
    Figure("tar_out", "tar -c of it, cold", "s"),
    Figure("rsync", "rsync -a of a tree there", "s"),
    Figure("git_clone", "git clone there", "s"),
    Figure("sqlite_insert", "SQLite: inserts in transactions", "s"),
    Figure("sqlite_query", "SQLite: queries, cold", "s"),
]

# What Cairn's mount has to reach, from the project's requirements: sequential I/O near what FUSE lets through, and ahead
# of NFS.
TARGETS = ({figure.ratio("passthrough"): 0.8 for figure in SEQUENTIAL}
           | {figure.ratio("nfs"): 1.0 for figure in SEQUENTIAL})


def ratios():
    """(name, dividend, divisor) of each: speeds, or the other's seconds by Cairn's."""
    for figure in FIGURES:
        for way in OTHERS:
            pair = (figure.of("cairn"), figure.of(way))
            yield (figure.ratio(way), *(reversed(pair) if figure.less_is_better else pair))


NAMES_OF_RATIOS = {name for name, _, _ in ratios()}


def _number(value):
    digits = 0 if value >= 100 else 1 if value >= 10 else 3
    return f"{value:9.{digits}f}"


def table(samples, ratio_medians):
    """Lines; none when nothing of it was measured. `samples` by name, `ratio_medians` by name."""
    rows = []
    for figure in FIGURES:
        columns = [samples(figure.of(way)) for way in WAYS]
        if not any(columns):
            continue
        cells = [_number(statistics.median(each)) if each else f"{'-':>9}" for each in columns]
        for way in OTHERS:
            median = ratio_medians.get(figure.ratio(way))
            cells.append(f"{'-':>9}" if median is None else f"{median:9.2f}")
        rows.append(f"{figure.label:43} {figure.unit:7} {' '.join(cells)}")
    if not rows:
        return []
    heads = " ".join(f"{head:>9}" for head in (*WAYS.values(), *("vs " + WAYS[way][:6] for way in OTHERS)))
    return ["", f"{'mounts: medians, and how much faster Cairn is':51} {heads}", *rows]
