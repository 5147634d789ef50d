"""The part that copies a tree of real files into a mount, moves it about, copies it out and removes it.

Without --tree the files are the machine's own: as many as are wanted of /usr, which are copied aside first, since packages may
be installed meanwhile.
"""

import os
import stat
import subprocess

from cairn_harness import ROOT
from mount_harness import described
from place import Failure, Missing

FILES, QUICK_FILES = 100_000, 3_000
SOURCES = ("/usr", os.path.join(ROOT, "build/venv"))
# A hundred thousand files have 1.5 GiB then; what large files do to a mount is the matter of other parts.
LARGEST_BYTES = 4 << 20
# Of the first directory to the last.
COPY_ALL = 'set -o pipefail; tar -C "$0" -cf - . | tar -C "$1" -xpf -'
COPY_LISTED = 'set -o pipefail; tar -C "$0" --null --no-recursion -T "$1" -cf - | tar -C "$2" -xpf -'


def tree(place, options):
    """Copied in, compared, moved, compared by a second mount, copied out and removed."""
    source = os.path.abspath(options.tree) if options.tree else stage(place, QUICK_FILES if options.quick else FILES)
    expected = described(source)
    files = sum(not stat.S_ISDIR(int(each[0], 8)) for each in expected.values())
    size = sum(each[4] for each in expected.values())
    place.say(f"{source}: {files} files, {len(expected) - files} directories, {size / 2**20:.0f} MiB")
    place.start(f"{2 * size // 2**20 + 4096}MiB")
    mount = place.mount("one")
    copy, moved = (os.path.join(mount.mountpoint, name) for name in ("copy", "moved"))
    with place.timed("cp -a into the mount", files):
        place.run("cp", ["cp", "-a", source, copy])
    count(place, copy, len(expected) + 1)
    compare(place, source, expected, copy)
    with place.timed("mv of the directory"):
        place.run("mv", ["mv", copy, moved])
    if sorted(os.listdir(mount.mountpoint)) != ["moved"]:
        raise Failure(f"after mv there are {sorted(os.listdir(mount.mountpoint))}")
    place.unmount(mount)

    mount = place.mount("two")
    moved = os.path.join(mount.mountpoint, "moved")
    place.say("mounted anew")
    count(place, moved, len(expected) + 1)
    compare(place, source, expected, moved)
    out = os.path.join(place.local, "out")
    os.mkdir(out)
    with place.timed("tar out of the mount", files):
        place.run("tar", ["bash", "-c", COPY_ALL, moved, out])
    compare(place, source, expected, out)
    place.run("rm", ["rm", "-rf", out])
    with place.timed("rm -rf in the mount", files):
        place.run("rm", ["rm", "-rf", moved])
    if os.listdir(mount.mountpoint):
        raise Failure(f"after rm -rf there is {os.listdir(mount.mountpoint)}")
    place.unmount(mount)
    with place.timed("all of its space is free"):
        place.check_cluster()
    return f"{files} files, {size / 2**20:.0f} MiB"


def chosen(wanted):
    """By the directory they are in, paths of so many files and of the directories above them."""
    files = 0
    for source in SOURCES:
        paths = []
        for folder, folders, names in os.walk(source):
            folders.sort()
            paths.append(os.path.relpath(folder, source))
            for name in sorted(names):
                path = os.path.join(folder, name)
                each = os.lstat(path)
                if files < wanted and (stat.S_ISLNK(each.st_mode)
                                       or stat.S_ISREG(each.st_mode) and each.st_size <= LARGEST_BYTES):
                    paths.append(os.path.relpath(path, source))
                    files += 1
            if files == wanted:
                yield source, paths
                return
        yield source, paths
    raise Missing(f"{' and '.join(SOURCES)} have {files} files, and {wanted} are wanted: name a directory with --tree")


def stage(place, wanted):
    """A copy of so many of the machine's own files."""
    top = os.path.join(place.local, "source")
    with place.timed(f"{wanted} files of {' and '.join(SOURCES)} copied aside"):
        for source, paths in chosen(wanted):
            below = os.path.join(top, os.path.basename(source))
            os.makedirs(below)
            listing = below + ".list"
            with open(listing, "wb") as file:
                file.write(b"".join(os.fsencode(path) + b"\0" for path in paths))
            place.run("tar", ["bash", "-c", COPY_LISTED, source, listing, below])
            os.unlink(listing)
    return top


def count(place, top, wanted):
    """find finds everything once."""
    with place.timed("find", wanted) as details:
        done = subprocess.run(["find", top, "-printf", "."], capture_output=True, check=True)
        details.append(f"{len(done.stdout)} names")
    if len(done.stdout) != wanted:
        raise Failure(f"find finds {len(done.stdout)} names below {top}, and there are {wanted}")


def compare(place, source, expected, top):
    """The bytes, the targets of links, and what lstat(2) says."""
    with place.timed(f"diff -r with {os.path.basename(top)}", len(expected)):
        place.run("diff", ["diff", "-r", "--no-dereference", source, top])
    with place.timed(f"lstat of {os.path.basename(top)}", len(expected)):
        found = described(top)
    wrong = [f"{path}: {found.get(path)} and not {expected.get(path)}" for path in sorted(set(expected) | set(found))
             if found.get(path) != expected.get(path)]
    if wrong:
        raise Failure(f"{len(wrong)} files of {top} are not as they were: mode, uid, gid, mtime, size, first of its links\n"
                      + "\n".join(wrong[:10]))
