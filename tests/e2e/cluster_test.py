"""Goal: several cairnd are one cluster: they join it, share what is written, and the loss, standstill or restart of one
harms nobody beyond what a bucket's redundancy says. Method: real processes, SIGKILL and SIGSTOP to single nodes, the
cluster's own status, and every byte read back."""

import itertools
import json
import os
import shutil
import signal
import stat
import subprocess
import unittest

from cairn_cluster import FOUNDER, SETTINGS, ClusterTest, secret_path
from cairn_harness import MIB, PATIENCE_S, SdkError, program, wait_until

# Three stripes, of which the last is short.
SHARD = 9 * MIB + 12345
# Many of these small shards, each on a stretch of the rotation that begins at random: together they reach every node.
SMALL_SHARD = 4 * MIB + 200000
MANY = 12


class ClusterScenario(ClusterTest):
    def setUp(self):
        super().setUp()
        self._steps = itertools.count(1)

    def save_onto(self, cluster, sdk, nodes, bucket="b"):
        """Saves into `bucket` until each of these nodes holds more than before; the paths of what was saved."""
        before = cluster.used()
        paths = []
        for _ in range(5):
            step = next(self._steps)
            paths.append(f"{bucket}/spread/step-{step}")
            sdk.ask("save", path=paths[-1], world=MANY, bytes=SMALL_SHARD, seed=100 * step)
            # A node that got nothing, which is rare, never grows: a few heartbeats tell.
            try:
                cluster.wait_used(lambda used: all(used[node] > before[node] for node in nodes), "", timeout_s=4)
                return paths
            except AssertionError:
                continue
        self.fail(f"{len(paths)} saves left nothing on one of the nodes {nodes}: {before}, then {cluster.used()}")

    def verify(self, sdk, *paths):
        for path in paths:
            self.assertGreater(sdk.ask("verify", path=path)["bytes_read"], 0)


class Joining(ClusterScenario):
    def test_three_nodes_are_up_and_share_what_is_written(self):
        cluster = self.cluster(3)
        nodes = cluster.nodes()
        self.assertEqual({number: node["endpoint"] for number, node in nodes.items()},
                         {number: server.endpoint for number, server in cluster.servers.items()})
        self.assertEqual(sorted(nodes), [1, 2, 3])
        targets = cluster.status()["map"]["targets"]
        self.assertEqual(len({target["id"] for target in targets}), 3)
        self.assertEqual({target["node"] for target in targets}, {1, 2, 3})
        self.assertEqual({server.board("cluster") for server in cluster.servers.values()},
                         {cluster.status()["cluster_id"]})

        # Clients know of one node each, and reach all three.
        clients = [cluster.sdk(node) for node in cluster.servers]
        paths = self.save_onto(cluster, clients[2], [1, 2, 3])
        clients[1].ask("put", path="b/f.seed5", bytes=40 * MIB, seed=5)
        for client in clients:
            self.verify(client, *paths)
            self.assertEqual(client.ask("get", path="b/f.seed5")["bytes"], 40 * MIB)

    def test_a_node_that_joins_later_takes_what_is_new(self):
        cluster = self.cluster(2)
        sdk = cluster.sdk()
        self.assert_refused("FAILED_PRECONDITION", "2", sdk.ask, "bucket", name="coded", redundancy="ec:2+1")
        sdk.ask("bucket", name="two", redundancy="replica:2")
        early = [*self.save_onto(cluster, sdk, [1, 2]), *self.save_onto(cluster, sdk, [1, 2], "two")]
        third = cluster.add()
        late = [*self.save_onto(cluster, sdk, [third]), *self.save_onto(cluster, sdk, [third], "two")]
        sdk.ask("bucket", name="coded", redundancy="ec:2+1")
        late += self.save_onto(cluster, sdk, [third], "coded")
        self.verify(cluster.sdk(third), *early, *late)


