"""Goal: the alert rules fire when they should and only then, say what to do, and rules and dashboard use only metrics
that there are. Method: promtool on the files of tools/deploy, and the table of metrics, which metrics_test.py compares
with what a cluster tells."""

import json
import os
import re
import subprocess
import unittest

from cairn_harness import ROOT
from metrics_table import documented

DEPLOY = os.path.join(ROOT, "tools", "deploy")
RULES = os.path.join(DEPLOY, "prometheus", "cairn.rules.yml")
# Seconds of CPU; the rest is for a loaded machine.
LIMIT_S = 240


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as file:
        return file.read()


def promtool():
    """Its path, where tools/setup has put it; None when it is not there."""
    asked = subprocess.run([os.path.join(ROOT, "tools", "setup.d", "promtool"), "--print-path"], text=True,
                           capture_output=True, check=True)
    path = asked.stdout.strip()
    return path if os.access(path, os.X_OK) else None


def alerts():
    """The text of each alert rule, by name."""
    parts = re.split(r"^ +- alert: (\w+)$", read(RULES), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def rule_tests():
    folder = os.path.join(DEPLOY, "prometheus")
    return sorted(name for name in os.listdir(folder) if name.endswith(".test.yml"))


def metric_names():
    """What the table has, with the names that the format makes of a histogram."""
    names = set()
    for name, row in documented().items():
        names |= {name} | ({name + part for part in ("_bucket", "_sum", "_count")} if row.kind == "histogram" else set())
    return names


class Alerts(unittest.TestCase):
    def run_promtool(self, *arguments):
        path = promtool()
        if path is None:
            missing = "promtool is not there, so NO ALERT RULE WAS TESTED: tools/setup --test brings it"
            self.skipTest(missing)
        done = subprocess.run([path, *arguments], cwd=os.path.join(DEPLOY, "prometheus"), text=True, timeout=LIMIT_S,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_rules_and_the_example_configuration_are_what_prometheus_reads(self):
        self.run_promtool("check", "rules", "cairn.rules.yml")
        self.run_promtool("check", "config", "--syntax-only", "prometheus.yml")

    def test_rules_fire_when_they_should_and_only_then(self):
        self.run_promtool("test", "rules", *rule_tests())

    def test_every_alert_fires_in_a_test(self):
        fired = set(re.findall(r'alertname="(\w+)"', "".join(read(DEPLOY, "prometheus", name) for name in rule_tests())))
        self.assertEqual(fired, set(alerts()))

    def test_every_alert_says_how_bad_it_is_what_it_endangers_and_where_to_read_on(self):
        for name, text in alerts().items():
            with self.subTest(name):
                self.assertRegex(text, r"labels: \{severity: (critical|warning|info)\}")
                self.assertRegex(text, r"summary: >-\n +\S")
                self.assertRegex(text, r"description: >-\n +\S")
                self.assertIn(f"runbook_url: tools/deploy/ALERTS.md#{name.lower()}\n", text)

    def test_the_page_of_alerts_has_a_section_for_each_and_no_other(self):
        sections = re.findall(r"^### (\w+)\n\n`(\w+)`", read(DEPLOY, "ALERTS.md"), flags=re.MULTILINE)
        severities = {name: re.search(r"severity: (\w+)", text).group(1) for name, text in alerts().items()}
        self.assertEqual(sections, list(severities.items()))

    def test_rules_and_dashboard_use_only_metrics_that_there_are(self):
        known = metric_names()
        recorded = set(re.findall(r"^ +- record: (\S+)$", read(RULES), flags=re.MULTILINE))
        for path in (RULES, os.path.join(DEPLOY, "grafana", "cairn.json")):
            # Of what is asked, not of what is said: the texts name commands and files.
            asked = re.sub(r"annotations:\n( {10,}.*\n)+", "", read(path))
            used = set(re.findall(r"\bcairn[_:][a-z0-9_:]+", re.sub(r'"(uid|description|title)": ".*?"', "", asked)))
            self.assertEqual({name for name in used if ":" not in name} - known, set(), path)
            self.assertEqual({name for name in used if ":" in name} - recorded, set(), path)

    def test_the_dashboard_has_its_rows_and_each_panel_asks_something(self):
        dashboard = json.loads(read(DEPLOY, "grafana", "cairn.json"))
        panels = dashboard["panels"]
        self.assertEqual([panel["title"] for panel in panels if panel["type"] == "row"],
                         ["Cluster", "Nodes", "Targets", "Saves and restores", "Metadata", "Repair",
                          "Cold tiers"])
        self.assertEqual(len({panel["id"] for panel in panels}), len(panels))
        taken = set()
        for panel in panels:
            place = panel["gridPos"]
            cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                     for y in range(place["y"], place["y"] + place["h"])}
            self.assertFalse(cells & taken, f"{panel['title']} lies on another panel")
            self.assertLessEqual(place["x"] + place["w"], 24)
            taken |= cells
            if panel["type"] != "row":
                self.assertTrue(all("cairn" in target["expr"] and "$cluster" in target["expr"]
                                    for target in panel["targets"]), panel["title"])
                self.assertTrue(panel["targets"], panel["title"])


if __name__ == "__main__":
    unittest.main()
