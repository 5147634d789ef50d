"""One process that makes, looks at, reads and removes small files, as mdtest does.

Started by mount_rounds.py. Takes commands on stdin, `create|stat|read|remove DIRECTORY COUNT`, and answers each with one
line of JSON: when it began and ended, by the machine's monotonic clock. Only the standard library's thin wrappers of
system calls are used, since all that Python does counts.
"""

import json
import os
import sys
import time

CONTENT = os.urandom(4096)


def create(path):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    os.write(fd, CONTENT)
    os.close(fd)


def read(path):
    fd = os.open(path, os.O_RDONLY)
    content = os.read(fd, len(CONTENT) + 1)
    os.close(fd)
    if len(content) != len(CONTENT):
        raise OSError(f"{path} has {len(content)} bytes instead of {len(CONTENT)}")


WORK = {"create": create, "stat": os.stat, "read": read, "remove": os.unlink}


def run(command, folder, count):
    work = WORK[command]
    paths = [f"{folder}/file-{i}" for i in range(count)]
    if command == "create":
        os.mkdir(folder)
    began = time.monotonic()
    for path in paths:
        work(path)
    ended = time.monotonic()
    if command == "remove":
        os.rmdir(folder)
    return {"ok": True, "began": began, "ended": ended}


def main():
    print(json.dumps({"ok": True}), flush=True)
    for line in sys.stdin:
        command, folder, count = line.split()
        try:
            report = run(command, folder, int(count))
        except OSError as error:
            report = {"ok": False, "error": str(error)}
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