class Refusals(ClusterTest):
    """A founding node with a file of its own, and another that may not join it, or may."""

    def setUp(self):
        super().setUp()
        self.founder = self.cairnd("founder", settings=SETTINGS).start()
        self.secret = secret_path(self.founder)
        self.one = self.sdk(self.founder)
        self.one.ask("put", path="b/f.seed1", bytes=SHARD, seed=1)

    def local(self, name, text):
        """The path of a file that its owner alone may read."""
        path = os.path.join(self.dir, name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as file:
            file.write(text)
        return path

    def secret_text(self):
        with open(self.secret, encoding="ascii") as file:
            return file.read()

    def assert_refused_start(self, server, *words):
        """It ends by itself with 1, and its last words have `words` in any case."""
        with self.assertRaises(RuntimeError):
            server.start()
        self.assertEqual(server.process.returncode, 1, server.log())
        for word in words:
            self.assertIn(word.lower(), server.log().lower())

    def assert_joins(self, server):
        """It starts, and becomes a second node whose target is used."""
        server.start()
        self.wait_up(server)
        return server

    def wait_up(self, server):
        """Waits until there are two nodes, of which the second is at the server's endpoint. Its id."""
        def second():
            nodes = self.one.status()["map"]["nodes"]
            self.assertLessEqual(len(nodes), 2)
            return [node["id"] for node in nodes
                    if node["endpoint"] == server.endpoint and node.get("state", "NODE_UP") == "NODE_UP"]
        return wait_until(second, f"{server.endpoint} is up")[0]

    def test_the_secret_is_its_owners_alone(self):
        self.assertEqual(stat.S_IMODE(os.stat(self.secret).st_mode), 0o600)

    def test_no_secret_is_refused(self):
        self.assert_refused_start(self.joining("node", self.founder), "secret", "--secret-file")
        self.assert_joins(self.joining("node", self.founder, self.secret))

    def test_a_wrong_secret_is_refused_and_the_right_one_is_taken_afterwards(self):
        wrong = self.local("wrong", "0123456789abcdef0123456789abcdef")
        self.assert_refused_start(self.joining("node", self.founder, wrong), "secret")
        self.assert_joins(self.joining("node", self.founder, self.secret))

    def test_a_wrong_secret_harms_no_node_that_has_joined(self):
        node = self.assert_joins(self.joining("node", self.founder, self.secret))
        self.one.ask("bucket", name="two", redundancy="replica:2")
        self.one.ask("put", path="two/f.seed2", bytes=SHARD, seed=2)
        self.assertEqual(node.stop(), 0)
        wrong = self.local("wrong", "0123456789abcdef0123456789abcdef")
        self.assert_refused_start(self.joining("node", self.founder, wrong), "secret")
        self.assert_joins(self.joining("node", self.founder, self.secret))
        self.one.ask("get", path="two/f.seed2")
        self.one.ask("get", path="b/f.seed1")

    def test_a_secret_that_others_can_read_is_refused(self):
        key = self.local("key", self.secret_text())
        for mode in (0o644, 0o640, 0o602):
            with self.subTest(mode=oct(mode)):
                os.chmod(key, mode)
                self.assert_refused_start(self.joining("node", self.founder, key), "owner", key, "chmod 600")
        os.chmod(key, 0o400)
        self.assert_joins(self.joining("node", self.founder, key))

    def test_the_secret_may_come_from_the_environment(self):
        self.assert_refused_start(
            self.joining("node", self.founder, environment={"CAIRN_CLUSTER_SECRET": "0123456789abcdef"}), "secret")
        self.assert_joins(
            self.joining("node", self.founder, environment={"CAIRN_CLUSTER_SECRET": self.secret_text()}))

    def test_the_secret_may_be_copied_into_the_data_directory(self):
        os.mkdir(os.path.join(self.dir, "node"))
        shutil.copy(self.secret, os.path.join(self.dir, "node", "cluster.secret"))
        self.assert_joins(self.joining("node", self.founder))

    def test_a_node_that_has_joined_goes_on_without_being_told_where(self):
        node = self.joining("node", self.founder, self.secret).start()
        before = self.wait_up(node)
        self.one.ask("bucket", name="two", redundancy="replica:2")
        self.one.ask("put", path="two/f.seed2", bytes=SHARD, seed=2)
        self.assertEqual(node.stop(), 0)
        # On another port: the cluster is told by its heartbeats.
        again = self.cairnd("node", settings=SETTINGS, arguments=["--secret-file", self.secret]).start()
        self.assertEqual(self.wait_up(again), before)
        self.sdk(again).ask("get", path="two/f.seed2")

    def test_a_node_that_has_founded_a_cluster_joins_none(self):
        other = self.cairnd("other", settings=SETTINGS).start()
        self.sdk(other).ask("put", path="b/g.seed3", bytes=SHARD, seed=3)
        self.assertEqual(other.stop(), 0)
        self.assert_refused_start(self.joining("other", self.founder, self.secret), "founded", "--join",
                                  os.path.join(self.dir, "other"))
        self.sdk(self.cairnd("other", settings=SETTINGS).start()).ask("get", path="b/g.seed3")

    def test_a_node_of_one_cluster_joins_no_other(self):
        node = self.assert_joins(self.joining("node", self.founder, self.secret))
        self.assertEqual(node.stop(), 0)
        # With the same secret, so that nothing but the clusters differ.
        other = self.cairnd("other", settings=SETTINGS, arguments=["--secret-file", self.secret]).start()
        self.assertFalse(os.path.exists(secret_path(other)))
        self.assert_refused_start(self.joining("node", other, self.secret), "cluster",
                                  self.founder.board("cluster"))
        self.assert_joins(self.joining("node", self.founder, self.secret))
        self.assertEqual(len(self.sdk(other).status()["map"]["nodes"]), 1)


class Losses(ClusterScenario):
    def test_a_lost_node_is_read_around_and_comes_back_with_all_it_held(self):
        cluster = self.cluster(3)
        sdk = cluster.sdk()
        sdk.ask("bucket", name="two", redundancy="replica:2")
        sdk.ask("bucket", name="coded", redundancy="ec:2+1")
        paths = [*self.save_onto(cluster, sdk, [1, 2, 3], "two"), *self.save_onto(cluster, sdk, [1, 2, 3], "coded")]
        sdk.ask("put", path="coded/f.seed7", bytes=SHARD, seed=7)

        cluster.kill(2)
        self.verify(sdk, *paths)
        # Real time: an operator and a job's next save wait for it.
        cluster.wait_state(2, "NODE_DOWN", timeout_s=10)
        late = cluster.sdk(3)
        self.verify(late, *paths)
        late.ask("get", path="coded/f.seed7")
        # Two nodes are enough for two copies.
        late.ask("save", path="two/late/step-1", world=2, bytes=SHARD, seed=50)

        cluster.restart(2)
        cluster.wait_ready(2)
        self.assertEqual(sorted(cluster.nodes()), [1, 2, 3])
        self.assertEqual(cluster.nodes()[2]["endpoint"], cluster.servers[2].endpoint)
        # What lay on nodes 2 and 3 is there only if node 2 has kept it.
        cluster.kill(3)
        self.verify(cluster.sdk(2), *paths, "two/late/step-1")
        sdk.ask("get", path="coded/f.seed7")

    def test_one_copy_is_unreadable_while_its_node_is_gone_and_back_with_it(self):
        cluster = self.cluster(2)
        sdk = cluster.sdk(timeout_ms=3000)
        path, = self.save_onto(cluster, sdk, [2])[-1:]
        cluster.kill(2)
        self.assert_refused(("UNAVAILABLE", "DEADLINE_EXCEEDED"), "", sdk.ask, "verify", path=path)
        cluster.restart(2)
        cluster.wait_ready(2)
        self.verify(sdk, path)

    def test_a_save_goes_on_when_a_node_is_killed_in_the_middle(self):
        cluster = self.cluster(4)
        sdk = cluster.sdk()
        sdk.ask("bucket", name="coded", redundancy="ec:2+1")
        sdk.ask("begin", id="w", path="coded/run/step-1", world=1)
        sdk.ask("shard", id="w", shard="s", name="s.seed1.bin")
        sdk.ask("write", shard="s", bytes=80 * MIB, seed=1)
        cluster.wait_used(lambda used: used[3] > 0, "node 3 holds some of what is not sealed yet")
        sdk.ask("shard", id="w", shard="t", name="t.seed2.bin")
        before = cluster.used()[FOUNDER]
        sdk.tell("write", shard="t", bytes=120 * MIB, seed=2)
        # The node that is asked knows its own use at once, unlike the others'.
        cluster.wait_used(lambda used: used[FOUNDER] > before, "the first bytes of the second shard arrive")
        cluster.kill(3)
        sdk.answer()
        for shard in ("s", "t"):
            sdk.ask("close", shard=shard)
        sdk.ask("done", id="w")
        sdk.ask("commit", id="w")
        self.assertEqual(sdk.ask("verify", path="coded/run/step-1")["bytes_read"], 200 * MIB)
        # Nothing was sealed before, so all must be on the three others now, and two of them are enough.
        cluster.wait_state(3, "NODE_DOWN")
        cluster.kill(4)
        self.assertEqual(cluster.sdk(2).ask("verify", path="coded/run/step-1")["bytes_read"], 200 * MIB)

    def test_a_save_goes_on_with_fewer_nodes_than_a_stripe_has_fragments(self):
        cluster = self.cluster(6)
        sdk = cluster.sdk()
        sdk.ask("bucket", name="coded", redundancy="ec:4+2")
        sdk.ask("begin", id="w", path="coded/run/step-1", world=1)
        sdk.ask("shard", id="w", shard="s", name="s.seed1.bin")
        sdk.ask("write", shard="s", bytes=48 * MIB, seed=1)
        sdk.ask("shard", id="w", shard="t", name="t.seed2.bin")
        before = cluster.used()[FOUNDER]
        sdk.tell("write", shard="t", bytes=96 * MIB, seed=2)
        cluster.wait_used(lambda used: used[FOUNDER] > before, "the first bytes of the second shard arrive")
        # One that is gone at once and one that takes calls and answers none.
        cluster.kill(3)
        cluster.stop(5)
        sdk.answer()
        for shard in ("s", "t"):
            sdk.ask("close", shard=shard)
        sdk.ask("done", id="w")
        sdk.ask("commit", id="w")
        for node in (3, 5):
            cluster.wait_state(node, "NODE_DOWN")
        # A new writer finds its way at once, and what it wrote survives one node more.
        cluster.sdk(2).ask("save", path="coded/run/step-2", world=2, bytes=SHARD, seed=70)
        cluster.kill(6)
        late = cluster.sdk(4)
        self.assertEqual(late.ask("verify", path="coded/run/step-1")["bytes_read"], 144 * MIB)
        self.verify(late, "coded/run/step-2")

    def test_a_node_that_stands_still_is_down_and_up_again_when_it_goes_on(self):
        cluster = self.cluster(3)
        sdk = cluster.sdk()
        sdk.ask("bucket", name="two", redundancy="replica:2")
        paths = self.save_onto(cluster, sdk, [1, 2, 3], "two")
        cluster.stop(3)
        cluster.wait_state(3, "NODE_DOWN", timeout_s=10)
        self.assertEqual(cluster.state(2), "NODE_UP")
        self.verify(cluster.sdk(2), *paths)
        sdk.ask("save", path="two/meanwhile/step-1", world=2, bytes=SHARD, seed=60)
        cluster.cont(3)
        cluster.wait_state(3, "NODE_UP", timeout_s=10)
        paths += self.save_onto(cluster, sdk, [3], "two")
        self.verify(cluster.sdk(3), *paths, "two/meanwhile/step-1")

    def test_the_metadata_node_restarts_while_the_others_stay(self):
        cluster = self.cluster(3)
        sdk = cluster.sdk()
        sdk.ask("bucket", name="two", redundancy="replica:2")
        paths = self.save_onto(cluster, sdk, [1, 2, 3], "two")
        # What the others use is known from their heartbeats alone, and not kept: it tells that they are back.
        before = cluster.used()
        pids = [cluster.servers[node].pid() for node in (2, 3)]
        cluster.kill(FOUNDER)
        cluster.restart(FOUNDER)
        cluster.wait_used(lambda used: all(used[node] >= before[node] > 0 for node in used), "all are heard again")
        cluster.wait_ready(1, 2, 3)
        self.assertEqual([cluster.servers[node].pid() for node in (2, 3)], pids)
        self.verify(sdk, *paths)
        later = cluster.sdk(3)
        self.verify(later, *paths, *self.save_onto(cluster, later, [1, 2, 3], "two"))


class Space(ClusterScenario):
    def test_removing_gives_space_back_on_every_node(self):
        cluster = self.cluster(3)
        sdk = cluster.sdk()
        sdk.ask("bucket", name="coded", redundancy="ec:2+1")
        # Four whole stripes, of which each node has a half: so it is known when all heartbeats have told of them.
        sdk.ask("save", path="coded/stays/step-1", world=2, bytes=8 * MIB, seed=1)
        cluster.wait_used(lambda used: set(used.values()) == {8 * MIB}, "each node holds its part")
        before = cluster.used()
        paths = [*self.save_onto(cluster, sdk, [1, 2, 3]), *self.save_onto(cluster, sdk, [1, 2, 3], "coded")]
        for path in paths:
            sdk.ask("remove", path=path)
        cluster.wait_used(lambda used: used == before, f"back to {before}")
        self.verify(sdk, "coded/stays/step-1")

    def test_what_a_stopped_job_left_unsealed_is_dropped_everywhere(self):
        cluster = self.cluster(3, settings={"lease_ttl_seconds": 2})
        cluster.sdk().ask("bucket", name="coded", redundancy="ec:2+1")
        job = cluster.sdk(2, timeout_ms=20000)
        job.ask("begin", id="w", path="coded/run/step-1", world=1)
        job.ask("shard", id="w", shard="s", name="s.seed1.bin")
        job.ask("write", shard="s", bytes=40 * MIB, seed=1)
        # Ten whole stripes: 2 MiB on each node of each. With all of them there no transfer waits for the job.
        cluster.wait_used(lambda used: set(used.values()) == {20 * MIB}, "all of it is on the nodes")
        job.signal(signal.SIGSTOP)
        cluster.wait_used(lambda used: not any(used.values()), "nothing is left of it")
        self.assertEqual(int(cluster.status().get("open_attempts", 0)), 0)
        job.signal(signal.SIGCONT)
        with self.assertRaises(SdkError) as refused:
            job.ask("close", shard="s")
            job.ask("done", id="w")
            job.ask("commit", id="w", timeout_ms=5000)
        self.assertIn(refused.exception.code, ("ABORTED", "FAILED_PRECONDITION", "UNAVAILABLE", "DEADLINE_EXCEEDED"))


class Health(ClusterScenario):
    def health(self, cluster, code, *arguments):
        """What `cairn health` prints, asked of the founding node; it exits with `code`."""
        done = subprocess.run([program("cairn"), "--endpoint", cluster.servers[FOUNDER].endpoint, "health", *arguments],
                              capture_output=True, timeout=PATIENCE_S, check=False, text=True)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout

    def test_a_killed_node_is_named_until_it_is_back(self):
        cluster = self.cluster(3)
        cluster.sdk().ask("bucket", name="two", redundancy="replica:2")
        self.assertEqual(self.health(cluster, 0), "HEALTH OK\n")

        cluster.kill(2)
        cluster.wait_state(2, "NODE_DOWN")
        told = self.health(cluster, 1)
        self.assertRegex(told, r"(?m)^ERROR NODE_DOWN since \w+: node 2 \(.*" + cluster.servers[2].endpoint)
        found = json.loads(self.health(cluster, 1, "--output", "json"))
        self.assertEqual(found["status"], "error")
        # Single copies on it are out of reach, pairs with it have one left, and others take what is new.
        self.assertEqual({item["code"]: item["nodes"] for item in found["items"]},
                         {code: [2] for code in ("DATA_DEGRADED", "DATA_UNAVAILABLE", "NODE_DOWN")})

        cluster.restart(2)
        cluster.wait_ready(2)
        self.assertEqual(self.health(cluster, 0), "HEALTH OK\n")


if __name__ == "__main__":
    unittest.main()
