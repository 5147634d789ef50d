"""An S3 service that is not ours (nanio, from build/venv-s3; it keeps objects as files), and plain parallel transfers beside which Cairn's
are measured: with boto3, in parts and with checksums as usual; and with curl by signed URLs, each file in one request, so
that no client computes anything of the bytes and the service does not put parts together."""

import concurrent.futures
import json
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

from .processes import BenchError
from .results import GIB

BUCKET = "cold"
KEY_ID, SECRET = "cairn-bench-key", "cairn-bench-secret"
PATIENCE_S = 30
# No proxy that the environment names comes between.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))

# Prints a URL to put and one to get for each key.
SIGN = """
import json, sys, boto3, botocore.config
client = boto3.client("s3", endpoint_url=sys.argv[1], region_name="us-east-1", aws_access_key_id=sys.argv[2],
                      aws_secret_access_key=sys.argv[3],
                      config=botocore.config.Config(signature_version="s3v4", s3={"addressing_style": "path"}))
sign = lambda verb, key: client.generate_presigned_url(verb, {"Bucket": sys.argv[4], "Key": key}, 36000)
print(json.dumps({key: [sign("put_object", key), sign("get_object", key)] for key in sys.argv[5:]}))
"""

# Prints the seconds that putting (getting) the files took, so many processes at once; starting them is not counted.
TRANSFER = """
import multiprocessing, os, sys, time, boto3, botocore.config
verb, url, key_id, secret, bucket, at_once, *paths = sys.argv[1:]
ready = multiprocessing.Barrier(int(at_once) + 1)
def prepare():
    global client
    client = boto3.client("s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id=key_id,
                          aws_secret_access_key=secret,
                          config=botocore.config.Config(s3={"addressing_style": "path"}))
    ready.wait()
def transfer(path):
    key = "boto/" + os.path.basename(path)
    if verb == "put":
        client.upload_file(path, bucket, key)
        return
    client.download_file(bucket, key, path + ".got")
    with open(path + ".got", "rb+") as file:
        os.fsync(file.fileno())
    os.unlink(path + ".got")
with multiprocessing.Pool(int(at_once), prepare) as pool:
    ready.wait()
    began = time.monotonic()
    pool.map(transfer, paths, 1)
    print(time.monotonic() - began)
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class S3Service:
    """Has the bucket BUCKET, until the group is stopped."""

    def __init__(self, group, root, scratch):
        self._python = os.path.join(root, "build", "venv-s3", "bin", "python")
        if not os.path.exists(self._python):
            raise BenchError("build/venv-s3, which has an S3 service, is missing: tools/venv --s3 makes it")
        self.folder = os.path.join(scratch, "s3")
        os.makedirs(os.path.join(self.folder, BUCKET))
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.credentials = os.path.join(scratch, "credentials")
        with open(self.credentials, "w", encoding="ascii") as file:
            file.write(f"[default]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}\n")
        os.chmod(self.credentials, 0o600)
        environment = os.environ | {"NANIO_ACCESS_KEY": KEY_ID, "NANIO_SECRET_KEY": SECRET, "NO_PROXY": "127.0.0.1"}
        # What it would say of each request nobody reads.
        self._child = group.start([self._python, "-m", "nanio", "serve", "--data-dir", self.folder, "--host",
                                   "127.0.0.1", "--port", str(port), "--no-access-log", "--log-level", "warning"],
                                  os.path.join(scratch, "s3.log"), env=environment)
        self._wait()

    def _wait(self):
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                OPENER.open(self.url + "/", timeout=5).close()
                return
            except urllib.error.HTTPError:
                return  # an answer, if a refusal
            except OSError as error:
                if time.monotonic() > deadline:
                    raise BenchError(f"the S3 service does not answer; {self._child.log_tail()}") from error
                time.sleep(0.1)

    def sign(self, keys):
        """For each key a URL to put it and one to get it."""
        done = subprocess.run([self._python, "-c", SIGN, self.url, KEY_ID, SECRET, BUCKET, *keys],
                              capture_output=True, text=True, check=False, timeout=60)
        if done.returncode != 0:
            raise BenchError(f"cannot sign URLs: {done.stderr.strip()[-400:]}")
        return json.loads(re.search(r"\{.*\}", done.stdout).group(0))

    def transfer(self, verb, paths, at_once):
        """Seconds that putting or getting them with boto3 takes."""
        done = subprocess.run([self._python, "-c", TRANSFER, verb, self.url, KEY_ID, SECRET, BUCKET, str(at_once), *paths],
                              capture_output=True, text=True, check=False, timeout=600)
        if done.returncode != 0:
            raise BenchError(f"boto3 failed: {done.stderr.strip()[-400:]}")
        return float(done.stdout)


class PlainTransfers:
    """The files of `plain`, put to the service and got from it, as many at once as plain copies."""

    def __init__(self, service, plain, at_once):
        if shutil.which("curl") is None:
            raise BenchError("curl is missing: plain transfers need it")
        self._service, self._plain, self._at_once = service, plain, at_once
        self._urls = service.sign([f"plain/{os.path.basename(path)}" for path in plain.paths()])

    def _curl(self, *arguments):
        done = subprocess.run(["curl", "-sS", "--fail", "--noproxy", "*", *arguments],
                              capture_output=True, text=True, check=False, timeout=600)
        if done.returncode != 0:
            raise BenchError(f"curl failed: {done.stderr.strip()[-400:]}")

    def _put(self, path):
        self._curl("-o", "/dev/null", "-T", path, "-H", "Expect:", self._urls[f"plain/{os.path.basename(path)}"][0])

    def _get(self, path):
        target = path + ".got"
        self._curl("-o", target, self._urls[f"plain/{os.path.basename(path)}"][1])
        with open(target, "rb+") as file:
            os.fsync(file.fileno())
        os.unlink(target)

    def _all(self, work):
        self._plain.drop_cache()
        began = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(self._at_once) as pool:
            list(pool.map(work, self._plain.paths()))
        return self._plain.bytes / GIB / (time.monotonic() - began)

    def put_whole(self):
        """GiB/s of putting all with curl, read from the disk."""
        return self._all(self._put)

    def get_whole(self):
        """GiB/s of getting all with curl into files, fsync included."""
        return self._all(self._get)

    def put(self):
        """GiB/s of putting all with boto3, read from the disk."""
        return self._in_parts("put")

    def get(self):
        """GiB/s of getting all with boto3 into files, fsync included."""
        return self._in_parts("get")

    def _in_parts(self, verb):
        self._plain.drop_cache()
        return self._plain.bytes / GIB / self._service.transfer(verb, self._plain.paths(), self._at_once)
