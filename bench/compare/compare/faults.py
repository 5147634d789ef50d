"""Six nodes, of which one is lost: the stall of a save, the speed of the rebuild, and what clients notice of it."""

import random
import statistics
import threading
import time

from .cluster import percentile
from .cluster_rounds import CODED, DATA_FRAGMENTS
from .processes import BenchError, cpu_seconds
from .results import GIB

LOOK_INTERVAL_S = 0.2
STALL_SEED = 1


class Stall:
    """Saves during which a node is killed with -9, each beside one that nothing disturbs."""

    def __init__(self, cluster, ranks, results, say):
        self._cluster, self._ranks, self._results, self._say = cluster, ranks, results, say
        self._random = random.Random(STALL_SEED)
        self._errors = 0

    def measure(self, repetitions):
        """A stall is the time of a save beyond the median of the undisturbed: all pauses together, hence no less than
        its longest."""
        undisturbed, disturbed = [], []
        for number in range(repetitions):
            self._say(f"node killed during a save: {number + 1} of {repetitions}")
            path = f"{CODED}/undisturbed/step-{number}"
            undisturbed.append(self._ranks.save(path)["seconds"])
            self._ranks.remove(path)
            seconds = self._save_with_a_kill(number, statistics.median(undisturbed))
            if seconds is not None:
                disturbed.append(seconds)
        usual = statistics.median(undisturbed)
        for seconds in undisturbed:
            self._results.add("save_undisturbed", "s", seconds)
        for seconds in disturbed:
            self._results.add("stall", "s", max(0.0, seconds - usual))
        if disturbed:
            self._results.add("stall_p99", "s", percentile(self._results.samples("stall"), 99))
            # What the disk does to a save by itself, for comparison.
            self._results.add("save_undisturbed_spread", "s", max(undisturbed) - usual)
        self._results.add("stall_client_errors", "errors", self._errors)

    def _save_with_a_kill(self, number, usual_s):
        """The seconds of the save, restored and verified while the node is dead; None when it failed or
        was over before. The founding node is not killed: it alone has the metadata."""
        others = self._cluster.nodes[1:]
        node = others[number % len(others)]
        path = f"{CODED}/killed/step-{number}"
        timer = threading.Timer(self._random.uniform(0.1, 0.7) * usual_s, self._cluster.kill, [node])
        timer.start()
        seconds, saved = None, False
        try:
            seconds = self._ranks.save(path, count_servers=False)["seconds"]
            saved = True
            if timer.is_alive():
                seconds = None  # it was faster than usual: no kill during it, and nothing to count
            timer.join()
            self._ranks.restore(path, count_servers=False)
        except BenchError as error:
            self._errors += 1
            self._say(str(error))
        timer.join()
        self._cluster.start(node)
        self._cluster.wait_up()
        if saved:
            self._ranks.remove(path)
        self._cluster.wait_settled()
        return seconds


class Rebuild:
    """A node is lost for good, and its fragments are made again by the others: with nobody else at work, and during
    saves. A new node takes its place afterwards."""

    def __init__(self, cluster, ranks, fio, fabric, results, say):
        self._cluster, self._ranks, self._fio, self._fabric = cluster, ranks, fio, fabric
        self._results, self._say = results, say
        self._saves = 0

    def fill(self, checkpoints):
        """What will be lost and made again."""
        for number in range(checkpoints):
            self._ranks.save(f"{CODED}/kept/step-{number}")

    def round(self, number):
        self._say(f"rebuild {number}")
        self._cluster.wait_settled()
        limits = [self._limits()]
        idle = self._lose_one()
        limits.append(self._limits())
        self._results.add("rebuild", "GiB/s", idle["speed"])
        self._results.add("rebuild_seconds", "s", idle["seconds"])
        self._results.add("rebuild_server_cpu", "GiB/CPU-s", idle["cpu_rate"])
        self._results.add("rebuild_cpu_used", "CPUs", idle["cpus"])
        for index, name in enumerate(("rebuild_disk_limit", "rebuild_network_limit")):
            self._results.add(name, "GiB/s", sum(limit[index] for limit in limits) / 2)
        self._replace()
        before = self._save()
        during = []
        busy = self._lose_one(lambda: during.append(self._save()))
        self._results.add("rebuild_with_saves", "GiB/s", busy["speed"])
        self._results.add("rebuild_with_saves_seconds", "s", busy["seconds"])
        after = self._save()
        self._results.add("foreground_alone", "GiB/s", (before + after) / 2)
        self._results.add("foreground_during_rebuild", "GiB/s", statistics.median(during))
        self._replace()

    def _limits(self):
        """What the disk and the network would let through, in restored GiB/s. Each restored byte takes k bytes read
        and one written, all on this machine's one disk, and k bytes over its one network."""
        disk = 1 / (DATA_FRAGMENTS / self._fio.read() + 1 / self._fio.write())
        return disk, self._fabric.write() / DATA_FRAGMENTS

    def _lose_one(self, meanwhile=None):
        """Loses the newest node and watches its data being made again; `meanwhile` is called until they are."""
        base = self._cluster.rebuild_status()["restored_bytes"]
        self._cluster.lose(self._cluster.nodes[-1])
        pids = self._cluster.pids()
        watch = Watch(self._cluster, base, pids)
        watch.start()
        while meanwhile:
            meanwhile()
            if not watch.is_alive():
                break
        watch.join()
        return watch.result()

    def _save(self):
        self._saves += 1
        path = f"{CODED}/foreground/step-{self._saves}"
        speed = self._ranks.save(path)["speed"]
        self._ranks.remove(path)
        return speed

    def _replace(self):
        self._cluster.add()
        self._cluster.wait_settled()


class Watch(threading.Thread):
    """Looks at a rebuild until nothing is left to do."""

    def __init__(self, cluster, base_bytes, pids):
        super().__init__(daemon=True)
        self._cluster, self._base, self._pids = cluster, base_bytes, pids
        self._looks = []  # time, restored bytes, CPU seconds of the nodes
        self._error = None
        self._began = time.monotonic()

    def run(self):
        try:
            started = False
            while True:
                status = self._cluster.rebuild_status()
                self._looks.append((time.monotonic(), status["restored_bytes"] - self._base,
                                    cpu_seconds(self._pids)))
                started = started or self._looks[-1][1] > 0
                if started and status["idle"]:
                    return
                if time.monotonic() - self._began > 600:
                    raise BenchError(f"the rebuild did not end within 10 minutes: {status}")
                time.sleep(LOOK_INTERVAL_S)
        except BenchError as error:
            self._error = error

    def result(self):
        """From the last look that saw nothing restored to the first that saw all of it."""
        if self._error:
            raise self._error
        total = self._looks[-1][1]
        empty = [look for look in self._looks if look[1] == 0]
        first = empty[-1] if empty else self._looks[0]
        last = next(look for look in self._looks if look[1] == total)
        seconds, cpu_s = max(last[0] - first[0], 0.001), last[2] - first[2]
        gib = (total - first[1]) / GIB
        return {"speed": gib / seconds, "seconds": self._looks[-1][0] - self._began,
                "cpu_rate": gib / max(cpu_s, 0.01), "cpus": cpu_s / seconds}
