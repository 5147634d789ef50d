"""Six nodes: saves and restores with ec:4+2 beside replica:1 on the same nodes, what encoding costs the clients, and
small files."""

import json
import os
import subprocess

from .cluster import percentile
from .processes import BenchError
from .results import GIB
from .sessions import SMALL_BYTES

NODES = 6
DATA_FRAGMENTS, FRAGMENTS = 4, 6
CODED, PLAIN = "coded", "plain"  # the buckets, of ec:4+2 and replica:1
BUCKETS = {CODED: "ec:4+2", PLAIN: "replica:1"}
SMALL_FILES = 100  # a round and bucket


def encode_rates(build_dir):
    """GiB of content a CPU second: checksums alone, and checksums with the parity of ec:4+2."""
    command = [os.path.join(build_dir, "bin/encode_bench"), "--benchmark_format=json", "--benchmark_min_time=0.3",
               "--benchmark_filter=BM_ContentCrcs|BM_EncodeStripe/4/2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode != 0:
        raise BenchError(f"encode_bench failed: {done.stderr.strip()[-400:]}")
    rates = {each["name"]: each["bytes_per_second"] / GIB for each in json.loads(done.stdout)["benchmarks"]}
    return rates["BM_ContentCrcs"], rates["BM_EncodeStripe/4/2"]


class ClusterRounds:
    """What is measured in rounds, as the one-node figures are."""

    name = "six nodes"

    def __init__(self, build_dir, cluster, ranks, sessions, fio, fabric, results):
        self._build_dir, self._cluster, self._ranks, self._sessions = build_dir, cluster, ranks, sessions
        self._fio, self._fabric, self.results = fio, fabric, results

    def round(self, number):
        crc_rate, encode_rate = encode_rates(self._build_dir)
        self.results.add("client_crc", "GiB/CPU-s", crc_rate)
        self.results.add("client_encode", "GiB/CPU-s", encode_rate)
        order = [CODED, PLAIN] if number % 2 else [PLAIN, CODED]
        saved = self._turn("save", order, number)
        self._turn("restore", order, number)
        # Of this round's save: what encoding takes of the clients' work, of all nodes' and clients', and of its time.
        encode_s = self._ranks.bytes / GIB / encode_rate
        report = saved[CODED]
        self.results.add("client_encode_share_of_clients", "%", 100 * encode_s / max(report["client_cpu_s"], 0.01))
        self.results.add("client_encode_share_of_all", "%",
                         100 * encode_s / max(report["client_cpu_s"] + report["server_cpu_s"], 0.01))
        for bucket in BUCKETS:
            self._ranks.remove(f"{bucket}/load/step-{number}")
        self._small_files(number)

    def _turn(self, command, order, number):
        """Both buckets between two measurements of the disk."""
        fio, fio_name, fabric, fabric_name = (
            (self._fio.write, "cluster_fio_write", self._fabric.read, "cluster_fabric_read") if command == "save"
            else (self._fio.read, "cluster_fio_read", self._fabric.write, "cluster_fabric_write"))
        first, reports = fio(), {}
        for bucket in order:
            reports[bucket] = getattr(self._ranks, command)(f"{bucket}/load/step-{number}")
            self.results.add(f"cluster_{command}_{bucket}", "GiB/s", reports[bucket]["speed"])
        self.results.add(f"cluster_{command}_coded_client_cpu", "GiB/CPU-s",
                         self._ranks.bytes / GIB / max(reports[CODED]["client_cpu_s"], 0.01))
        self.results.add(f"cluster_{command}_coded_server_cpu", "GiB/CPU-s",
                         self._ranks.bytes / GIB / max(reports[CODED]["server_cpu_s"], 0.01))
        self.results.add(fabric_name, "GiB/s", fabric())
        self.results.add(fio_name, "GiB/s", (first + fio()) / 2)
        return reports

    def _small_files(self, number):
        for bucket in BUCKETS:
            directory = f"{bucket}/small/{number}"
            for verb in ("put", "get"):
                times = self._sessions.move(verb, directory, 1, SMALL_BYTES, SMALL_FILES)["latencies_ms"]
                for percent in (50, 99):
                    self.results.add(f"small_{verb}_{bucket}_p{percent}", "ms", percentile(times, percent))
            self._sessions.remove(directory)
