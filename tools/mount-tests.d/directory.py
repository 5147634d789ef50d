"""The part that fills one directory with very many entries, lists it, looks into it, removes while it is listed, and empties it.

Each name has to be listed exactly once, whatever is created and removed beside it.
"""

import errno
import multiprocessing
import os
import random
import signal
import stat
import time

from place import LIMIT_S, TELL_EVERY_S, Failure

ENTRIES, QUICK_ENTRIES = 1_000_000, 10_000
PROCESSES = 4
LOOKS, QUICK_LOOKS = 50_000, 2_000
CHANGES = 500  # removed, and created, while the directory is listed


def directory(place, options):
    """Created by several processes in two mounts, listed, looked at, changed during a listing, removed."""
    entries = QUICK_ENTRIES if options.quick else ENTRIES
    looks = QUICK_LOOKS if options.quick else LOOKS
    place.start("8GiB")
    mount, other = (place.mount(name) for name in ("one", "two"))
    here, there = (os.path.join(each.mountpoint, "directory") for each in (mount, other))
    os.mkdir(here)
    numbers = range(entries)
    spread(place, f"creating {entries} entries", (here, there), numbers, create)
    names = {name_of(number) for number in numbers}
    listed_by_ls(place, here, names)
    for what, top in (("the one mount", here), ("the other", there)):
        with place.timed(f"os.scandir by {what}", entries):
            compare("os.scandir", scanned(top), names)
    look_at_random(place, there, numbers, looks)
    numbers = change_during_listing(place, here, there, entries)
    place.unmount(other)
    other = place.mount("two")
    listed_by_ls(place, there, {name_of(number) for number in numbers})
    spread(place, f"removing {len(numbers)} entries", (here, there), numbers, os.unlink)
    if left := os.listdir(here):
        raise Failure(f"{len(left)} entries are left after all were removed: {left[:5]}")
    os.rmdir(here)
    for each in (mount, other):
        if os.listdir(each.mountpoint):
            raise Failure(f"after rmdir {each.mountpoint} has {os.listdir(each.mountpoint)}")
        place.unmount(each)
    place.check_cluster()
    return f"{entries} entries"


def name_of(number):
    return f"entry-{number:07}"


def create(path):
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))


# ---- many processes


def spread(place, what, tops, numbers, call):
    """Calls `call` with the path of each number, by several processes, and tells the rate. They take turns with `tops`:
    a kernel lets one at a time change a directory, so that several mounts get further than one."""
    context = multiprocessing.get_context("fork")
    done = [context.Value("Q", 0, lock=False) for _ in range(PROCESSES)]
    errors = context.SimpleQueue()
    workers = [context.Process(target=work, args=(tops[index % len(tops)], numbers[index::PROCESSES], call, done[index], errors),
                               daemon=True)
               for index in range(PROCESSES)]
    began = told = time.monotonic()
    for worker in workers:
        worker.start()
    try:
        while any(worker.is_alive() for worker in workers) and errors.empty():
            next((worker for worker in workers if worker.is_alive()), workers[0]).join(0.2)
            if time.monotonic() - told > TELL_EVERY_S:
                told = time.monotonic()
                place.say(f"{what}: {sum(each.value for each in done)} so far")
            if time.monotonic() - began > LIMIT_S:
                raise Failure(f"{what}: not done after {LIMIT_S} s")
    finally:
        for worker in workers:
            worker.kill()
    if not errors.empty():
        raise Failure(f"{what}: {errors.get()}")
    total = sum(each.value for each in done)
    if total != len(numbers):
        raise Failure(f"{what}: {total} of {len(numbers)} were done, and a process is gone")
    seconds = time.monotonic() - began
    place.say(f"{what} by {PROCESSES} processes: {seconds:.1f} s, {total / seconds:.0f} a second")


def work(top, numbers, call, done, errors):
    # Whoever interrupts the run means the process that started this one, which ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for number in numbers:
        try:
            call(os.path.join(top, name_of(number)))
        except OSError as error:
            errors.put(str(error))
            return
        done.value += 1


# ---- listings


def scanned(top):
    with os.scandir(top) as entries:
        return [entry.name for entry in entries]


def listed_by_ls(place, top, names):
    with place.timed("ls -f", len(names)):
        log = place.run("ls", ["ls", "-f", top])
    with open(log, encoding="ascii") as file:
        found = [line for line in file.read().splitlines() if line not in (".", "..")]
    compare("ls -f", found, names)


def compare(what, found, names, may_be=frozenset()):
    """All `names` are in the list exactly once, and others only where they may be."""
    there = set(found)
    if len(there) != len(found):
        seen = set()
        twice = [name for name in found if name in seen or seen.add(name)]
        raise Failure(f"{what} has {len(twice)} names twice: {twice[:5]}")
    if missing := names - there:
        raise Failure(f"{what} lacks {len(missing)} of {len(names)} names: {sorted(missing)[:5]}")
    if more := there - names - may_be:
        raise Failure(f"{what} has {len(more)} names that are not there: {sorted(more)[:5]}")


def look_at_random(place, top, numbers, looks):
    """Each that is there is a file, and what is not there is not."""
    dice = random.Random(1)
    with place.timed(f"stat of {looks} entries at random", looks):
        for _ in range(looks):
            path = os.path.join(top, name_of(dice.choice(numbers)))
            each = os.lstat(path)
            if not stat.S_ISREG(each.st_mode) or each.st_size != 0 or each.st_nlink != 1:
                raise Failure(f"{path} is {each}")
    for number in range(len(numbers), len(numbers) + looks // 10):
        try:
            os.lstat(os.path.join(top, name_of(number)))
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
        else:
            raise Failure(f"{name_of(number)} is there, and nobody has created it")


def change_during_listing(place, here, there, entries):
    """Removes and creates, by each mount, while the one lists it. The numbers that are there afterwards."""
    dice = random.Random(2)
    removed = set(dice.sample(range(entries), 2 * CHANGES))
    created = set(range(entries, entries + 2 * CHANGES))
    steps = [(each, os.unlink) for each in removed] + [(each, create) for each in created]
    dice.shuffle(steps)
    found = []
    with place.timed(f"os.scandir while {len(removed)} are removed and {len(created)} created"):
        with os.scandir(here) as listing:
            for count, entry in enumerate(listing, 1):
                found.append(entry.name)
                if count % max(1, entries // len(steps)) == 0 and steps:
                    number, call = steps.pop()
                    call(os.path.join(there if number % 2 else here, name_of(number)))
        for number, call in steps:
            call(os.path.join(here, name_of(number)))
        compare("os.scandir of a changing directory", found, {name_of(number) for number in set(range(entries)) - removed},
                {name_of(number) for number in removed | created})
    left = sorted(set(range(entries)) - removed | created)
    # Names of the other mount's changes may be a second old here.
    with place.timed("os.scandir after that") as details:
        found = scanned(here)
        details.append(f"{len(found)} entries")
    compare("os.scandir after the changes", found, {name_of(number) for number in left})
    return left
