"""Real programs on a directory, timed: checkpoints of PyTorch and safetensors, SQLite, cp, tar, rsync, git."""

import os
import random
import shutil
import subprocess
import sys
import time

from .dcp import find_python
from .processes import BenchError

PATIENCE_S = 300


class Sources:
    """What is copied: a file, and a tree of small and middling files, as a folder, an archive and a repository."""

    def __init__(self, scratch, file_mib, tree_files):
        self.folder = os.path.join(scratch, "sources")
        self.file, self.tree, self.archive, self.repository = (
            os.path.join(self.folder, name) for name in ("file", "tree", "tree.tar", "repository"))
        os.makedirs(self.tree)
        with open(self.file, "wb") as file:
            for _ in range(file_mib):
                file.write(os.urandom(1024**2))
        dice = random.Random(1)
        for number in range(tree_files):
            folder = os.path.join(self.tree, f"folder-{number // 25}")
            os.makedirs(folder, exist_ok=True)
            with open(os.path.join(folder, f"file-{number}"), "wb") as file:
                file.write(dice.randbytes(int(1024 * 2 ** dice.uniform(0, 6))))
        run_program(["tar", "-cf", self.archive, "-C", self.folder, "tree"])
        self._make_repository()

    def _make_repository(self):
        if shutil.which("git") is None:
            return
        shutil.copytree(self.tree, self.repository)
        git = ["git", "-C", self.repository, "-c", "user.name=bench", "-c", "user.email=bench@localhost"]
        for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "tree"], ["gc", "-q"]):
            run_program([*git, *command])

    def of(self, step):
        """What it copies; None: nothing of this."""
        return {"cp_in": self.file, "tar_in": self.archive, "rsync": self.tree, "git_clone": self.repository}.get(step)


def read_all(path):
    """A file, or all files of a folder."""
    paths = [path] if os.path.isfile(path) else [
        os.path.join(folder, name) for folder, _, files in os.walk(path) for name in files]
    for each in paths:
        with open(each, "rb") as file:
            while file.read(1024**2):
                pass


def run_program(command):
    """Seconds that it takes."""
    began = time.monotonic()
    try:
        # git must not read what the user has set up.
        done = subprocess.run(command, capture_output=True, check=False, timeout=PATIENCE_S,
                              env=os.environ | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull})
    except FileNotFoundError as error:
        raise BenchError(f"{command[0]} is missing: run tools/setup --bench") from error
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{' '.join(command)} did not end within {PATIENCE_S} s") from error
    seconds = time.monotonic() - began
    if done.returncode != 0:
        raise BenchError(f"{' '.join(command)} failed: {done.stderr.decode('utf-8', 'replace').strip()[-400:]}")
    return seconds


class Programs:
    """Each method takes a directory and returns seconds; those that read want what the one before has written."""

    # In this order; True: from a cold cache.
    STEPS = (("torch_save", False), ("torch_load", True), ("safetensors_save", False), ("safetensors_open", True),
             ("cp_in", False), ("cp_out", True), ("tar_in", False), ("tar_out", True), ("rsync", False),
             ("git_clone", False), ("sqlite_insert", False), ("sqlite_query", True))

    def __init__(self, group, root, scratch, sources, mib):
        self._sources = sources
        try:
            python = find_python(root)
        except BenchError:
            python = sys.executable
        worker = os.path.join(os.path.dirname(__file__), "programs_worker.py")
        self._worker = group.start([python, worker, str(mib)], os.path.join(scratch, "programs.log"))
        self.without_torch = self._worker.answer()["without_torch"]

    def prepare(self, step):
        """Reading what is copied from the disk is not what is measured."""
        source = self._sources.of(step)
        if source is not None:
            read_all(source)

    def run(self, step, folder):
        if hasattr(self, "_" + step):
            return getattr(self, "_" + step)(folder)
        if self.without_torch and not step.startswith("sqlite"):
            raise BenchError(f"{self.without_torch}: run tools/venv")
        name = {"torch": "state.pt", "safetensors": "state.safetensors", "sqlite": "runs.db"}[step.partition("_")[0]]
        return self._worker.ask(f"{step} {os.path.join(folder, name)}", PATIENCE_S)["seconds"]

    def _cp_in(self, folder):
        copy = os.path.join(folder, "file")
        return run_program(["cp", self._sources.file, copy]) + run_program(["sync", copy])

    def _cp_out(self, folder):
        return run_program(["cp", os.path.join(folder, "file"), os.devnull])

    def _tar_in(self, folder):
        return run_program(["tar", "-xf", self._sources.archive, "-C", folder])

    def _tar_out(self, folder):
        # tar would not read what it is to write to /dev/null.
        return run_program(["sh", "-c", 'tar -cf - -C "$1" tree | cat > /dev/null', "sh", folder])

    def _rsync(self, folder):
        return run_program(["rsync", "-a", self._sources.tree + "/", os.path.join(folder, "synced")])

    def _git_clone(self, folder):
        return run_program(["git", "clone", "-q", self._sources.repository, os.path.join(folder, "clone")])
