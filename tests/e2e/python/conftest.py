"""One cairnd for the whole run, and a bucket of its own for every test.

`pytest tests/e2e/python` with PYTHONPATH=build/<preset>/python and CAIRN_BUILD_DIR=build/<preset>.
CAIRN_TEST_ENDPOINT uses a cluster that runs already.
"""

import itertools
import os
import pathlib
import re
import shutil
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import cairn  # noqa: E402
from cairn_harness import BUILD_DIR, Cairnd  # noqa: E402

_numbers = itertools.count()


@pytest.fixture(scope="session")
def server():
    if os.environ.get("CAIRN_TEST_ENDPOINT"):
        yield None
        return
    base = os.path.join(BUILD_DIR, "tests", "scratch")
    os.makedirs(base, exist_ok=True)
    directory = tempfile.mkdtemp(prefix="python-", dir=base)
    cairnd = Cairnd(os.path.join(directory, "data"), {"targets": [{"size": "4GiB"}]})
    try:
        yield cairnd.start()
    finally:
        cairnd.kill()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def endpoint(server):
    address = os.environ.get("CAIRN_TEST_ENDPOINT") or server.endpoint
    # For what finds the cluster by the environment, processes started by tests included.
    os.environ["CAIRN_ENDPOINT"] = address
    return address


@pytest.fixture(scope="session")
def client(endpoint):
    return cairn.Client(endpoint)


@pytest.fixture
def bucket(client, request):
    """A new bucket, removed with all that is in it."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:40].strip("-") + f"-{os.getpid()}-{next(_numbers)}"
    client.make_directory(name)
    yield name
    client.remove(name, recursive=True)
