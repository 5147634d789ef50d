"""Goal: checkpoints and files go to cold tiers and come back by policy and on demand; every byte that is read is right,
and none is lost, whatever is killed, damaged or taken away meanwhile. Method: clusters of real processes, the real CLI
and SDK, with directories and S3 services that are not ours as cold stores."""

import os
import pathlib
import shutil
import unittest

import s3_services
from faulty_proxy import FaultyProxy
from cairn_cluster import FOUNDER, ClusterTest
from cairn_harness import MIB, PATIENCE_S, SdkError, wait_until

SLOWLY_S = 3 * PATIENCE_S


class TieringTest(ClusterTest):
    def tier(self, cluster, name="cold"):
        """A directory as a tier; its path."""
        directory = os.path.join(self.dir, name)
        os.makedirs(directory, exist_ok=True)
        self.run_cli(cluster, "tier", "add", name, directory)
        return pathlib.Path(directory)

    def bucket(self, cluster, kind, name="cold", proxy_seed=None):
        """A bucket of an S3 service as a tier; with a seed, behind a proxy, which is `service.proxy`."""
        if reason := s3_services.missing():
            self.fail(reason)
        service = kind(self.dir)
        self.addCleanup(service.stop)
        service.start()
        url = None
        if proxy_seed is not None:
            service.proxy = FaultyProxy(service.port, proxy_seed)
            self.addCleanup(service.proxy.stop)
            url = service.proxy.url
        self.run_cli(cluster, "tier", "add", name, "s3://cold", *service.tier_options(url))
        return service

    def save(self, sdk, path, seed, size=3 * MIB + 4321, world=2):
        sdk.ask("save", path=path, world=world, bytes=size, seed=seed, timeout_s=SLOWLY_S)

    def verify(self, sdk, path):
        return sdk.ask("verify", path=path, timeout_s=SLOWLY_S)

    def explain(self, cluster, path):
        return self.run_cli(cluster, "tier", "explain", path)

    def wait_place(self, cluster, path, place):
        def there():
            told = self.explain(cluster, path)
            return told["place"] == place and told["step"] == "nothing"

        wait_until(there, f"{path} is {place}", SLOWLY_S)

    def objects(self, directory):
        return sorted(path for path in directory.rglob("*") if path.is_file() and "/objects/" in str(path))

    def checkpoints(self, cluster, directory):
        return sorted(each["path"] for each in self.run_cli(cluster, "ckpt", "ls", directory))


