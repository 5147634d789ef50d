"""Rules read off the text: layers, libraries in their places, seams, coroutines, READMEs.

ARCHITECTURE.md has the layers and the seams ("The seams"); each rule's finding says what to do instead.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from source import Problem, Source

# In this order each folder includes only those before it.
LAYERS = ("base", "task", "reactor", "buffer", "fabric", "rpc")
# These need `base` alone; `telemetry` may be used by everything above `base`.
SIDE = ("telemetry", "placement")

# Include prefix of a library: the only folders that may name it, and the tests of those.
LIBRARIES = {
    "liburing": ("common/reactor", "server/disk"),
    "rdma/": ("common/fabric",),
    "rocksdb/": ("server/kv",),
    "openssl/": ("server/cluster", "server/tier"),
    "prometheus/": ("server/admin", "client/fuse"),
    "fuse": ("client/fuse", "bench/compare"),
    "curl/": ("server/tier",),
    "pugixml": ("server/tier",),
    "pybind11/": ("client/python",),
}

# Who may include what across server and client: a node moves bytes of tiers as a client of its own cluster.
CROSSINGS = {"server/tiering": "client/io"}

# What must come through a seam, and the files that are the seam.
SEAMS = (
    (
        "clock",
        re.compile(
            r"\b(?:steady|system|high_resolution)_clock\s*::\s*now|\babsl::Now\s*\("
            r"|\bclock_gettime\s*\(\s*CLOCK_(?:REALTIME|MONOTONIC|BOOTTIME)"
        ),
        ("common/base/clock.cc",),
        "read time from a Clock: a simulation must be able to set it",
    ),
    (
        "sleep",
        re.compile(r"\bsleep_(?:for|until)\b|\babsl::SleepFor\b|(?<![\w:.>])u?n?a?n?o?sleep\s*\("),
        (),
        "await the event, or SleepUntil on a Clock",
    ),
    (
        "random",
        re.compile(r"(?<![\w:.>])s?rand\s*\(|\brandom_device\b|\bgetrandom\s*\(|\babsl::BitGen\b"),
        ("common/base/random.cc", "common/base/random.h"),
        "draw from a Random: a seed must replay the run",
    ),
)
# Programs that measure or drive from outside may look at the machine's clock.
OUTSIDE_SEAMS = ("bench/", "client/examples/", "tests/e2e/", "tests/fault/", "tests/compat/")

_CAPTURE = re.compile(r"\[(?P<capture>[^\[\]]*)\]\s*(?:\((?P<args>[^()]*(?:\([^()]*\)[^()]*)*)\))?[^;{}()\[\]]*\{")


def layers(source: Source) -> Iterator[Problem]:
    """The layer rule, and that server and client do not include each other but at the crossings."""
    top, _, rest = source.path.partition("/")
    own = rest.split("/")[0]
    for line, include in source.includes:
        parts = include.split("/")
        if source.path.startswith("client/core/include/"):
            if parts[0] in ("common", "server", "client", "proto"):
                yield Problem(source.path, line, "layers", f"a public header cannot include {include}")
            continue
        crosses = (top, parts[0]) in (("server", "client"), ("client", "server"))
        if crosses and CROSSINGS.get(f"{top}/{own}") != "/".join(parts[:2]):
            yield Problem(source.path, line, "layers", f"{top} never includes {parts[0]}")
        if top == "common" and parts[0] in ("server", "client"):
            yield Problem(source.path, line, "layers", f"common never includes {parts[0]}")
        if top in ("common", "server", "client") and parts[0] in ("tests", "bench"):
            yield Problem(source.path, line, "layers", f"{top} never includes {parts[0]}")
        if top == "common" and parts[0] == "common" and not _may_include(own, parts[1]):
            yield Problem(source.path, line, "layers", f"common/{own} is below common/{parts[1]}")
        if top == "common" and parts[0] == "proto" and own != "rpc":
            yield Problem(source.path, line, "layers", f"common/{own} is below the messages of proto/")


def _may_include(own: str, other: str) -> bool:
    if own == other or other == "base":
        return True
    if own in LAYERS and other in LAYERS:
        return LAYERS.index(other) < LAYERS.index(own)
    return own in LAYERS and own != "base" and other == "telemetry"


def libraries(source: Source) -> Iterator[Problem]:
    """Each library in its own folders."""
    component = source.path.split("/")[2] if source.path.startswith("tests/unit/") else None
    for line, include in source.includes:
        for prefix, folders in LIBRARIES.items():
            if not include.startswith(prefix):
                continue
            allowed = source.folder in folders or any(f.endswith(f"/{component}") for f in folders)
            if not allowed:
                yield Problem(source.path, line, "libraries", f"<{include}> belongs in {' and '.join(folders)} alone")


def pragma_once(source: Source) -> Iterator[Problem]:
    """Headers begin with #pragma once."""
    # A header for C as well has the guards that every C compiler knows.
    if source.is_header and not re.search(r"^#pragma once$|^extern \"C\" \{$", source.text, re.MULTILINE):
        yield Problem(source.path, 1, "pragma-once", "a header starts with #pragma once")


