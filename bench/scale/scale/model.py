"""scale_bench, asked for the study and for this machine."""

import json
import os
import shlex
import subprocess

from compare.processes import BenchError

# A smaller study that still has the largest cluster in it.
QUICK = ["--nodes", "8,256", "--ranks", "64,4096", "--shape", "405b", "--stripes-max", "800000"]


class Model:
    """Runs scale_bench."""

    def __init__(self, options):
        self._options = options
        self._program = os.path.join(options.build_dir, "bin/scale_bench")

    def _run(self, arguments):
        done = subprocess.run([self._program, *arguments], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BenchError(f"scale_bench {' '.join(arguments)}: {done.stderr.strip()[-400:]}")
        return done.stdout

    def study(self):
        """What it predicts for many nodes: JSON's object, or the table."""
        arguments = QUICK if self._options.quick else []
        as_json = self._options.output == "json"
        arguments = [*arguments, *shlex.split(self._options.model), "--output", "json" if as_json else "table"]
        answer = self._run(arguments)
        return json.loads(answer) if as_json else answer

    def processor(self, redundancy):
        """GB/s of one core: checksums with parity, checksums alone."""
        rates = json.loads(self._run(["--calibrate", "--redundancy", redundancy]))
        return rates["rank_encode_gb_per_s"], rates["rank_copies_gb_per_s"]

    def one_machine(self, nodes, redundancy, limits):
        """GB/s of a save and of a restore on `nodes` nodes of this machine."""
        copies = limits["rank_copies"]
        arguments = ["--one-machine", "--nodes", nodes, "--ranks", self._options.clients,
                     "--rank-bytes", self._options.mib << 20, "--redundancy", redundancy,
                     "--disks-per-node", 1, "--reactors-per-node", 1, "--slab-memory", 64 << 20,
                     "--cores", os.cpu_count(), "--stripes-max", 0, "--output", "json",
                     "--rank-encode-gbs", limits["rank_encode"], "--rank-copies-gbs", copies, "--reactor-gbs", copies,
                     "--disk-write-gbs", limits["fio_write"], "--disk-read-gbs", limits["fio_read"],
                     "--disk-flush-us", limits["flush_us"], "--index-sync-us", limits["flush_us"],
                     "--meta-sync-us", limits["flush_us"], "--latency-us", 30]
        predicted = {}
        # Loopback's speed differs by direction.
        for direction, fabric in (("save", "fabric_read"), ("restore", "fabric_write")):
            answer = self._run([*map(str, arguments), "--loopback-gbs", str(limits[fabric])])
            predicted[direction] = json.loads(answer)["cases"][0][direction]["gb_per_s"]
        return predicted