class OnDemand(TieringTest):
    def test_a_checkpoint_goes_to_a_tier_and_comes_back(self):
        cluster = self.cluster(3)
        store = self.tier(cluster)
        sdk = cluster.sdk()
        for step in (1, 2):
            self.save(sdk, f"default/run/step-{step}", seed=100 * step)
        self.run_cli(cluster, "tier", "push", "default/run", "--wait")
        self.assertEqual(self.explain(cluster, "default/run/step-1")["place"], "copied")
        self.assertTrue(self.objects(store))
        self.run_cli(cluster, "tier", "release", "default/run/step-1", "--wait")
        self.assertEqual(self.explain(cluster, "default/run/step-1")["place"], "cold")
        self.verify(sdk, "default/run/step-1")
        self.verify(sdk, "default/run/step-2")
        self.assert_clean(cluster)
        # All of it is in the metadata.
        cluster.kill(FOUNDER)
        cluster.restart(FOUNDER)
        cluster.wait_ready(1, 2, 3)
        self.verify(cluster.sdk(), "default/run/step-1")
        self.run_cli(cluster, "tier", "fetch", "default/run/step-1", "--wait")
        told = self.explain(cluster, "default/run/step-1")
        self.assertEqual((told["place"], told["cold_bytes"]), ("copied", 0))
        self.verify(cluster.sdk(), "default/run/step-1")
        self.assert_clean(cluster)
        # What is removed goes from the store, too.
        self.run_cli(cluster, "ckpt", "rm", "default/run/step-1", "default/run/step-2", "--yes")
        wait_until(lambda: not self.objects(store), "the store is empty", SLOWLY_S)

        def forgotten():
            tier = self.run_cli(cluster, "tier", "show", "cold")
            return (tier["objects"], tier["stored_bytes"]) == (0, 0)

        wait_until(forgotten, "the cluster knows that it is empty", SLOWLY_S)

    def test_files_opened_before_are_read_on(self):
        cluster = self.cluster(1, {"reclaim_grace_seconds": 0})
        self.tier(cluster)
        sdk = cluster.sdk()
        self.save(sdk, "default/a", seed=7)
        self.run_cli(cluster, "tier", "release", "default/a", "--wait")
        cluster.wait_used(lambda used: sum(used.values()) < MIB, "its space is free")
        self.verify(sdk, "default/a")

    def test_what_is_half_fetched_is_read(self):
        cluster = self.cluster(1)
        self.tier(cluster)
        sdk = cluster.sdk()
        self.save(sdk, "default/a", seed=7, size=4 * MIB, world=8)
        self.run_cli(cluster, "tier", "release", "default/a", "--wait")
        self.run_cli(cluster, "tier", "limit", "cold", "2MiB")
        self.run_cli(cluster, "tier", "fetch", "default/a")
        wait_until(lambda: self.explain(cluster, "default/a")["place"] == "partly cold", "some of it is back")
        self.verify(sdk, "default/a")
        self.run_cli(cluster, "tier", "cancel", "default/a")
        wait_until(lambda: not self.explain(cluster, "default/a")["running"], "nothing moves")
        told = self.explain(cluster, "default/a")
        self.assertEqual(told["place"], "partly cold", "the test is too slow for the limit")
        self.assertGreater(told["cold_bytes"], 0)
        self.verify(sdk, "default/a")
        self.verify(cluster.sdk(), "default/a")
        self.run_cli(cluster, "tier", "limit", "cold", "none")
        self.run_cli(cluster, "tier", "fetch", "default/a", "--wait")
        self.verify(sdk, "default/a")
        self.assert_clean(cluster)

    def test_what_is_pinned_or_a_part_is_refused(self):
        cluster = self.cluster(1)
        self.tier(cluster)
        sdk = cluster.sdk()
        self.save(sdk, "default/a", seed=7)
        self.run_cli(cluster, "ckpt", "pin", "default/a")
        self.assertIn("pinned", str(self.run_cli(cluster, "tier", "release", "default/a", expect=1)))
        shard = self.run_cli(cluster, "ckpt", "show", "default/a")["shards"][0]["name"]
        self.assertIn("as a whole", str(self.run_cli(cluster, "tier", "push", f"default/a/{shard}", expect=1)))
        self.assertIn("no-such", str(self.run_cli(cluster, "tier", "push", "default/a", "--tier", "no-such", expect=1)))

    def test_a_paused_tier_waits_and_a_cancelled_step_is_left(self):
        cluster = self.cluster(1)
        self.tier(cluster)
        sdk = cluster.sdk()
        self.run_cli(cluster, "tier", "pause", "cold")
        self.save(sdk, "default/a", seed=7)
        self.save(sdk, "default/b", seed=8)
        self.run_cli(cluster, "tier", "push", "default/a", "default/b")

        def queue():
            return self.run_cli(cluster, "tier", "queue")

        wait_until(lambda: queue()["waiting"] == 2, "both wait")
        self.assertIn("paused", queue()["holds_back"])
        self.run_cli(cluster, "tier", "cancel", "default/b")
        self.assertEqual([each["path"] for each in queue()["entries"]], ["default/a"])
        self.assertTrue(self.explain(cluster, "default/b")["held"])
        self.run_cli(cluster, "tier", "resume", "cold")
        self.wait_place(cluster, "default/a", "copied")
        self.assertEqual(self.explain(cluster, "default/b")["place"], "hot")

    def test_s3_services_serve_as_tiers(self):
        for kind in (s3_services.Nanio, s3_services.Moto):
            with self.subTest(kind=kind.__name__):
                cluster = self.cluster(1, prefix=kind.__name__)
                self.bucket(cluster, kind)
                sdk = cluster.sdk()
                self.save(sdk, "default/a", seed=7)
                self.run_cli(cluster, "tier", "release", "default/a", "--wait")
                self.verify(sdk, "default/a")
                self.run_cli(cluster, "tier", "fetch", "default/a", "--wait")
                self.verify(sdk, "default/a")


