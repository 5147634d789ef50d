"""The size ratchet: what is over a limit is listed, and may shrink but never grow.

Limits: 70 lines a function, 300 a header, 800 a source. size_allowances.txt lists what is over.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from source import Problem, Source

FUNCTION_LINES, HEADER_LINES, SOURCE_LINES = 70, 300, 800
ALLOWANCES = Path(__file__).with_name("size_allowances.txt")

_CONTAINER = re.compile(r"\b(?:namespace|class|struct|union|enum)\b(?![^{}]*\)\s*$)|extern\s*$")
_NAME = re.compile(r"([~\w:]+|operator\s*\S+)\s*\(")


def measure(source: Source) -> Iterator[tuple[str, int, int, int]]:
    """(what, line, size, limit) of the file and of each function in it."""
    lines = source.text.count("\n")
    yield source.path, 1, lines, HEADER_LINES if source.is_header else SOURCE_LINES
    for name, line, size in _functions(source):
        yield f"{source.path}:{name}", line, size, FUNCTION_LINES


def measure_python(root: Path, path: str) -> Iterator[tuple[str, int, int, int]]:
    """The same for a Python file."""
    text = (root / path).read_text()
    yield path, 1, text.count("\n"), SOURCE_LINES
    for node in ast.walk(ast.parse(text, path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield f"{path}:{node.name}", node.lineno, node.end_lineno - node.lineno + 1, FUNCTION_LINES


def _functions(source: Source) -> Iterator[tuple[str, int, int]]:
    code = re.sub(r"^[ \t]*#(?:[^\n\\]|\\\n|\\.)*", lambda m: re.sub(r"[^\n]", " ", m.group()), source.code, flags=re.M)
    stack: list[tuple[str, str, int]] = []  # kind, name, offset of the head
    head = 0
    for match in re.finditer(r"[{};]", code):
        position = match.start()
        if match.group() == "{":
            text = code[head:position]
            inside = any(kind == "function" for kind, _, _ in stack)
            if not inside and _CONTAINER.search(text):
                kind = "container"
            elif not inside and ")" in text:
                kind = "function"
            else:
                kind = "block"
            start = head + len(text) - len(text.lstrip())
            name = _NAME.search(text)
            stack.append((kind, name.group(1) if name else "?", start))
        elif match.group() == "}" and stack:
            kind, name, start = stack.pop()
            if kind == "function":
                yield name, source.line_at(start), code.count("\n", start, position) + 1
        head = position + 1


def _allowances() -> dict[str, int]:
    found = {}
    if ALLOWANCES.exists():
        for line in ALLOWANCES.read_text().splitlines():
            if line.strip() and not line.startswith("#"):
                size, what = line.split(maxsplit=1)
                found[what] = int(size)
    return found


def check(root: Path, sources: list[Source], python: list[str]) -> Iterator[Problem]:
    """What is over its limit and not listed, what outgrew its listing, what is listed for nothing."""
    allowed = _allowances()
    biggest: dict[str, int] = {}
    measured = [m for source in sources for m in measure(source)]
    measured += [m for path in python for m in measure_python(root, path)]
    for what, line, size, limit in measured:
        biggest[what] = max(size, biggest.get(what, 0))
        if size > max(limit, allowed.get(what, 0)):
            path = what.partition(":")[0]
            if what in allowed:
                message = f"{what} grew from {allowed[what]} to {size} lines; it may only shrink"
            else:
                message = f"{what} has {size} lines; the limit is {limit}"
            yield Problem(path, line, "size", message)
    limits = {what: limit for what, _, _, limit in measured}
    for what, size in allowed.items():
        now = biggest.get(what, 0)
        if now < size:
            better = f"{now}" if now > limits.get(what, 0) else "no line at all"
            message = f"{what} shrank from {size} to {now}: its entry must become {better}; run tools/lint --tighten"
            yield Problem(str(ALLOWANCES.relative_to(root)), 1, "size", message)


def tighten(root: Path, sources: list[Source], python: list[str]) -> None:
    """Lowers the entries to what is measured now; never adds or raises one."""
    biggest: dict[str, tuple[int, int]] = {}
    measured = [m for source in sources for m in measure(source)]
    measured += [m for path in python for m in measure_python(root, path)]
    for what, _, size, limit in measured:
        biggest[what] = max((size, limit), biggest.get(what, (0, 0)))
    kept = []
    for what, size in sorted(_allowances().items()):
        now, limit = biggest.get(what, (0, 0))
        if now > limit:
            kept.append(f"{min(now, size)} {what}")
    lines = ["# LINES WHAT: over its limit today. Entries shrink or go; a new one is a decision for review.", *kept]
    ALLOWANCES.write_text("\n".join(lines) + "\n")
