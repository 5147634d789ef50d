"""The files that lint looks at, and C++ text with comments and literals blanked out."""

import re
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

CPP_FOLDERS = ("common", "server", "client", "proto", "bench", "tests")

_NOISE = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(?P<tag>[^()\s]*)\(.*?\)(?P=tag)"|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'",
    re.DOTALL,
)


@dataclass(frozen=True)
class Problem:
    """One finding; printed as PATH:LINE: message [rule]."""

    path: str
    line: int
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message} [{self.rule}]"


@dataclass(frozen=True)
class Source:
    """One file of the tree."""

    root: Path
    path: str

    @cached_property
    def text(self) -> str:
        return (self.root / self.path).read_text(errors="replace")

    @cached_property
    def code(self) -> str:
        """The text of the same length and lines, with comments and literals replaced by spaces."""
        return _NOISE.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), self.text)

    @cached_property
    def includes(self) -> list[tuple[int, str]]:
        """(line, path) of each #include, with the quotes or brackets taken off."""
        found = re.finditer(r'^[ \t]*#[ \t]*include[ \t]*[<"]([^>"\n]+)[>"]', self.text, re.MULTILINE)
        return [(self.line_at(m.start()), m.group(1)) for m in found]

    @property
    def is_header(self) -> bool:
        return self.path.endswith(".h")

    @property
    def folder(self) -> str:
        """The first two components: "common/task"."""
        return "/".join(self.path.split("/")[:2])

    def line_at(self, offset: int) -> int:
        return self.text.count("\n", 0, offset) + 1

    def allows(self, line: int, rule: str) -> bool:
        """Does the line, or the one above, carry "lint: allow RULE" with a reason behind it?"""
        lines = self.text.splitlines()
        near = lines[max(0, line - 2) : line]
        return any(re.search(rf"lint: allow {re.escape(rule)}\b.{{8,}}", text) for text in near)


def tree(root: Path) -> list[str]:
    """Tracked files and new ones that git does not ignore; outside of git, every file."""
    listed = subprocess.run(
        ["git", "-C", root, "ls-files", "-co", "--exclude-standard", "-z"], capture_output=True, text=True
    )
    if listed.returncode == 0:
        paths = [path for path in listed.stdout.split("\0") if path]
    else:
        paths = [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]
        paths = [path for path in paths if not path.startswith(("build/", ".git/"))]
    return sorted({path for path in paths if (root / path).is_file()})


def cpp_sources(root: Path, paths: list[str]) -> list[Source]:
    """C++ sources and headers."""
    return [
        Source(root, path)
        for path in paths
        if path.endswith((".h", ".cc")) and path.split("/")[0] in CPP_FOLDERS
    ]
