"""Goal: an operator names cold stores, all nodes try them, and what is wrong with one is told; the cluster remembers them.
Method: clusters of real processes and the real CLI, with directories and S3 services that are not ours."""

import json
import os
import shutil
import unittest

import s3_services
from cairn_cluster import FOUNDER, ClusterTest


class Tiers(ClusterTest):
    def s3(self, kind=s3_services.Nanio):
        """A service with the bucket, and what nodes know of it."""
        if reason := s3_services.missing():
            self.fail(reason)
        service = kind(self.dir)
        self.addCleanup(service.stop)
        service.start()
        return service, service.tier_options()

    def tiers(self, cluster):
        return {tier["name"]: tier for tier in self.run_cli(cluster, "tier", "ls")}

    def test_a_bucket_is_added_checked_and_forgotten(self):
        cluster = self.cluster(3)
        service, options = self.s3()
        added = self.run_cli(cluster, "tier", "add", "archive", "s3://cold/prefix", *options)
        self.assertEqual((added["location"], added["nodes_ok"], added["existed"]), ("s3://cold/prefix", 3, False))
        check = self.run_cli(cluster, "tier", "check", "archive")
        self.assertEqual((check["nodes_ok"], check["failures"]), (3, []))
        self.assertGreater(len(check["steps"]), 5)
        # Restarted, it is known still.
        cluster.kill(FOUNDER)
        cluster.restart(FOUNDER)
        cluster.wait_ready(1, 2, 3)
        self.assertEqual(self.tiers(cluster)["archive"]["options"]["endpoint"], service.url)
        # A node that is down is not asked.
        cluster.kill(3)
        cluster.wait_state(3, "NODE_DOWN")
        check = self.run_cli(cluster, "tier", "check", "archive")
        self.assertEqual((check["nodes_ok"], check["nodes_away"]), (2, 1))
        self.run_cli(cluster, "tier", "rm", "archive", "--yes")
        self.assertEqual(self.tiers(cluster), {})

    def test_what_is_wrong_with_a_bucket_is_told_and_no_secret(self):
        cluster = self.cluster(1)
        service, options = self.s3()
        refused = self.run_cli(cluster, "tier", "add", "archive", "s3://no-such-bucket", *options, expect=1)
        self.assertIn("no-such-bucket", refused["error"]["why"])
        path = os.path.join(self.dir, "wrong")
        with open(path, "w") as file:
            file.write(f"[default]\naws_access_key_id = {service.key_id}\naws_secret_access_key = not-the-secret-key\n")
        os.chmod(path, 0o600)
        wrong = self.run_cli(cluster, "tier", "add", "archive", "s3://cold", "--endpoint", service.url,
                             "--credentials", f"file:{path}", expect=1)
        self.assertIn("secret key", wrong["error"]["why"])
        for answer in (refused, wrong):
            self.assertNotIn(service.secret, json.dumps(answer))
            self.assertNotIn("not-the-secret-key", json.dumps(answer))
        self.assertEqual(self.tiers(cluster), {})
        # Once it works it is added; when the service is gone, a check says so.
        self.run_cli(cluster, "tier", "add", "archive", "s3://cold", *options)
        service.stop()
        check = self.run_cli(cluster, "tier", "check", "archive", expect=1)
        self.assertEqual((check["nodes_ok"], check["failures"][0]["code"]), (0, "UNAVAILABLE"))
        self.assertTrue(check["failures"][0]["hint"])
        # Whoever knows that it is only away may add it.
        self.run_cli(cluster, "tier", "add", "later", "s3://cold/later", *options, expect=1)
        later = self.run_cli(cluster, "tier", "add", "later", "s3://cold/later", *options, "--unchecked")
        self.assertEqual((later["existed"], later["nodes_ok"]), (False, 0))

    def test_a_directory_that_is_not_there_or_not_the_store_is_refused(self):
        cluster = self.cluster(1)
        directory = os.path.join(self.dir, "archive")
        self.assertIn(directory, self.run_cli(cluster, "tier", "add", "disks", directory, expect=1)["error"]["why"])
        os.mkdir(directory)
        self.run_cli(cluster, "tier", "add", "disks", directory)
        self.assertTrue(self.run_cli(cluster, "tier", "add", "disks", directory)["existed"])
        self.assertIn("disks", self.run_cli(cluster, "tier", "add", "other", directory, expect=1)["error"]["why"])
        # As when the disk is not mounted: an empty directory is not taken for the store.
        shutil.rmtree(directory)
        os.mkdir(directory)
        check = self.run_cli(cluster, "tier", "check", "disks", expect=1)
        self.assertEqual(check["failures"][0]["step"], "open")
        self.run_cli(cluster, "tier", "add", "disks", directory, expect=1)
        self.assertEqual(os.listdir(directory), [])

    def test_moto_is_taken_as_well(self):
        cluster = self.cluster(1)
        _, options = self.s3(s3_services.Moto)
        self.run_cli(cluster, "tier", "add", "archive", "s3://cold", *options)


if __name__ == "__main__":
    unittest.main()
