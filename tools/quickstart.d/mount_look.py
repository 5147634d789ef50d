"""The last part of quickstart: the same checkpoints as files, through a mount, where the machine has FUSE.

What a plain program reads there must be what the SDK reads, and a directory that `cp` and `mv` have written must be a
checkpoint like any other.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import cairn


class MountFailure(Exception):
    """What is to be told, without a stack trace."""


@dataclass
class Look:
    """What was seen."""

    files: int
    size_bytes: int
    copied: str  # the checkpoint that plain tools made
    seconds: float


def missing() -> str | None:
    """Why this machine shows no mount; None when it can."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "there is no /dev/fuse that this user may use"
    if os.geteuid() != 0 and shutil.which("fusermount3") is None:
        return "fusermount3 is missing (package fuse3)"
    return None


def run(*command: str | Path) -> str:
    """The output of a command that has to succeed."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        text = " ".join(str(word) for word in command)
        raise MountFailure(f"{text}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def compare(client: cairn.Client, directory: Path, checkpoint: str) -> tuple[int, int]:
    """Every file of the checkpoint, by the mount and by the SDK; how many, and their bytes."""
    files = size = 0
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        name = f"{checkpoint}/{path.relative_to(directory)}"
        with client.open(name) as stream:
            if stream.read() != path.read_bytes():
                raise MountFailure(f"{name} reads differently through the mount")
        files += 1
        size += path.stat().st_size
    return files, size


def look(client: cairn.Client, binary: Path, endpoint: str, checkpoints: str, work: Path) -> Look:
    """Mounts the bucket, reads the latest checkpoint there, and makes one of it with plain tools."""
    bucket, _, run_path = checkpoints.partition("/")
    point = work / "mnt"
    point.mkdir(exist_ok=True)
    log = work / "mount.log"
    run(binary, "mount", f"{endpoint}:/{bucket}", point, "--log-file", log)
    try:
        directory = point / run_path
        latest = directory / os.readlink(directory / "latest")
        files, size = compare(client, latest, f"{checkpoints}/{latest.name}")
        began = time.monotonic()
        step = int("".join(c for c in latest.name if c.isdigit())) + 1
        temporary = directory / f".step-{step}.tmp"
        copy = directory / f"step-{step}"
        shutil.copytree(latest, temporary, dirs_exist_ok=True)
        os.rename(temporary, copy)
        seconds = time.monotonic() - began
        if os.readlink(directory / "latest") != copy.name:
            raise MountFailure(f"{copy.name} was copied and renamed, and `latest` does not lead to it")
        if filecmp.dircmp(latest, copy).diff_files:
            raise MountFailure(f"{copy.name} differs from {latest.name}")
        committed = client.latest_checkpoint(checkpoints)
        if committed.step != step:
            raise MountFailure(f"the SDK calls step {committed.step} the latest, not {step}")
        run("rmdir", copy)
        return Look(files, size, copy.name, seconds)
    finally:
        run(binary, "umount", point)