class Storms(TieringTest):
    def test_moves_get_through_a_service_in_trouble(self):
        cluster = self.cluster(1)
        service = self.bucket(cluster, s3_services.Nanio, proxy_seed=7)
        sdk = cluster.sdk()
        paths = [f"default/step-{step}" for step in range(4)]
        for step, path in enumerate(paths):
            self.save(sdk, path, seed=100 * step + 1, size=9 * MIB)
        service.proxy.share = 0.3
        self.run_cli(cluster, "tier", "release", *paths, "--wait")
        for path in paths[:2]:
            self.verify(sdk, path)
        self.run_cli(cluster, "tier", "fetch", *paths[:2], "--wait")
        service.proxy.share, service.proxy.kinds = 1.0, ("503",)
        # All of it fails: that is told, and nothing is lost by it.
        self.save(sdk, "default/late", seed=900, size=9 * MIB)
        self.run_cli(cluster, "tier", "push", "default/late")
        wait_until(lambda: self.explain(cluster, "default/late")["failures"] > 0, "a failure is told", SLOWLY_S)
        self.verify(sdk, "default/late")
        service.proxy.share = 0.0
        self.wait_place(cluster, "default/late", "copied")
        for path in paths + ["default/late"]:
            self.verify(sdk, path)
        # All kinds of trouble were had.
        self.assertTrue(all(service.proxy.disturbed.values()), service.proxy.disturbed)


class ByPolicy(TieringTest):
    def test_a_run_on_small_targets_keeps_what_it_should(self):
        # Targets hold some four checkpoints; the run writes five times that.
        cluster = self.cluster(1)
        self.tier(cluster)
        self.run_cli(cluster, "mkdir", "runs")
        self.run_cli(cluster, "tier", "policy", "set", "runs", "--tier", "cold", "--keep-hot", "2", "--keep-every", "10",
                     "--delete-after", "0")
        sdk = cluster.sdk()
        for step in range(1, 25):
            self.save(sdk, f"runs/a/step-{step}", seed=100 * step, size=24 * MIB)
        kept = ["runs/a/step-10", "runs/a/step-20", "runs/a/step-23", "runs/a/step-24"]
        wait_until(lambda: self.checkpoints(cluster, "runs/a") == kept, "the others are deleted", SLOWLY_S)
        self.wait_place(cluster, "runs/a/step-20", "cold")
        for path in kept:
            self.verify(sdk, path)
        self.assertIn(self.explain(cluster, "runs/a/step-24")["place"], ("hot", "copied"))
        told = self.explain(cluster, "runs/a/step-23")
        self.assertIn("newest 2", told["rule"])
        self.assert_clean(cluster)

    def test_watermarks_let_go_of_the_oldest(self):
        cluster = self.cluster(1)
        self.tier(cluster)
        self.run_cli(cluster, "tier", "policy", "set", "default", "--tier", "cold", "--high", "30", "--low", "20")
        sdk = cluster.sdk()
        for step in range(1, 5):
            self.save(sdk, f"default/step-{step}", seed=100 * step, size=24 * MIB)
        self.wait_place(cluster, "default/step-1", "cold")
        self.wait_place(cluster, "default/step-4", "copied")
        self.verify(sdk, "default/step-1")

    def test_policies_are_tested_listed_and_refused(self):
        cluster = self.cluster(1)
        self.tier(cluster)
        sdk = cluster.sdk()
        for step in (1, 2, 3):
            self.save(sdk, f"default/r/step-{step}", seed=step)
        policy = ["--tier", "cold", "--keep-hot", "2", "--delete-after", "0"]
        would = {each["path"]: each for each in self.run_cli(cluster, "tier", "policy", "test", "default/r", *policy)}
        self.assertEqual(would["default/r/step-1"]["now"], "delete")
        self.assertEqual(would["default/r/step-3"]["now"], "nothing")
        self.assertEqual(self.run_cli(cluster, "tier", "policy", "ls"), [])
        refused = self.run_cli(cluster, "tier", "policy", "set", "default", "--tier", "cold", "--high", "50", "--low", "60",
                               expect=1)
        self.assertIn("watermark", refused["error"]["why"])
        self.run_cli(cluster, "ckpt", "retention", "default/r", "--keep-last", "1")
        refused = self.run_cli(cluster, "tier", "policy", "set", "default/r", *policy, expect=1)
        self.assertIn("retention", refused["error"]["why"])
        # A tier that a policy names is not forgotten.
        self.run_cli(cluster, "mkdir", "empty")
        self.run_cli(cluster, "tier", "policy", "set", "empty", "--tier", "cold", "--keep-hot", "2")
        self.assertIn("policy", self.run_cli(cluster, "tier", "rm", "cold", "--yes", expect=1)["error"]["why"])
        self.assertEqual([each["path"] for each in self.run_cli(cluster, "tier", "policy", "ls")], ["empty"])

    def test_recall_modes(self):
        cluster = self.cluster(1)
        self.tier(cluster)
        sdk = cluster.sdk()
        for mode in ("fail", "delayed"):
            self.run_cli(cluster, "mkdir", mode)
            self.save(sdk, f"{mode}/a", seed=7)
            self.run_cli(cluster, "tier", "policy", "set", mode, "--tier", "cold", "--recall", mode)
            self.run_cli(cluster, "tier", "release", f"{mode}/a", "--wait")
        with self.assertRaises(SdkError) as refused:
            self.verify(sdk, "fail/a")
        self.assertIn("tier fetch", str(refused.exception))
        self.verify(sdk, "delayed/a")
        self.wait_place(cluster, "delayed/a", "copied")


