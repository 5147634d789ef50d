"""Goal: `pip install ./client/python` gives a package that works away from the build tree, and leaves the sources as
they were. Method: a venv of the test's own, whose installed package talks to a real cairnd. Compiles the SDK anew."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import tomllib

import fsspec
import pytest
from cairn_harness import BUILD_DIR, ROOT

SOURCE = pathlib.Path(ROOT, "client", "python")
# A compilation of all that the extension needs, on two cores that do something else as well.
INSTALL_TIMEOUT_S = 1500


def run(*command, directory, timeout=120, **environment):
    """Runs it where neither the sources nor the build tree's package are found by chance."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    return subprocess.run([str(word) for word in command], cwd=directory, env={**inherited, **environment},
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=timeout, check=False)


def skip_without_build_requirements(python, directory):
    """pip builds in an environment that it fills from its indexes."""
    with open(SOURCE / "pyproject.toml", "rb") as file:
        requirements = tomllib.load(file)["build-system"]["requires"]
    fetched = run(python, "-m", "pip", "download", "--no-input", "--quiet", "--dest", directory / "requirements",
                  *requirements, directory=directory, timeout=300)
    if fetched.returncode != 0:
        pytest.skip(f"pip cannot get {', '.join(requirements)} here: {fetched.stdout.strip()[-300:]}")


def source_files():
    """All files that a build of the package could leave in the tree."""
    root = pathlib.Path(ROOT)
    files = {path for place in ("client", "common", "proto", "tools") for path in (root / place).rglob("*")}
    return {path for path in files if "__pycache__" not in path.parts} | {*root.iterdir(), *root.glob("build/pip-*")}


@pytest.fixture(scope="module")
def installed():
    """The interpreter of a venv with the package in it, and a directory to run it in."""
    base = os.path.join(BUILD_DIR, "tests", "scratch")
    os.makedirs(base, exist_ok=True)
    directory = pathlib.Path(tempfile.mkdtemp(prefix="install-", dir=base))
    try:
        made = run(sys.executable, "-m", "venv", directory / "venv", directory=directory)
        assert made.returncode == 0, made.stdout
        python = directory / "venv" / "bin" / "python"
        skip_without_build_requirements(python, directory)
        before = source_files()
        # Else the build directory is build/pip-TAG in the tree, where the next install goes on from.
        done = run(python, "-m", "pip", "install", "--no-input", "--config-settings", f"build-dir={directory}/build",
                   SOURCE, directory=directory, timeout=INSTALL_TIMEOUT_S)
        assert done.returncode == 0, done.stdout[-8000:]
        assert source_files() == before
        shutil.rmtree(directory / "build")
        yield python, directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def ask(installed, code, **environment):
    """What the code, run by the installed package's interpreter, prints as JSON."""
    python, directory = installed
    done = run(python, "-c", code, directory=directory, **environment)
    assert done.returncode == 0, done.stdout
    return json.loads(done.stdout.splitlines()[-1])


def test_it_imports_from_where_it_was_installed(installed, endpoint):
    place, version, metadata_version, cluster = ask(
        installed,
        "import cairn, importlib.metadata as m, json\n"
        f"status = cairn.Client({endpoint!r}).status()\n"
        "print(json.dumps([cairn.__file__, cairn.__version__, m.version('cairn'), status['cluster_id']]))",
    )
    assert pathlib.Path(place).is_relative_to(installed[1] / "venv")
    assert version == metadata_version
    assert len(cluster) == 36
    package = pathlib.Path(place).parent
    expected = {path.relative_to(SOURCE / "cairn") for path in (SOURCE / "cairn").rglob("*.py*") if path.is_file()}
    expected = {path for path in expected if "__pycache__" not in path.parts} | {pathlib.Path("py.typed")}
    assert all((package / path).is_file() for path in expected)


def test_fsspec_finds_the_scheme_by_its_entry_point(installed, endpoint, bucket, client):
    # fsspec from the environment of this test: nothing but the package is installed in the other.
    purelib = ask(installed, "import json, sysconfig; print(json.dumps(sysconfig.get_path('purelib')))")
    pathlib.Path(purelib, "others.pth").write_text(f"{pathlib.Path(fsspec.__file__).parents[1]}\n")
    place, got = ask(
        installed,
        "import fsspec, json, sys\n"
        f"with fsspec.open('cairn://{bucket}/file', 'wb') as file:\n"
        "    file.write(b'from the installed one')\n"
        f"with fsspec.open('cairn://{bucket}/file', 'r') as file:\n"
        "    got = file.read()\n"
        "place = sys.modules[fsspec.get_filesystem_class('cairn').__module__].__file__\n"
        "print(json.dumps([place, got]))",
        CAIRN_ENDPOINT=endpoint,
    )
    assert pathlib.Path(place).is_relative_to(installed[1] / "venv")
    assert got == "from the installed one"
    assert client.get(f"{bucket}/file") == b"from the installed one"
