"""Samples, ratios, the table people read and the JSON that programs read."""

import statistics

from . import mount_figures

GIB = 1024**3

# What each ratio has to reach, from the project's requirements.
TARGETS = {
    "save_vs_limit": 0.85,
    "restore_vs_limit": 0.85,
    "dcp_save_vs_filesystem": 1.5,
    "dcp_load_vs_filesystem": 1.5,
    "coded_save_vs_plain": 0.85,
    "rebuild_vs_limit": 0.7,
    "archive_vs_plain_copy": 0.8,
    "recall_vs_plain_copy": 0.8,
    "save_beside_archive_vs_alone": 0.9,
    "s3_archive_vs_plain_puts": 0.8,
    "s3_recall_vs_plain_gets": 0.8,
    "save_beside_s3_archive_vs_alone": 0.9,
    **mount_figures.TARGETS,
}

# What figures must not exceed, from the same requirements: a number, or another figure and a number on top of it.
# Memory and counts are judged by their highest sample, seconds by the median as speeds are.
UPPER_LIMITS = {
    "cairn_server_peak_rss": ("cairn_server_slabs", 300),
    "cairn_client_beyond_tensors": (None, 64),
    "dcp_rank_beyond_tensors": (None, 64),
    "cairn_fsyncs_per_shard": (None, 1),  # the comparison has one target
    "meta_commit": (None, 5),
    "meta_calls_per_rank": ("meta_calls_per_rank_of_1000", 0.01),
    "stall_p99": (None, 5),
    "stall_client_errors": (None, 0),
}

LABELS = {
    "fio_write": "fio write (io_uring, O_DIRECT, 4m, qd16, end fsync)",
    "fio_read": "fio read (io_uring, O_DIRECT, 4m, qd16)",
    "fabric_read": "bare fabric, server reads clients",
    "fabric_write": "bare fabric, server writes clients, delivery complete",
    "cairn_save": "Cairn save (durable, committed)",
    "cairn_restore": "Cairn restore (verified)",
    "cairn_save_client_cpu": "  save, per CPU-second of the clients",
    "cairn_save_server_cpu": "  save, per CPU-second of the server",
    "cairn_restore_client_cpu": "  restore, per CPU-second of the clients",
    "cairn_restore_server_cpu": "  restore, per CPU-second of the server",
    "cairn_fsyncs_per_shard": "  fsyncs for a saved shard",
    "cairn_server_slabs": "  server's configured slabs",
    "cairn_server_peak_rss": "  server's peak memory",
    "cairn_client_beyond_tensors": "  client's peak memory beyond its tensors",
    "dcp_fio_write": "fio write of as many bytes as DCP saves",
    "dcp_fio_read": "fio read of as many bytes as DCP loads",
    "dcp_save_filesystem": "DCP save, FileSystemWriter(sync_files=True)",
    "dcp_save_cairn": "DCP save, CairnStorageWriter",
    "dcp_load_filesystem": "DCP load, FileSystemReader, cold page cache",
    "dcp_load_cairn": "DCP load, CairnStorageReader, cold page cache",
    "dcp_rank_beyond_tensors": "  rank's memory beyond its tensors, save and load",
    "dcp_async_stall": "DCP async_save (thread), Cairn, until it returns",
    "dcp_async_copy": "  the same bytes by copy_ into warm memory",
    "meta_commit": "one checkpoint of 10,000 ranks, begin to commit",
    "meta_calls_per_rank": "  metadata calls a rank",
    "meta_calls_per_rank_of_1000": "  metadata calls a rank, of 1,000 ranks",
    "connections_memory": "node's memory for each connection",
    "connections_descriptors": "  and file descriptors",
    "connections_put_few": "put, 64 sessions at work and no others",
    "connections_put_many": "put, 64 sessions at work, all connected",
    "connections_get_few": "get, 64 sessions at work and no others",
    "connections_get_many": "get, 64 sessions at work, all connected",
    "cluster_fio_write": "fio write of as many bytes as the cluster's ranks save",
    "cluster_fio_read": "fio read of the same",
    "cluster_fabric_read": "bare fabric, server reads clients",
    "cluster_fabric_write": "bare fabric, server writes clients",
    "cluster_save_plain": "6 nodes: save, replica:1",
    "cluster_save_coded": "6 nodes: save, ec:4+2",
    "cluster_save_coded_client_cpu": "  per CPU-second of the clients",
    "cluster_save_coded_server_cpu": "  per CPU-second of the nodes",
    "cluster_restore_plain": "6 nodes: restore, replica:1",
    "cluster_restore_coded": "6 nodes: restore, ec:4+2",
    "cluster_restore_coded_client_cpu": "  per CPU-second of the clients",
    "cluster_restore_coded_server_cpu": "  per CPU-second of the nodes",
    "client_crc": "client: checksums alone",
    "client_encode": "client: checksums and parity of ec:4+2",
    "client_encode_share_of_clients": "  share of the clients' CPU time of a save",
    "client_encode_share_of_all": "  share of clients' and nodes' CPU time of a save",
    "small_put_coded_p50": "put of 4 KiB, ec:4+2, median",
    "small_put_coded_p99": "  99th percentile",
    "small_get_coded_p50": "get of 4 KiB, ec:4+2, median",
    "small_get_coded_p99": "  99th percentile",
    "small_put_plain_p50": "put of 4 KiB, replica:1, median",
    "small_put_plain_p99": "  99th percentile",
    "small_get_plain_p50": "get of 4 KiB, replica:1, median",
    "small_get_plain_p99": "  99th percentile",
    "save_undisturbed": "save with ec:4+2, nobody killed",
    "save_undisturbed_spread": "  the longest of them, beyond their median",
    "stall": "node killed during a save: time beyond that median",
    "stall_p99": "  99th percentile",
    "stall_client_errors": "  errors that clients saw",
    "rebuild": "rebuild of a lost node, nobody else at work",
    "rebuild_disk_limit": "  what the disk would let through (4 read, 1 written)",
    "rebuild_network_limit": "  what the bare fabric would let through (4 moved)",
    "rebuild_seconds": "  until nothing was left to do",
    "rebuild_server_cpu": "  per CPU-second of the nodes",
    "rebuild_cpu_used": "  CPUs that the nodes used meanwhile",
    "rebuild_with_saves": "rebuild while ranks save one after the other",
    "rebuild_with_saves_seconds": "  until nothing was left to do",
    "foreground_alone": "save before and after that rebuild",
    "foreground_during_rebuild": "save during that rebuild",
    "tier_plain_copy": "plain parallel copies of files, fsync included",
    "tier_archive": "copy of a checkpoint to a cold tier, from being asked for",
    "tier_plain_read": "plain parallel reads of files, cold page cache",
    "tier_cold_restore": "restore of a checkpoint that is cold",
    "tier_plain_copy_back": "plain parallel copies, again",
    "tier_recall": "fetch of a checkpoint from a cold tier, from being asked for",
    "tier_save_alone": "save with nothing beside",
    "tier_save_beside": "save while another checkpoint is copied",
    "s3_plain_copy": "plain parallel puts to an S3 service (boto3)",
    "s3_archive": "copy of a checkpoint to an S3 service, from being asked for",
    "s3_plain_read": "plain parallel gets into files, fsync included (boto3)",
    "s3_cold_restore": "restore of a checkpoint that lies in an S3 service alone",
    "s3_plain_copy_back": "plain parallel gets, again",
    "s3_recall": "fetch of a checkpoint from an S3 service, from being asked for",
    "s3_curl_put": "plain parallel puts, each in one request (curl)",
    "s3_curl_get": "plain parallel gets, each in one request (curl)",
    "s3_save_alone": "save with nothing beside",
    "s3_save_beside": "save while another checkpoint is copied to an S3 service",
}


