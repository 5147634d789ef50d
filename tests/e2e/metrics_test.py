"""Goal: what nodes tell by their metrics is true, documented and well-formed, and nobody who asks for it can do harm.
Method: real nodes that are written to and read from, scraped over HTTP and read strictly; and clients of the endpoint
that send garbage or nothing."""

import os
import socket
import unittest
import urllib.error

from cairn_cluster import FOUNDER, ClusterTest
from cairn_harness import MIB, CairnTest, free_port, wait_until
from exposition import FormatError, parse, scrape
from metrics_table import documented

ANY_PORT = {"metrics_listen": "127.0.0.1:0"}
# A few of the blocks that a read may ask for twice, where it is hedged, are no error.
HEDGED = 1.25


def connect(url):
    """A connection to the server of a metrics URL."""
    host, _, port = url.removeprefix("http://").removesuffix("/metrics").rpartition(":")
    connection = socket.create_connection((host, int(port)), timeout=20)
    return connection


def hangs_up(connection):
    """Whether the other side ends it, in time."""
    try:
        while connection.recv(65536):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


class OneNode(CairnTest):
    def node(self, **settings):
        server = self.cairnd(settings={**ANY_PORT, **settings}).start()
        return server, server.board("metrics")

    def scrape_until(self, url, condition, what):
        def look():
            now = scrape(url)
            return now if condition(now) else None
        return wait_until(look, what)

    def test_bytes_of_a_save_and_a_restore_add_up(self):
        server, url = self.node()
        before = scrape(url)
        self.assertEqual(before.total("cairn_target_writes_total"), 0)
        self.assertFalse(before.values("cairn_save_last_commit_timestamp_seconds"))
        sdk = self.sdk(server)
        sdk.ask("save", path="b/run/step-1", world=3, bytes=9 * MIB)
        sdk.ask("verify", path="b/run/step-1")
        after = self.scrape_until(url, lambda now: now.total("cairn_target_read_bytes_total") >= 27 * MIB,
                                  "the restore shows")
        self.assertEqual(after.total("cairn_target_written_bytes_total"), 27 * MIB)
        self.assertEqual(after.total("cairn_fabric_pulled_bytes_total"), 27 * MIB)
        self.assertLessEqual(after.total("cairn_target_read_bytes_total"), 27 * MIB * HEDGED)
        self.assertEqual(after.total("cairn_target_sealed_fragments_total"), after.total("cairn_target_writes_total"))
        self.assertEqual(after.total("cairn_target_used_bytes"), 27 * MIB)
        self.assertEqual(after.total("cairn_target_pending_bytes"), 0)
        for kind in ("write", "read", "flush", "seal"):
            counted = after.total(f"cairn_target_{kind}s_total" if kind != "flush" else "cairn_target_flushes_total")
            self.assertEqual(after.total(f"cairn_target_{kind}_seconds_count"), counted, kind)
            self.assertGreater(after.total(f"cairn_target_{kind}_seconds_sum"), 0)
        self.assertEqual(after.total("cairn_target_errors_total"), 0)
        self.assertEqual(after.total("cairn_save_commits_total"), 1)
        self.assertEqual(after.total("cairn_save_committed_bytes_total"), 27 * MIB)
        self.assertEqual(after.total("cairn_save_duration_seconds_count"), 1)
        self.assertEqual(after.total("cairn_meta_checkpoints"), 1)
        began = after.total("cairn_process_start_time_seconds")
        self.assertGreater(after.total("cairn_save_last_commit_timestamp_seconds"), began)

    def test_a_save_under_way_is_open_until_it_ends(self):
        server, url = self.node()
        sdk = self.sdk(server)
        self.assertEqual(scrape(url).total("cairn_save_oldest_attempt_seconds"), 0)
        sdk.ask("begin", path="b/run/step-1", id="one")
        now = self.scrape_until(url, lambda now: now.total("cairn_save_oldest_attempt_seconds") > 1.5, "it grows older")
        self.assertEqual(now.total("cairn_save_open_attempts"), 1)
        sdk.ask("abort", id="one")
        now = self.scrape_until(url, lambda now: now.total("cairn_save_open_attempts") == 0, "it has ended")
        self.assertEqual(now.total("cairn_save_aborts_total"), 1)
        self.assertEqual(now.total("cairn_save_oldest_attempt_seconds"), 0)

    def test_without_the_setting_there_is_no_endpoint(self):
        server = self.cairnd().start()
        server.board("shell")
        self.assertFalse(server.has_board("metrics"))

    def test_a_taken_port_is_said_and_nothing_is_started(self):
        _, url = self.node()
        taken = url.removeprefix("http://").removesuffix("/metrics")
        other = self.cairnd("other", {"metrics_listen": taken})
        with self.assertRaisesRegex(RuntimeError, f"cannot listen on {taken}: Address already in use; every node"):
            other.start()
        wrong = self.cairnd("wrong", {"metrics_listen": "9744"})
        with self.assertRaisesRegex(RuntimeError, 'metrics_listen "9744" is not HOST:PORT'):
            wrong.start()

    def test_the_flag_wins_over_the_file(self):
        port = free_port()
        server = self.cairnd(settings={"metrics_listen": "127.0.0.1:1"},
                             arguments=["--metrics-listen", f"127.0.0.1:{port}"]).start()
        self.assertEqual(server.board("metrics"), f"http://127.0.0.1:{port}/metrics")
        self.assertEqual(scrape(server.board("metrics")).total("cairn_node_serving"), 1)

    def test_garbage_and_silence_harm_nobody(self):
        server, url = self.node()
        for garbage in (b"\x00" * 1000, b"GET " + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n", b"POST /metrics HTTP/1.1\r\n\r\n",
                        os.urandom(5000) + b"\r\n\r\n", b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n"):
            with connect(url) as connection:
                connection.sendall(garbage)
                self.assertTrue(hangs_up(connection), garbage[:40])
        with self.assertRaises(urllib.error.HTTPError):
            scrape(url.replace("/metrics", "/"))
        silent = [connect(url) for _ in range(10)]
        for connection in silent:
            self.addCleanup(connection.close)
            connection.sendall(b"GET /metrics HTTP/1.1\r\nHost")
        sdk = self.sdk(server)
        sdk.ask("save", path="b/run/step-1", bytes=MIB)
        self.scrape_until(url, lambda now: now.total("cairn_save_commits_total") == 1, "scrapes go on")

    def test_it_stops_while_scrapers_are_connected(self):
        server, url = self.node()
        silent = connect(url)
        self.addCleanup(silent.close)
        silent.sendall(b"GET /metrics")
        asked = connect(url)
        self.addCleanup(asked.close)
        asked.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual(server.stop(), 0)

    def test_the_reader_of_these_tests_sees_what_is_wrong(self):
        good = "# HELP a_b A.\n# TYPE a_b histogram\na_b_bucket{le=\"1\"} 1\na_b_bucket{le=\"+Inf\"} 2\na_b_sum 3\na_b_count 2\n"
        self.assertEqual(parse(good)["a_b"].samples[("a_b_sum", ())], 3)
        for wrong, right in (("} 2", "} 0"), ("count 2", "count 3"), ("+Inf", "2"), ("HELP a_b A.", "HELP a_b "),
                             ("a_b_sum 3", "a_c_sum 3"), ("# TYPE a_b histogram\n", ""), ("a_b_sum 3", "a_b_sum 3\na_b_sum 3")):
            with self.assertRaises(FormatError, msg=(wrong, right)):
                parse(good.replace(wrong, right))


class ThreeNodes(ClusterTest):
    def test_all_nodes_together_tell_what_was_written_and_who_is_gone(self):
        cluster = self.cluster(3, ANY_PORT)
        urls = {node: server.board("metrics") for node, server in cluster.servers.items()}
        sdk = cluster.sdk()
        sdk.ask("bucket", name="coded", redundancy="ec:2+1")
        sdk.ask("save", path="coded/run/step-1", world=2, bytes=8 * MIB)
        sdk.ask("verify", path="coded/run/step-1")

        def add_up():
            scrapes = {node: scrape(url) for node, url in urls.items()}
            read = sum(each.total("cairn_target_read_bytes_total") for each in scrapes.values())
            versions = {each.total("cairn_cluster_map_version") for each in scrapes.values()}
            return scrapes if read >= 16 * MIB and len(versions) == 1 else None
        scrapes = wait_until(add_up, "all nodes tell of the restore and of one map")
        # Of each two bytes a third, of parity.
        self.assertEqual(sum(each.total("cairn_target_written_bytes_total") for each in scrapes.values()), 24 * MIB)
        self.assertEqual(scrapes[FOUNDER].total("cairn_save_committed_bytes_total"), 16 * MIB)
        self.assertEqual(scrapes[FOUNDER].total("cairn_cluster_node_state", state="up"), 3)
        capacity = sum(each.total("cairn_target_capacity_bytes") for each in scrapes.values())
        self.assertEqual(scrapes[FOUNDER].total("cairn_cluster_target_capacity_bytes"), capacity)
        for node, each in scrapes.items():
            self.assertEqual(each.total("cairn_node_info", node=str(node)), 1)
            self.assertEqual(bool(each.values("cairn_meta_store_bytes")), node == FOUNDER)
        tiers = self.check_tiers(cluster, urls)

        cluster.kill(3)

        def gone():
            now = scrape(urls[FOUNDER])
            return now if now.total("cairn_cluster_node_state", node="3", state="down") == 1 else None
        now = wait_until(gone, "metrics tell that node 3 is down")
        self.assertEqual(now.total("cairn_cluster_node_state", state="up"), 2)
        self.assertEqual(now.total("cairn_health_items", code="NODE_DOWN", severity="error"), 1)
        self.assertGreater(now.total("cairn_health_errors"), 0)
        self.check_table([now, *tiers])

    def check_tiers(self, cluster, urls):
        """What has been copied to a tier shows on the node that did it, and what lies there on the founder."""
        store = os.path.join(self.dir, "store")
        os.makedirs(store)
        self.run_cli(cluster, "tier", "add", "cold", store)
        self.run_cli(cluster, "tier", "push", "coded/run/step-1", "--wait")

        def told():
            scrapes = {node: scrape(url) for node, url in urls.items()}
            moved = sum(each.total("cairn_tier_archived_bytes_total", tier="cold") for each in scrapes.values())
            return scrapes if moved >= 16 * MIB else None
        scrapes = wait_until(told, "metrics tell of the copy")
        self.assertGreaterEqual(scrapes[FOUNDER].total("cairn_tier_stored_bytes", tier="cold"), 16 * MIB)
        self.assertGreaterEqual(scrapes[FOUNDER].total("cairn_tiering_steps_total"), 1)
        self.assertFalse(scrapes[2].values("cairn_tier_stored_bytes"))
        return list(scrapes.values())

    def check_table(self, scrapes):
        """The documentation has what is told, and nothing else."""
        told = {}
        for each in scrapes:
            for name, family in each.families.items():
                kind, labels = told.get(name, (family.kind, set()))
                told[name] = (kind, labels | family.labels())
        table = {name: (row.kind, set(row.labels)) for name, row in documented().items()}
        self.assertEqual(told, table)


if __name__ == "__main__":
    unittest.main()
