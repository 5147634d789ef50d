"""Checks that run a compiler: layout (clang-format), self-contained headers, clang-tidy."""

import concurrent.futures
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from source import Problem, Source

CLANG_FORMAT_MAJOR = "14"


def _workers() -> concurrent.futures.ThreadPoolExecutor:
    return concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2)


# ---- layout ----


def clang_format(root: Path) -> str | None:
    """clang-format 14, from the system or from build/venv; another version lays code out differently."""
    for name in ("clang-format-14", "clang-format", str(root / "build/venv/bin/clang-format")):
        if path := shutil.which(name):
            version = subprocess.run([path, "--version"], capture_output=True, text=True).stdout
            if re.search(rf"version {CLANG_FORMAT_MAJOR}\.", version):
                return path
    return None


def layout(program: str, root: Path, sources: list[Source], fix: bool) -> Iterator[Problem]:
    """Compares, or with `fix` rewrites."""
    paths = [source.path for source in sources]
    chunks = [paths[i : i + 16] for i in range(0, len(paths), 16)]
    mode = ["-i"] if fix else ["--dry-run", "--Werror"]

    def run(chunk: list[str]) -> str:
        return subprocess.run([program, *mode, *chunk], cwd=root, capture_output=True, text=True).stderr

    with _workers() as pool:
        for output in pool.map(run, chunks):
            places: dict[str, list[int]] = {}
            for path, line in re.findall(r"^([^\s:]+):(\d+):\d+: error", output, re.M):
                places.setdefault(path, []).append(int(line))
            for path, lines in places.items():
                message = f"{len(lines)} places not as clang-format lays them out; run tools/lint --fix"
                yield Problem(path, min(lines), "layout", message)


# ---- compile commands ----


def compile_commands(root: Path) -> dict[str, list[str]]:
    """Arguments by source path, from the first configured build."""
    for preset in ("release", "dev"):
        file = root / "build" / preset / "compile_commands.json"
        if file.exists():
            found = {}
            for entry in json.loads(file.read_text()):
                path = os.path.relpath(entry["file"], root)
                found[path] = shlex.split(entry["command"])
            return found
    return {}


def _flags(arguments: list[str]) -> list[str]:
    """What decides how a header is read."""
    kept, i = [], 0
    while i < len(arguments):
        word = arguments[i]
        if word in ("-isystem", "-I", "-include"):
            kept += [word, arguments[i + 1]]
            i += 1
        elif word.startswith(("-I", "-D", "-std=", "-f", "-isystem")):
            kept.append(word)
        i += 1
    return kept


# ---- what is known to be clean ----


class CleanCache:
    """Remembers which files were clean, by the content of everything they include from the tree."""

    def __init__(self, root: Path, sources: list[Source], check: str) -> None:
        self.folder = root / "build" / "lint-cache"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.sources = {source.path: source for source in sources}
        self.check = check
        self.hashes: dict[str, str] = {}

    def entry(self, path: str) -> Path:
        """The file that exists when `path`, as it is now, was found clean."""
        digest = hashlib.sha256(self.check.encode())
        for reached in sorted(self._reached(path)):
            digest.update(self._hash(reached).encode())
        return self.folder / digest.hexdigest()[:32]

    def _hash(self, path: str) -> str:
        if path not in self.hashes:
            self.hashes[path] = hashlib.sha256((path + self.sources[path].text).encode()).hexdigest()
        return self.hashes[path]

    def _reached(self, path: str) -> set[str]:
        found, queue = {path}, [path]
        while queue:
            for _, include in self.sources[queue.pop()].includes:
                for name in (include, f"client/core/include/{include}"):
                    if name in self.sources and name not in found:
                        found.add(name)
                        queue.append(name)
        return found


# ---- self-contained headers ----


def headers(root: Path, sources: list[Source]) -> Iterator[Problem]:
    """Compiles, alone, each header that no source includes first: the build itself checks the others."""
    commands = compile_commands(root)
    cache = CleanCache(root, sources, "headers")
    first = {source.includes[0][1] for source in sources if not source.is_header and source.includes}
    alone = [s for s in sources if s.is_header and s.path not in first and not cache.entry(s.path).exists()]
    flags_of_folder = {os.path.dirname(path): _flags(arguments) for path, arguments in commands.items()}
    every_flag = list(dict.fromkeys(_pairs(flags_of_folder.values())))
    fallback = [word for pair in every_flag for word in pair]

    def run(header: Source) -> tuple[Source, str]:
        own = flags_of_folder.get(os.path.dirname(header.path), fallback)
        command = ["c++", "-x", "c++", "-fsyntax-only", "-Wno-pragma-once-outside-header", *own]
        done = subprocess.run([*command, header.path], cwd=root, capture_output=True, text=True)
        if done.returncode == 0:
            cache.entry(header.path).touch()
        return header, "" if done.returncode == 0 else done.stderr

    with _workers() as pool:
        for header, errors in pool.map(run, alone):
            if errors:
                found = re.search(r"error: (.*)", errors)
                message = found.group(1) if found else errors.strip().splitlines()[0]
                yield Problem(header.path, 1, "self-contained", f"does not compile alone: {message}")


def _pairs(lists: Iterator[list[str]]) -> Iterator[tuple[str, ...]]:
    for words in lists:
        i = 0
        while i < len(words):
            width = 2 if words[i] in ("-isystem", "-I", "-include") else 1
            yield tuple(words[i : i + width])
            i += width


# ---- clang-tidy ----


def tidy(root: Path, sources: list[Source], limit_s: float, say) -> Iterator[Problem]:
    """Runs clang-tidy on sources not yet known to be clean, newest first, for `limit_s` seconds."""
    program = shutil.which("clang-tidy-14") or shutil.which("clang-tidy")
    commands = compile_commands(root)
    if not program or not commands:
        lacking = "clang-tidy (tools/setup --lint)" if not program else "a configured build (cmake --preset release)"
        yield Problem("tools/lint", 1, "tidy", f"needs {lacking}")
        return
    cache = CleanCache(root, sources, "tidy " + (root / ".clang-tidy").read_text())
    build = next(p for p in ("release", "dev") if (root / "build" / p / "compile_commands.json").exists())
    waiting = [s.path for s in sources if s.path in commands and not cache.entry(s.path).exists()]
    waiting.sort(key=lambda path: -(root / path).stat().st_mtime)
    end = time.monotonic() + limit_s

    def run(path: str) -> tuple[str, str | None]:
        left = end - time.monotonic()
        if left <= 0:
            return path, None
        command = [program, "--quiet", "-p", root / "build" / build, path]
        # GCC's warning options are not clang's, and its diagnostics are not the question here.
        command += ["--extra-arg=-Wno-unknown-warning-option", "--extra-arg=-Wno-everything"]
        try:
            done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=max(left, 60))
        except subprocess.TimeoutExpired:
            return path, None
        if done.returncode == 0:
            cache.entry(path).touch()
        return path, "" if done.returncode == 0 else done.stdout + done.stderr

    looked = 0
    seen = set()
    with _workers() as pool:
        for path, output in pool.map(run, waiting):
            looked += output is not None
            for where, line, message in re.findall(r"^(\S+?):(\d+):\d+: (?:error|warning): (.*)$", output or "", re.M):
                problem = Problem(os.path.relpath(where, root), int(line), "tidy", message)
                if problem not in seen:
                    seen.add(problem)
                    yield problem
    total = sum(s.path in commands for s in sources)
    say(f"clang-tidy: {looked} looked at now, {total - len(waiting)} known to be clean, "
        f"{len(waiting) - looked} left for another run")