class Results:
    """Collects samples by name; a ratio is taken within each round and then over the rounds."""

    def __init__(self):
        self._raw = {}
        self._ratios = {}
        self.skipped = {}

    def add(self, name, unit, value):
        entry = self._raw.setdefault(name, {"unit": unit, "samples": []})
        entry["samples"].append(value)

    def samples(self, name):
        return self._raw.get(name, {"samples": []})["samples"]

    def skip(self, name, why):
        """Notes what was not measured, and why, so that no missing figure is silent."""
        self.skipped[name] = why

    def compute_ratios(self):
        self._ratio("save_vs_limit", "cairn_save", ["fio_write", "fabric_read"])
        self._ratio("save_vs_fio", "cairn_save", ["fio_write"])
        self._ratio("restore_vs_limit", "cairn_restore", ["fio_read", "fabric_write"])
        self._ratio("restore_vs_fio", "cairn_restore", ["fio_read"])
        self._ratio("dcp_save_vs_filesystem", "dcp_save_cairn", ["dcp_save_filesystem"])
        self._ratio("dcp_load_vs_filesystem", "dcp_load_cairn", ["dcp_load_filesystem"])
        self._ratio("dcp_save_vs_fio", "dcp_save_cairn", ["dcp_fio_write"])
        self._ratio("dcp_save_filesystem_vs_fio", "dcp_save_filesystem", ["dcp_fio_write"])
        self._ratio("dcp_load_vs_fio", "dcp_load_cairn", ["dcp_fio_read"])
        self._ratio("dcp_load_filesystem_vs_fio", "dcp_load_filesystem", ["dcp_fio_read"])
        self._ratio("async_stall_vs_copy", "dcp_async_stall", ["dcp_async_copy"])
        # Of the bytes that nodes store for ec:4+2, four in six are content.
        self._ratio("coded_save_vs_plain", "cluster_save_coded", ["cluster_save_plain"], 6 / 4)
        self._ratio("coded_save_stored_vs_fio", "cluster_save_coded", ["cluster_fio_write"], 6 / 4)
        self._ratio("plain_save_vs_fio", "cluster_save_plain", ["cluster_fio_write"])
        self._ratio("coded_restore_vs_plain", "cluster_restore_coded", ["cluster_restore_plain"])
        self._ratio("coded_restore_vs_fio", "cluster_restore_coded", ["cluster_fio_read"])
        self._ratio("rebuild_vs_limit", "rebuild", ["rebuild_disk_limit", "rebuild_network_limit"])
        self._ratio("foreground_during_rebuild_vs_alone", "foreground_during_rebuild", ["foreground_alone"])
        self._ratio("archive_vs_plain_copy", "tier_archive", ["tier_plain_copy"])
        self._ratio("recall_vs_plain_copy", "tier_recall", ["tier_plain_copy_back"])
        self._ratio("cold_restore_vs_plain_read", "tier_cold_restore", ["tier_plain_read"])
        self._ratio("save_beside_archive_vs_alone", "tier_save_beside", ["tier_save_alone"])
        self._ratio("s3_archive_vs_plain_puts", "s3_archive", ["s3_plain_copy"])
        self._ratio("s3_recall_vs_plain_gets", "s3_recall", ["s3_plain_copy_back"])
        self._ratio("s3_archive_vs_curl", "s3_archive", ["s3_curl_put"])
        self._ratio("s3_recall_vs_curl", "s3_recall", ["s3_curl_get"])
        self._ratio("s3_cold_restore_vs_plain_gets", "s3_cold_restore", ["s3_plain_read"])
        self._ratio("save_beside_s3_archive_vs_alone", "s3_save_beside", ["s3_save_alone"])
        self._ratio("connections_put_many_vs_few", "connections_put_many", ["connections_put_few"])
        self._ratio("connections_get_many_vs_few", "connections_get_many", ["connections_get_few"])
        for name, dividend, divisor in mount_figures.ratios():
            self._ratio(name, dividend, [divisor])

    def _ratio(self, name, ours, limits, factor=1):
        rounds = list(zip(self.samples(ours), *(self.samples(limit) for limit in limits)))
        if rounds:
            samples = [factor * values[0] / min(values[1:]) for values in rounds]
            self._ratios[name] = {"median": statistics.median(samples), "samples": samples}

    def upper_limits(self):
        """Each figure that has an upper limit and was measured: {"value", "limit", "kept"}."""
        judged = {}
        for name, (base, margin) in UPPER_LIMITS.items():
            samples = self.samples(name)
            if not samples or (base and not self.samples(base)):
                continue
            value = statistics.median(samples) if self._raw[name]["unit"] == "s" else max(samples)
            limit = margin + (max(self.samples(base)) if base else 0)
            judged[name] = {"value": value, "limit": limit, "kept": value <= limit}
        return judged

    def as_json(self, about):
        raw = {name: dict(entry, median=statistics.median(entry["samples"]))
               for name, entry in self._raw.items()}
        return {
            "about": about,
            "raw": raw,
            "ratios": {name: entry["median"] for name, entry in self._ratios.items()},
            "ratio_samples": {name: entry["samples"] for name, entry in self._ratios.items()},
            "targets": TARGETS,
            "upper_limits": self.upper_limits(),
            "skipped": self.skipped,
        }

    def table(self):
        """The whole report as text."""
        lines = [f"{'':58} {'median':>9} {'min':>9} {'max':>9}"]
        for name, label in LABELS.items():
            entry = self._raw.get(name)
            if entry:
                low, high = min(entry["samples"]), max(entry["samples"])
                middle = statistics.median(entry["samples"])
                lines.append(f"{label:58} {middle:9.3f} {low:9.3f} {high:9.3f} {entry['unit']}")
        medians = {name: entry["median"] for name, entry in self._ratios.items()}
        lines += mount_figures.table(self.samples, medians)
        lines += ["", f"{'ratio, median over the rounds':58} {'median':>9} {'min':>9} {'max':>9} {'target':>7}"]
        for name, entry in self._ratios.items():
            target = TARGETS.get(name)
            verdict = ""
            if target is None and name in mount_figures.NAMES_OF_RATIOS:
                continue  # told in their own table
            if target is not None:
                verdict = f"{target:7.2f} " + ("reached" if entry["median"] >= target else "MISSED")
            low, high = min(entry["samples"]), max(entry["samples"])
            lines.append(f"{name:58} {entry['median']:9.2f} {low:9.2f} {high:9.2f} {verdict}")
        lines += ["", f"{'upper limit':58} {'value':>9} {'limit':>9}"]
        for name, entry in self.upper_limits().items():
            verdict = "kept" if entry["kept"] else "EXCEEDED"
            lines.append(f"{name:58} {entry['value']:9.2f} {entry['limit']:9.2f} {verdict}")
        lines += [f"not measured: {name}: {why}" for name, why in self.skipped.items()]
        return "\n".join(lines)
