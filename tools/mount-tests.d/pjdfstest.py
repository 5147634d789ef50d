"""The part that runs pjdfstest, a suite of what POSIX says of files, as root in a mount.

Its sources are not ours: --pjdfstest names a checkout in which it has been built. What is known to fail is in
tests/e2e/pjdfstest_known_failures.txt.
"""

import os
import re

from cairn_harness import ROOT
from place import Failure, Missing, needs

KNOWN = os.path.join(ROOT, "tests/e2e/pjdfstest_known_failures.txt")
HOW_TO_GET = """git clone https://github.com/pjd/pjdfstest && cd pjdfstest && autoreconf -ifs && ./configure && make pjdfstest"""
TOLD_AT_MOST = 30

_FILE = re.compile(r"^(?P<path>/\S+\.t) \.+ ?(?P<verdict>.*)$")
_PLAN = re.compile(r"^1\.\.(?P<count>\d+)")
_TEST = re.compile(r"^(?P<bad>not )?ok (?P<number>\d+)(?P<rest>.*)$")
_EXPECTED = re.compile(r"#\s*(?:TODO|SKIP)", re.IGNORECASE)


class Results:
    """What each file of the suite said."""

    def __init__(self, log_path, top):
        self.planned = {}  # by file: how many tests; None: it never said
        self.passed = {}  # by file: numbers
        self.failed = {}  # by file: what is said of each number
        current = None
        with open(log_path, encoding="utf-8", errors="replace") as log:
            for line in log:
                if match := _FILE.match(line):
                    current = os.path.relpath(match["path"], top)
                    self.planned[current] = 0 if match["verdict"].startswith("skipped") else None
                    self.passed[current], self.failed[current] = set(), {}
                elif current and (match := _PLAN.match(line)):
                    self.planned[current] = int(match["count"])
                elif current and (match := _TEST.match(line)):
                    self._take(current, match)
        for path, count in self.planned.items():
            if count is None:
                self.failed[path][0] = "the file ended before it said how many tests it has"
                continue
            for number in set(range(1, count + 1)) - self.passed[path] - set(self.failed[path]):
                self.failed[path][number] = "the file ended before this test"

    def _take(self, path, match):
        number = int(match["number"])
        if match["bad"] and not _EXPECTED.search(match["rest"]):
            self.failed[path][number] = match["rest"].strip(" -")
        else:
            self.passed[path].add(number)


def known_failures(path=KNOWN):
    """By file of the suite, the numbers of the tests that are known to fail."""
    known = {}
    with open(path, encoding="utf-8") as file:
        for count, line in enumerate(file, 1):
            entry = line.partition("#")[0].strip()
            if not entry:
                continue
            match = re.fullmatch(r"(\S+\.t):\s*(\d+(?:-\d+)?(?:\s*,\s*\d+(?:-\d+)?)*)", entry)
            if not match:
                raise Failure(f"{path}:{count}: not as 'tests/path.t: 3,7-9  # reason'")
            for each in match[2].split(","):
                first, _, last = each.strip().partition("-")
                known.setdefault(match[1], set()).update(range(int(first), int(last or first) + 1))
    return known


def listed(numbers):
    """As the file of known failures has them: 3,7-9."""
    ranges = []
    for number in sorted(numbers):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ",".join(f"{first}" if first == last else f"{first}-{last}" for first, last in ranges)


def suite(options):
    """The checkout, built."""
    if not options.pjdfstest:
        raise Missing(f"--pjdfstest DIR names no checkout of it. To get one: {HOW_TO_GET}")
    top = os.path.abspath(options.pjdfstest)
    if not os.path.isdir(os.path.join(top, "tests")):
        raise Missing(f"{top} is no checkout of pjdfstest. To get one: {HOW_TO_GET}")
    if not os.access(os.path.join(top, "pjdfstest"), os.X_OK):
        raise Missing(f"{top} is not built: in it, autoreconf -ifs && ./configure && make pjdfstest")
    needs("prove", "perl")
    return top


def pjdfstest(place, options):
    """All of the suite; a failure that is not known is one, and so is a known one that does not happen."""
    top = suite(options)
    known = known_failures()
    wanted = sum(name.endswith(".t") for _, _, names in os.walk(os.path.join(top, "tests")) for name in names)
    place.start("4GiB")
    mount = place.mount("mnt")
    where = os.path.join(mount.mountpoint, "pjdfstest")
    os.mkdir(where, 0o755)

    def look(path):
        with open(path, encoding="utf-8", errors="replace") as log:
            return f"{sum(bool(_FILE.match(line)) for line in log)} of {wanted} files"
    # What its status says is in the log, by test.
    log = place.run("prove", ["prove", "-r", "-v", os.path.join(top, "tests")], cwd=where, expect=range(256), look=look)
    results = Results(log, top)
    if len(results.planned) != wanted:
        raise Failure(f"{len(results.planned)} files of {wanted} ran; its log: {log}")
    compare(place, results, known)
    place.unmount(mount)
    tests = sum(len(numbers) for numbers in results.passed.values())
    if not tests:
        raise Failure(f"no test ran; its log: {log}")
    return f"{wanted} files, {tests} tests passed, {sum(map(len, known.values()))} are known to fail"


def compare(place, results, known):
    """Raises Failure unless exactly what is known to fail does."""
    new = [f"{path}: {number}: {said}" for path, failed in results.failed.items() for number, said in sorted(failed.items())
           if number not in known.get(path, ())]
    gone = {path: numbers - set(results.failed.get(path, ())) for path, numbers in known.items()}
    for line in new[:TOLD_AT_MOST]:
        place.say(f"failed: {line}")
    for path, numbers in gone.items():
        if numbers:
            place.say(f"passes, and is listed as failing: {path}: {listed(numbers)}")
    if new or any(gone.values()):
        raise Failure(f"{len(new)} tests failed that are not known to; "
                      f"{sum(map(len, gone.values()))} are to be removed from {os.path.relpath(KNOWN, ROOT)}")
