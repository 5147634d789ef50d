"""What a node's metrics endpoint answers: scraping it, and reading Prometheus' text format strictly."""

import gzip
import math
import re
import urllib.request
from dataclasses import dataclass, field

_SAMPLE = re.compile(r'([a-z_][a-z0-9_]*)(?:\{(.*)\})? (\S+)')
_LABEL = re.compile(r'([a-z_][a-z0-9_]*)="((?:[^"\\]|\\["\\n])*)"(?:,|$)')
_PARTS = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("", "_sum", "_count")}


@dataclass
class Family:
    """A metric of one name, with its samples by name and labels."""

    kind: str
    help: str
    samples: dict = field(default_factory=dict)

    def labels(self):
        """The names of its labels; those that the format itself makes are left out."""
        names = {name for _, labels in self.samples for name, _ in labels}
        return names - ({"le"} if self.kind == "histogram" else set())


class FormatError(AssertionError):
    """The text is not what Prometheus reads."""


def parse(text):
    """Families by name. Raises FormatError for what a lenient reader would let pass, too."""
    families, current = {}, None
    if not text.endswith("\n"):
        raise FormatError("the last line does not end")
    for line in text.splitlines():
        words = line.split(" ", 3)
        if line.startswith("# HELP "):
            if words[2] in families:
                raise FormatError(f"{words[2]} is there twice")
            current = families[words[2]] = Family("", words[3])
        elif line.startswith("# TYPE "):
            if families.get(words[2]) is not current or current.kind:
                raise FormatError(f"not right after its HELP: {line}")
            current.kind = words[3]
        else:
            _read_sample(line, families, current)
    for name, family in families.items():
        _check(name, family)
    return families


def _read_sample(line, families, current):
    match = _SAMPLE.fullmatch(line)
    if not match:
        raise FormatError(f"no sample: {line}")
    name, label_text, value = match.groups()
    labels, at = [], 0
    while at < len(label_text or ""):
        label = _LABEL.match(label_text, at)
        if not label:
            raise FormatError(f"labels: {line}")
        labels.append(label.groups())
        at = label.end()
    owner = [each for each, family in families.items()
             if family is current and name in [each + part for part in _PARTS.get(family.kind, ("",))]]
    key = (name, tuple(sorted(labels)))
    if not owner or key in current.samples or len(dict(labels)) != len(labels):
        raise FormatError(f"stray, or twice: {line}")
    current.samples[key] = float(value)


def _check(name, family):
    if family.kind not in ("counter", "gauge", "histogram", "summary") or not family.help or not family.samples:
        raise FormatError(f"{name} has no type, help or sample")
    if family.kind == "counter" and min(family.samples.values()) < 0:
        raise FormatError(f"{name} is below zero")
    if family.kind != "histogram":
        return
    series = {}
    for (part, labels), value in family.samples.items():
        rest = tuple(label for label in labels if label[0] != "le")
        if part == f"{name}_bucket":
            series.setdefault(rest, []).append((float(dict(labels)["le"]), value))
    for rest, buckets in series.items():
        counts = [count for _, count in sorted(buckets)]
        if counts != sorted(counts) or sorted(buckets)[-1][0] != math.inf:
            raise FormatError(f"buckets of {name} {rest}")
        if counts[-1] != family.samples[(f"{name}_count", rest)]:
            raise FormatError(f"{name} {rest} counts what is in no bucket")


class Scrape:
    """One answer."""

    def __init__(self, text):
        self.families = parse(text)

    def values(self, name, **labels):
        """Samples of that name whose labels include these, by all their labels."""
        wanted = set(labels.items())
        return {key: value for family in self.families.values() for (sample, key), value in family.samples.items()
                if sample == name and wanted <= set(key)}

    def total(self, name, **labels):
        """The sum of these."""
        return sum(self.values(name, **labels).values())


def fetch(url, timeout_s=30):
    """The text at a metrics URL."""
    request = urllib.request.Request(url, headers={"Accept-Encoding": "gzip"})
    with urllib.request.urlopen(request, timeout=timeout_s) as reply:
        if not reply.headers["Content-Type"].startswith("text/plain"):
            raise FormatError(f"Content-Type: {reply.headers['Content-Type']}")
        body = reply.read()
        return (gzip.decompress(body) if reply.headers["Content-Encoding"] == "gzip" else body).decode()


def scrape(url):
    """What is there now."""
    return Scrape(fetch(url))
