"""S3 services that are not ours, for tests of the tier: moto and nanio, from the environment build/venv-s3 that
`tools/venv --s3` makes. They share no code with each other; nanio checks signatures."""

import os
import signal
import subprocess
import urllib.error
import urllib.request

from cairn_harness import PATIENCE_S, ROOT, free_port, wait_until

PYTHON = os.path.join(ROOT, "build", "venv-s3", "bin", "python")
BUCKET = "cold"


def missing():
    """Why the services cannot run, or None."""
    return None if os.path.exists(PYTHON) else "build/venv-s3, which has S3 services, is missing: tools/venv --s3 makes it"


class Service:
    """A service with the bucket BUCKET, from start() to stop()."""

    def __init__(self, directory):
        self.directory = directory
        self.port = free_port()
        self.scheme = "http"
        self.key_id, self.secret = "cairn-test-key", "cairn-test-secret"
        self._process = None

    @property
    def url(self):
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def _command(self):
        raise NotImplementedError

    def _environment(self):
        return {}

    def _answers(self):
        if self._process.poll() is not None:
            raise AssertionError(f"{self._command()} ended: {self.log()}")
        try:
            urllib.request.urlopen(self.url + self._health, timeout=5).close()
        except urllib.error.HTTPError:
            return True  # an answer, if a refusal
        except OSError:
            return False
        return True

    def start(self):
        self._log = open(os.path.join(self.directory, f"{type(self).__name__}.log"), "wb")
        # A service must not find other credentials or proxies than its own.
        environment = {k: v for k, v in os.environ.items() if not k.upper().endswith("_PROXY") and not k.startswith("AWS_")}
        self._process = subprocess.Popen(
            self._command(), cwd=self.directory, env=environment | self._environment(), stdout=self._log, stderr=self._log
        )
        try:
            wait_until(self._answers, f"{type(self).__name__} answers at {self.url}")
            self._make_bucket()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self):
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._log.close()

    def tier_options(self, url=None):
        """What `cairn tier add NAME s3://BUCKET` needs to be told; credentials go through a file."""
        os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"
        path = os.path.join(self.directory, "credentials")
        with open(path, "w") as file:
            file.write(f"[default]\naws_access_key_id = {self.key_id}\naws_secret_access_key = {self.secret}\n")
        os.chmod(path, 0o600)
        return ["--endpoint", url or self.url, "--credentials", f"file:{path}"]

    def log(self):
        with open(self._log.name, errors="replace") as file:
            return file.read()[-3000:]


class Nanio(Service):
    """Checks signatures itself; keeps buckets as directories."""

    _health = "/"

    def _command(self):
        return [PYTHON, "-m", "nanio", "serve", "--data-dir", os.path.join(self.directory, "nanio"),
                "--host", "127.0.0.1", "--port", str(self.port)]

    def _environment(self):
        return {"NANIO_ACCESS_KEY": self.key_id, "NANIO_SECRET_KEY": self.secret}

    def start(self):
        os.makedirs(os.path.join(self.directory, "nanio"))
        return super().start()

    def _make_bucket(self):
        os.makedirs(os.path.join(self.directory, "nanio", BUCKET), exist_ok=True)


class Moto(Service):
    """Checks no signatures here: it could, but takes those of queries with a slash in them for wrong."""

    _health = "/moto-api/"

    def _command(self):
        return [PYTHON, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]

    def _context(self):
        return None

    def _make_bucket(self):
        request = urllib.request.Request(f"{self.url}/{BUCKET}", method="PUT")
        urllib.request.urlopen(request, timeout=PATIENCE_S, context=self._context()).close()
