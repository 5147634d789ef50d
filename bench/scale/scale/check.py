"""Real clusters on this machine, each measured in rounds beside the limits that the model is given."""

import os
import statistics
import subprocess
import sys
import time

from compare.limits import Fabric, Fio
from compare.processes import BenchError

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
GB = 1e9
GIB_IN_GB = 1024**3 / GB
BUCKET = "bench"  # ckpt_load's

SAMPLED = ("save", "restore", "fio_write", "fio_read", "fabric_read", "fabric_write", "rank_encode", "rank_copies")

# As wide as the nodes allow.
REDUNDANCY = {1: "replica:1", 2: "replica:2", 3: "ec:2+1", 4: "ec:2+2", 5: "ec:3+2"}
OVERHEAD = {"replica:1": 1, "replica:2": 2, "ec:2+1": 1.5, "ec:2+2": 2, "ec:3+2": 5 / 3, "ec:4+2": 1.5}


def redundancy_of(nodes):
    """Of the check's bucket."""
    return REDUNDANCY.get(nodes, "ec:4+2")


def command(arguments):
    """Runs one command of Cairn's; its output."""
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode != 0:
        raise BenchError(f"{' '.join(arguments)}: {(done.stderr or done.stdout).strip()[-400:]}")
    return done.stdout


class Cluster:
    """A cluster of tools/dev-cluster, gone with its data at the end."""

    def __init__(self, options, scratch, nodes):
        self._tool = os.path.join(ROOT, "tools/dev-cluster")
        self._where = ["--dir", os.path.join(scratch, f"cluster-{nodes}")]
        # Two checkpoints and an eighth for alignment, spread unevenly.
        share = options.clients * options.mib * OVERHEAD[redundancy_of(nodes)] / nodes
        size = max(256, int(share * 4))
        programs = ["--bin", os.path.join(options.build_dir, "bin")]
        up = command([self._tool, "up", str(nodes), *self._where, *programs, "--port", "0", "--target-size",
                      f"{size}MiB", "--set", "reclaim_grace_seconds=1"])
        self.endpoint = next(line.split()[1] for line in up.splitlines() if line.split()[:1] == ["endpoint"])
        command([os.path.join(options.build_dir, "bin/cairn"), "--endpoint", self.endpoint, "bucket", "create", BUCKET,
                 "--redundancy", redundancy_of(nodes)])

    def down(self):
        """Ends it and removes what it held."""
        command([self._tool, "down", "--purge", *self._where])


def flush_us(scratch):
    """Microseconds until a small append is durable, the median of some."""
    times = []
    handle = os.open(os.path.join(scratch, "flush"), os.O_CREAT | os.O_WRONLY)
    try:
        for _ in range(20):
            os.write(handle, b"x" * 4096)
            start = time.monotonic()
            os.fdatasync(handle)
            times.append(time.monotonic() - start)
    finally:
        os.close(handle)
    return statistics.median(times) * 1e6


def measure(options, scratch, group, model, nodes):
    """Samples of one cluster, in GB/s of content, and of the limits beside it."""
    cluster = Cluster(options, scratch, nodes)
    samples = {name: [] for name in SAMPLED}
    try:
        load = group.start(
            [os.path.join(options.build_dir, "bin/ckpt_load"), "--endpoint", cluster.endpoint,
             "--clients", str(options.clients), "--mib", str(options.mib)], os.path.join(scratch, "ckpt_load.log"))
        load.answer()
        fabric = Fabric(group, options.build_dir, scratch, options)
        disk = Fio(scratch, int(options.clients * options.mib * 1024**2 * OVERHEAD[redundancy_of(nodes)]) >> 22 << 22)
        disk.prepare()
        for number in range(options.rounds + 1):
            path = f"{BUCKET}/load/step-{number}"
            sample = {"fio_write": disk.write() * GIB_IN_GB, "fabric_read": fabric.read() * GIB_IN_GB}
            for what in ("save", "restore"):
                report = load.ask(f"{what} {path}")
                sample[what] = report["bytes"] / report["seconds"] / GB
            sample["rank_encode"], sample["rank_copies"] = model.processor(redundancy_of(nodes))
            sample |= {"fabric_write": fabric.write() * GIB_IN_GB, "fio_read": disk.read() * GIB_IN_GB}
            load.ask(f"remove {path}")
            time.sleep(3)  # the grace, and the freeing
            if number > 0:  # the first pays for first writes and connections
                for name, value in sample.items():
                    samples[name].append(value)
        disk.remove()
    finally:
        group.stop()
        cluster.down()
    return samples


def check_all(options, scratch, group, model):
    """A row for each cluster: measured, predicted, and the ratio of the two."""
    rows = []
    for nodes in options.nodes:
        print(f"check: {nodes} node{'s' if nodes > 1 else ''}", file=sys.stderr)
        samples = measure(options, scratch, group, model, nodes)
        medians = {name: statistics.median(values) for name, values in samples.items()}
        medians["flush_us"] = flush_us(scratch)
        predicted = model.one_machine(nodes, redundancy_of(nodes), medians)
        row = {"nodes": nodes, "redundancy": redundancy_of(nodes), "clients": options.clients, "mib": options.mib,
               "limits": medians, "samples": samples}
        for what in ("save", "restore"):
            row[what] = {"measured": medians[what], "predicted": predicted[what],
                         "ratio": predicted[what] / medians[what]}
        rows.append(row)
        print(table([row]), file=sys.stderr)
    return rows


def table(rows):
    """For people."""
    lines = ["nodes  redundancy  what     measured  predicted  predicted/measured   disk w/r     loopback w/r  (GB/s)"]
    for row in rows:
        limits = row["limits"]
        for what in ("save", "restore"):
            of = row[what]
            lines.append(
                f"{row['nodes']:>5}  {row['redundancy']:<10}  {what:<7}  {of['measured']:>8.2f}  {of['predicted']:>9.2f}  "
                f"{of['ratio']:>18.2f}   {limits['fio_write']:.2f} / {limits['fio_read']:.2f}  "
                f"{limits['fabric_read']:.2f} / {limits['fabric_write']:.2f}")
    return "\n".join(lines) + "\n"
