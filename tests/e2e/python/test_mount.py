"""One file by two ways: what PyTorch, safetensors and tar write in a mount the SDK reads, and the other way round."""

import io
import os
import pathlib
import subprocess
import tarfile

import cairn.torch
import pytest
import torch
import torch.distributed.checkpoint as dcp
from mount_harness import Mount, why_unavailable
from safetensors import safe_open
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from safetensors.torch import save_file as save_safetensors_file
from test_torch import assert_same, blank, every_kind

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def top(server, bucket, tmp_path):
    """The bucket, mounted."""
    if server is None:
        pytest.skip("CAIRN_TEST_ENDPOINT is set: where it can be mounted is not known")
    if reason := why_unavailable():
        pytest.skip(reason)
    with Mount(server.endpoint, str(tmp_path / "mnt"), bucket) as mount:
        yield pathlib.Path(mount.mountpoint)


@pytest.fixture
def tree(tmp_path):
    """A few local files and a link."""
    folder = tmp_path / "tree"
    (folder / "below").mkdir(parents=True)
    for number, size in enumerate((0, 1, 70_000, 5 << 20)):
        file = folder / "below" / f"file-{number}"
        file.write_bytes(torch.randint(256, (size,), dtype=torch.uint8).numpy().tobytes())
        # Whole seconds: tarfile has times as floating-point numbers.
        os.utime(file, (10**9, 10**9))
    (folder / "link").symlink_to("below/file-1")
    return folder


def tensors():
    return {"matrix": torch.randn(1500, 1000), "bfloat16": torch.randn(33, 7).bfloat16(), "empty": torch.empty(0, 3),
            "scalar": torch.tensor(2.5, dtype=torch.float64), "bytes": torch.arange(256, dtype=torch.uint8)}


def shown(path):
    """What a reader that maps the file finds in it."""
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}


def test_a_pytorch_file_of_the_mount_is_read_by_the_sdk(client, bucket, top):
    state = every_kind()
    torch.save(state, top / "state.pt")
    assert_same(torch.load(io.BytesIO(client.get(f"{bucket}/state.pt"))), state)
    with client.open(f"{bucket}/state.pt") as file:
        assert file.read() == (top / "state.pt").read_bytes()


def test_a_pytorch_file_of_the_sdk_is_read_in_the_mount(client, bucket, top):
    state = every_kind()
    buffer = io.BytesIO()
    torch.save(state, buffer)
    client.put(f"{bucket}/state.pt", buffer.getbuffer())
    for mapped in (False, True):
        assert_same(torch.load(top / "state.pt", mmap=mapped), state)


def test_a_safetensors_file_of_the_mount_is_read_by_the_sdk(client, bucket, top):
    state = tensors()
    save_safetensors_file(state, top / "model.safetensors")
    assert_same(load_safetensors(client.get(f"{bucket}/model.safetensors")), state)
    assert_same(shown(top / "model.safetensors"), state)


def test_a_safetensors_file_of_the_sdk_is_read_in_the_mount(client, bucket, top):
    state = tensors()
    client.put(f"{bucket}/model.safetensors", save_safetensors(state))
    assert_same(shown(top / "model.safetensors"), state)
    with safe_open(top / "model.safetensors", framework="pt") as file:
        assert torch.equal(file.get_slice("matrix")[100:200, 7:9], state["matrix"][100:200, 7:9])


def test_a_tar_of_the_mount_is_read_by_the_sdk(client, bucket, top, tree):
    subprocess.run(["tar", "-C", tree, "-cf", top / "tree.tar", "."], check=True, timeout=60)
    with tarfile.open(fileobj=io.BytesIO(client.get(f"{bucket}/tree.tar"))) as archive:
        files = {member.name: archive.extractfile(member).read() for member in archive if member.isreg()}
    assert files == {f"./{path.relative_to(tree)}": path.read_bytes() for path in (tree / "below").iterdir()}


def test_a_tar_of_the_sdk_is_read_in_the_mount(client, bucket, top, tree):
    with client.create(f"{bucket}/tree.tar") as writer, tarfile.open(fileobj=writer, mode="w|") as archive:
        archive.add(tree, ".")
    subprocess.run(["tar", "-C", tree, "--compare", "-f", top / "tree.tar"], check=True, timeout=60)
    (top / "out").mkdir()
    subprocess.run(["tar", "-C", top / "out", "-xf", top / "tree.tar"], check=True, timeout=60)
    subprocess.run(["diff", "-r", "--no-dereference", tree, top / "out"], check=True, timeout=60)
    for path in (tree / "below").iterdir():
        assert client.get(f"{bucket}/out/below/{path.name}") == path.read_bytes()


def test_a_checkpoint_of_the_sdk_is_safetensors_files_in_the_mount(bucket, top):
    state = tensors()
    cairn.torch.save(state, f"{bucket}/run/step-1")
    found = {}
    for path in sorted((top / "run/latest/").glob("*.safetensors")):
        found.update(shown(path))
    for name, tensor in state.items():
        assert any(torch.equal(each.reshape(-1), tensor.reshape(-1)) for each in found.values()
                   if each.dtype == tensor.dtype and each.numel() == tensor.numel()), name


def test_a_distributed_checkpoint_of_the_mount_is_read_by_fsspec(bucket, top):
    state = every_kind()
    dcp.save(state, checkpoint_id=str(top / "plain"))
    got = blank(state)
    dcp.load(got, checkpoint_id=f"cairn://{bucket}/plain")
    assert_same(got, state)
    got = blank(state)
    dcp.load(got, checkpoint_id=str(top / "plain"))
    assert_same(got, state)