def seams(source: Source) -> Iterator[Problem]:
    """Time, sleep and randomness only through their seams."""
    if source.path.startswith(OUTSIDE_SEAMS):
        return
    for rule, pattern, homes, advice in SEAMS:
        if source.path in homes:
            continue
        for match in pattern.finditer(source.code):
            line = source.line_at(match.start())
            if not source.allows(line, rule):
                yield Problem(source.path, line, rule, f"{match.group().strip()}: {advice}")


def coroutine_lambdas(source: Source) -> Iterator[Problem]:
    """A lambda that captures and suspends: its captures die with the closure, not with the frame."""
    for match in _CAPTURE.finditer(source.code):
        before = source.code[: match.start()].rstrip()[-1:]
        if not match.group("capture").strip() or before.isalnum() or before in ("_", "]", ")"):
            continue
        body = _body(source.code, match.end() - 1)
        if re.search(r"\bco_(?:await|return|yield)\b", _without_inner_lambdas(body)):
            line = source.line_at(match.start())
            if not source.allows(line, "coroutine-lambda"):
                yield Problem(source.path, line, "coroutine-lambda", "a coroutine lambda captures: name the function")


def awaits_in_braces(source: Source) -> Iterator[Problem]:
    """GCC 12 destroys members of such a list twice."""
    for match in re.finditer(r"\{[^{};]*\bco_await\b[^{};]*\}", source.code):
        line = source.line_at(match.start())
        yield Problem(source.path, line, "await-in-braces", "co_await inside an initializer list: await before it")


def _body(code: str, opening: int) -> str:
    depth = 0
    for position in range(opening, len(code)):
        depth += {"{": 1, "}": -1}.get(code[position], 0)
        if depth == 0:
            return code[opening + 1 : position]
    return code[opening + 1 :]


def _without_inner_lambdas(body: str) -> str:
    while match := _CAPTURE.search(body):
        inner = _body(body, match.end() - 1)
        body = body[: match.start()] + body[match.end() + len(inner) + 1 :]
    return body


def unfinished(source: Source) -> Iterator[Problem]:
    """Marks of unfinished work."""
    for match in re.finditer(r"\b(?:TODO|FIXME|XXX|HACK)\b", source.text):
        yield Problem(source.path, source.line_at(match.start()), "unfinished", f"{match.group()}: do it, or file it")


def readmes(root: Path, paths: list[str]) -> Iterator[Problem]:
    """Every second-level folder says what it is for, and so does tools, whose programs lie in it."""
    folders = {"/".join(p.split("/")[:2]) for p in paths if p.count("/") >= 2}
    for folder in sorted(folders):
        if folder.split("/")[0] not in ("common", "server", "client", "proto", "bench", "tests"):
            continue
        if not (root / folder / "README.md").is_file():
            yield Problem(f"{folder}/README.md", 1, "readme", "each second-level folder has a README.md")
    if not (root / "tools" / "README.md").is_file():
        yield Problem("tools/README.md", 1, "readme", "tools has a README.md")


SOURCE_RULES = (layers, libraries, pragma_once, seams, coroutine_lambdas, awaits_in_braces, unfinished)
