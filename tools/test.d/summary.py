"""Counts test cases in ctest's JUnit files: those inside each program where its framework says how many.

Usage: summary.py --passed N --failed N JUNIT...   The options add what did not run under ctest. Names the
failures, then prints "N passed, N failed" alone on the last line.
"""

import argparse
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path


def last_number(pattern: str, output: str) -> int:
    """The last match's number, or 0."""
    found = re.findall(pattern, output, re.MULTILINE)
    return int(found[-1]) if found else 0


def cases(output: str) -> tuple[int, int, int] | None:
    """(passed, failed, skipped) as GoogleTest, unittest or pytest counted them; None: none of these."""
    if re.search(r"^\[={10}\] \d+ tests? from .* ran", output, re.MULTILINE):
        return (
            last_number(r"^\[  PASSED  \] (\d+) tests?", output),
            last_number(r"^\[  FAILED  \] (\d+) tests?, listed", output),
            last_number(r"^\[  SKIPPED \] (\d+) tests?, listed", output),
        )
    if ran := last_number(r"^Ran (\d+) tests? in ", output):
        bad = last_number(r"^FAILED .*failures=(\d+)", output) + last_number(r"^FAILED .*errors=(\d+)", output)
        skipped = last_number(r"^(?:OK|FAILED) .*skipped=(\d+)", output)
        return max(0, ran - bad - skipped), bad, skipped
    # With -q pytest leaves the ornaments out.
    if found := re.findall(r"^(?:=+ )?(\d+ (?:passed|failed|skipped|error|deselected)\b.*) in [\d.]+s\b", output, re.M):
        line = found[-1]
        bad = last_number(r"(\d+) failed", line) + last_number(r"(\d+) errors?", line)
        return last_number(r"(\d+) passed", line), bad, last_number(r"(\d+) skipped", line)
    return None


# Lines of a failed program's output that are shown: enough for what it says last.
TAIL_LINES = 20


def count(file: Path) -> tuple[int, int, int, list[str]]:
    """(passed, failed, skipped, names and last words of the programs that failed) of one ctest run."""
    passed = failed = skipped = 0
    names = []
    for test in ElementTree.parse(file).getroot().iter("testcase"):
        output = test.findtext("system-out") or ""
        found = cases(output)
        bad = test.get("status") == "fail" or test.find("failure") is not None
        if test.get("status") in ("notrun", "disabled") or test.find("skipped") is not None:
            skipped += 1
            continue
        here = found or (0 if bad else 1, 1 if bad else 0, 0)
        # A program that crashed or hung after its last count still failed.
        here = (here[0], max(here[1], 1) if bad else here[1], here[2])
        passed, failed, skipped = passed + here[0], failed + here[1], skipped + here[2]
        if bad:
            names.append(f"{file.stem}: {test.get('name')}")
            names += [f"    {name}" for name in dict.fromkeys(re.findall(r"^\[  FAILED  \] (\w+\.\w+)", output, re.M))]
            names += [f"    | {line}" for line in output.rstrip().splitlines()[-TAIL_LINES:]]
    return passed, failed, skipped, names


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passed", type=int, default=0)
    parser.add_argument("--failed", type=int, default=0)
    parser.add_argument("files", nargs="*", type=Path)
    arguments = parser.parse_args()
    passed, failed, skipped = arguments.passed, arguments.failed, 0
    for file in arguments.files:
        here = count(file)
        passed, failed, skipped = passed + here[0], failed + here[1], skipped + here[2]
        for name in here[3]:
            print(f"failed: {name}")
    if skipped:
        print(f"{skipped} skipped; their output says why")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
