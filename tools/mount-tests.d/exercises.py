"""The parts that are programs of their own, run for long: fsx, fio, the crash campaign with the hammer, and the file formats.

The tests of each build have the short forms (tests/e2e/mount_exercise_test.py, tests/fault/mount_crash_test.py).
"""

import os
import sys

from cairn_harness import BUILD_DIR, ROOT, program
from place import END_PATIENCE_S, LIMIT_S, Failure, Missing, needs, tail

# Beyond what was asked for: the last operation, and comparing all files.
SLACK_S = 600
PATTERN = ["--verify=crc32c", "--verify_fatal=1", "--do_verify=1", "--verify_state_save=0", "--group_reporting"]
# What is written: name, options. All jobs have several processes, each with a file, or a part of one.
FIO_JOBS = (
    ("sequential, buffered", ["--rw=write", "--ioengine=psync", "--bsrange=512-1048576", "--bs_unaligned=1"]),
    ("random, buffered", ["--rw=randwrite", "--ioengine=psync", "--bsrange=512-262144", "--bs_unaligned=1",
                          "--verify_backlog=256", "--fsync=64"]),
    ("random, read and written, buffered", ["--rw=randrw", "--ioengine=libaio", "--iodepth=8", "--bsrange=512-262144",
                                            "--verify_backlog=256", "--fdatasync=32"]),
    ("sequential, direct", ["--rw=write", "--ioengine=libaio", "--iodepth=16", "--bsrange=4096-1048576", "--direct=1"]),
    ("random, direct", ["--rw=randwrite", "--ioengine=libaio", "--iodepth=16", "--bsrange=4096-262144", "--direct=1",
                        "--verify_backlog=256"]),
    ("random, direct, 4 KiB", ["--rw=randrw", "--ioengine=psync", "--bs=4096", "--direct=1", "--io_size={small}",
                               "--verify_backlog=64"]),
    ("random, mapped", ["--rw=randrw", "--ioengine=mmap", "--bsrange=4096-262144", "--fsync=64", "--io_size={small}"]),
    ("sequential, mapped", ["--rw=write", "--ioengine=mmap", "--bs=65536"]),
    ("random, each write synced", ["--rw=randwrite", "--ioengine=psync", "--bsrange=4096-65536", "--sync=1",
                                   "--io_size={small}"]),
)
# These are read by another mount, too: each block is written once, so that what must be there follows from the options.
FIO_READ_AGAIN = (
    ("sequential", ["--rw=write", "--ioengine=psync", "--bs=65536", "--fsync_on_close=1"]),
    ("random", ["--rw=randwrite", "--ioengine=libaio", "--iodepth=8", "--bs=16384", "--randseed=7", "--fsync_on_close=1"]),
    ("random, direct", ["--rw=randwrite", "--ioengine=libaio", "--iodepth=8", "--bs=16384", "--randseed=8", "--direct=1"]),
    ("parts of one file", ["--rw=randwrite", "--ioengine=psync", "--bs=16384", "--randseed=9", "--filename=shared",
                           "--offset_increment={size}", "--fsync_on_close=1"]),
)
FIO_PROCESSES = 4


def fsx(place, options):
    """Half of the time on one mount, half on two."""
    seconds = options.fsx_minutes * 60 / 2
    place.start("8GiB")
    mounts = [place.mount(name, 2 * seconds + 2 * SLACK_S) for name in ("one", "two")]
    operations = []
    for what, used, files in (("one mount", mounts[:1], 3), ("two mounts", mounts, 5)):
        place.say(f"on {what} for {seconds:.0f} s")
        log = place.run(f"on {what}", [program("fsx"), "--seconds", seconds, "--files", files,
                                       *[os.path.join(mount.mountpoint, f"fsx-{len(used)}") for mount in used]],
                        limit_s=seconds + SLACK_S)
        words = next(line for line in tail(log).splitlines() if "as the model" in line).split()
        operations.append(f"{words[1]} operations on {what}")
    for mount in mounts:
        place.unmount(mount)
    place.check_cluster()
    return ", ".join(operations)


def fio(place, options):
    """Each job writes and verifies what it wrote; some is verified by a second mount, which has read nothing before."""
    needs("fio", "fio, or tools/setup --test")
    size_mib, small_mib = (16, 4) if options.quick else (256, 32)
    sizes = {"size": f"{size_mib}m", "small": f"{small_mib}m"}
    place.start("8GiB")
    mount = place.mount("one")

    def run(what, mounted, arguments, *more):
        words = [word.format(**sizes) for word in arguments]
        name = "".join(letter if letter.isalnum() else "-" for letter in what)
        with place.timed(what):
            place.run(what, ["fio", f"--name={name}", f"--directory={mounted.mountpoint}", f"--size={sizes['size']}",
                             f"--numjobs={FIO_PROCESSES}", *PATTERN, *words, *more], cwd=place.logs)

    def remove(mounted):
        for name in os.listdir(mounted.mountpoint):
            os.unlink(os.path.join(mounted.mountpoint, name))
    for what, arguments in FIO_JOBS:
        run(what, mount, arguments)
        remove(mount)
    for what, arguments in FIO_READ_AGAIN:
        run(what, mount, arguments)
    place.unmount(mount)
    other = place.mount("two")
    for what, arguments in FIO_READ_AGAIN:
        run(what, other, arguments, "--verify_only")
    remove(other)
    place.unmount(other)
    place.check_cluster()
    return f"{len(FIO_JOBS)} jobs, and {len(FIO_READ_AGAIN)} read by a second mount, of {FIO_PROCESSES} x {size_mib} MiB"


def hammer(place, options):
    """The campaign of crashes, which has a node and mounts of its own."""
    seconds = options.hammer_minutes * 60
    cuts = 3 if options.quick else 50
    log = place.run(f"kills for {seconds:.0f} s, then {cuts} power cuts",
                    [sys.executable, os.path.join(ROOT, "tests/fault/mount_campaign"), "--seconds", seconds, "--cuts", cuts],
                    limit_s=seconds + cuts * END_PATIENCE_S + 3 * SLACK_S, look=lambda path: tail(path).rpartition("\n")[2])
    told = tail(log).splitlines()
    return "; ".join(line for line in told if "crashes (" in line or "skipped" in line)


def formats(place, options):
    """The test of the Python SDK beside a mount, and that of archives; both are part of every test run, too."""
    python = os.path.join(ROOT, "build/venv/bin/python")
    if not os.path.exists(python):
        raise Missing("build/venv, with PyTorch in it, is not there: tools/venv makes it")
    if not os.path.isdir(os.path.join(BUILD_DIR, "python")):
        raise Missing(f"{BUILD_DIR}/python is not there: this build has no Python package")
    log = place.run("PyTorch, safetensors and tar", [python, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider",
                                                     os.path.join(ROOT, "tests/e2e/python/test_mount.py")],
                    environment={"PYTHONPATH": os.path.join(BUILD_DIR, "python"), "PYTHONDONTWRITEBYTECODE": "1"})
    last = tail(log).splitlines()[-1]
    if "passed" not in last or "skipped" in last:
        raise Failure(f"not all ran: {tail(log)}")
    place.run("archives by the command line", [sys.executable, os.path.join(ROOT, "tests/e2e/mount_programs_test.py"),
                                               "-k", "archive"], limit_s=LIMIT_S)
    return last.strip("= ")