class AfterHarm(TieringTest):
    def cold_checkpoint(self, cluster, path="default/a", size=3 * MIB):
        sdk = cluster.sdk()
        self.save(sdk, path, seed=7, size=size)
        self.run_cli(cluster, "tier", "release", path, "--wait")
        return sdk

    def test_wrong_bytes_are_never_returned(self):
        cluster = self.cluster(1)
        store = self.tier(cluster)
        sdk = self.cold_checkpoint(cluster)
        (path,) = self.objects(store)
        content = path.read_bytes()
        path.write_bytes(content[:2000] + bytes([content[2000] ^ 1]) + content[2001:])
        with self.assertRaises(SdkError) as refused:
            self.verify(sdk, "default/a")
        self.assertIn("checksum", str(refused.exception))
        path.write_bytes(content[:100])
        with self.assertRaises(SdkError):
            self.verify(cluster.sdk(), "default/a")
        path.write_bytes(content)
        self.verify(cluster.sdk(), "default/a")

    def test_a_copy_that_is_gone_is_made_again_before_anything_is_let_go(self):
        cluster = self.cluster(1)
        store = self.tier(cluster)
        sdk = cluster.sdk()
        self.save(sdk, "default/a", seed=7)
        self.run_cli(cluster, "tier", "push", "default/a", "--wait")
        for path in self.objects(store):
            path.unlink()
        self.run_cli(cluster, "tier", "release", "default/a")
        self.wait_place(cluster, "default/a", "cold")
        self.assertTrue(self.objects(store))
        self.verify(sdk, "default/a")

    def test_a_store_that_is_away_is_told_and_waited_for(self):
        cluster = self.cluster(1)
        store = self.tier(cluster)
        sdk = self.cold_checkpoint(cluster)
        away = store.with_name("away")
        store.rename(away)
        self.save(sdk, "default/b", seed=8)
        self.run_cli(cluster, "tier", "push", "default/b")

        def codes():
            return [item["code"] for item in self.run_cli(cluster, "health", expect=None)["items"]]

        wait_until(lambda: any(code.startswith("TIER_") for code in codes()), "health names the tier", SLOWLY_S)
        with self.assertRaises(SdkError):
            self.verify(sdk, "default/a")
        away.rename(store)
        self.verify(cluster.sdk(), "default/a")
        self.wait_place(cluster, "default/b", "copied")
        wait_until(lambda: not codes(), "health is well again", SLOWLY_S)

    def test_a_fetch_to_full_targets_is_told_and_goes_on_once_there_is_room(self):
        cluster = self.cluster(1)
        self.tier(cluster)
        sdk = self.cold_checkpoint(cluster, size=40 * MIB)
        filled = 0
        with self.assertRaises(SdkError):
            for filled in range(100):
                self.save(sdk, f"default/fill-{filled}", seed=filled, size=32 * MIB)
        self.run_cli(cluster, "tier", "fetch", "default/a")
        wait_until(lambda: self.explain(cluster, "default/a")["failures"] > 0, "that there is no room is told", SLOWLY_S)
        self.assertIn("no target has room", self.explain(cluster, "default/a")["error"])
        # It can be read where it is, and the tier is not to blame.
        self.verify(sdk, "default/a")
        self.assertEqual([item["code"] for item in self.run_cli(cluster, "health", expect=None)["items"]
                          if item["code"].startswith("TIER_DOWN")], [])
        self.run_cli(cluster, "ckpt", "rm", *[f"default/fill-{number}" for number in range(filled)], "--yes")
        self.wait_place(cluster, "default/a", "copied")
        self.verify(sdk, "default/a")
        self.assert_clean(cluster)

    def test_the_namespace_comes_back_of_the_tier_alone(self):
        lost = self.cluster(2)
        store = self.tier(lost)
        sdk = lost.sdk()
        self.run_cli(lost, "bucket", "create", "twice", "--redundancy", "replica:2")
        self.save(sdk, "twice/run/step-1", seed=100)
        self.save(sdk, "default/x/step-7", seed=700)
        self.run_cli(lost, "tier", "push", "twice", "default", "--wait")
        for node in (2, 1):
            lost.kill(node)
        cluster = self.cluster(2, prefix="other")
        self.run_cli(cluster, "tier", "add", "cold", str(store))
        would = self.run_cli(cluster, "tier", "import", "cold", "--dry-run")
        self.assertEqual((would["subjects"], would["failed"]), (2, 0))
        done = self.run_cli(cluster, "tier", "import", "cold")
        self.assertEqual((done["subjects"], done["skipped"], done["failed"]), (2, 0, 0))
        sdk = cluster.sdk()
        self.verify(sdk, "twice/run/step-1")
        self.verify(sdk, "default/x/step-7")
        self.assertEqual(self.run_cli(cluster, "ckpt", "show", "default/x/step-7")["step"], 7)
        self.assertEqual(self.run_cli(cluster, "tier", "import", "cold")["skipped"], 2)
        self.run_cli(cluster, "tier", "fetch", "twice", "--wait")
        self.verify(sdk, "twice/run/step-1")
        self.assert_clean(cluster)
        # They are this cluster's now: what is removed goes from the store.
        self.run_cli(cluster, "ckpt", "rm", "twice/run/step-1", "default/x/step-7", "--yes")
        wait_until(lambda: not self.objects(store), "the store is empty", SLOWLY_S)

    def test_a_server_killed_again_and_again_loses_nothing(self):
        cluster = self.cluster(2, {"reclaim_grace_seconds": 0})
        self.tier(cluster)
        sdk = cluster.sdk(timeout_s=SLOWLY_S)
        paths = [f"default/run/step-{step}" for step in range(1, 7)]
        for number, path in enumerate(paths):
            self.save(sdk, path, seed=100 * number, size=9 * MIB)
        for action, place in (("push", "copied"), ("release", "cold"), ("fetch", "copied"), ("release", "cold")):
            self.run_cli(cluster, "tier", action, "default/run")
            for node in (FOUNDER, 2, FOUNDER):
                cluster.kill(node)
                cluster.restart(node)
                cluster.wait_ready(1, 2)
            for path in paths:
                self.wait_place(cluster, path, place)
        for path in paths:
            self.verify(cluster.sdk(), path)
        self.run_cli(cluster, "tier", "fetch", paths[0], "--wait")
        self.assert_clean(cluster)


del TieringTest

if __name__ == "__main__":
    unittest.main()
