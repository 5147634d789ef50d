"""The main job: a training run is killed in the middle of a save, resumes, and must equal one that was not.

Called by tools/quickstart once cairnd is up. Runs client/examples/train four times: uninterrupted, until every
rank is killed with SIGKILL while a save is under way, resumed to the end, and resumed once more on two
ranks. Compares the losses bit for bit and prints the report. Exit status 1 when anything differs.
"""

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cairn
import mount_look

TREE = Path(__file__).resolve().parents[2]
TRAIN = TREE / "client" / "examples" / "train" / "train.py"
BUCKET = "quickstart"
RANK_LIMIT_S = 600


class Failure(Exception):
    """The main job went wrong; the message is for the person who ran it."""


@dataclass(frozen=True)
class Plan:
    """How long the runs are."""

    steps: int
    save_every: int
    layers: int
    more_steps: int

    @property
    def kill_at(self) -> int:
        """The step whose save is interrupted: neither the first nor the last."""
        return 3 * self.save_every


class Run:
    """One training process group: torchrun and its ranks."""

    def __init__(self, name: str, checkpoints: str, ranks: int, plan: Plan, steps: int, work: Path) -> None:
        self.name, self.checkpoints = name, checkpoints
        self.events_file = work / f"{name}.events"
        self.log_file = work / f"{name}.log"
        self.events_file.unlink(missing_ok=True)
        command = [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node", str(ranks), str(TRAIN)),
            *("--checkpoints", checkpoints, "--steps", str(steps)),
            *("--save-every", str(plan.save_every), "--layers", str(plan.layers)),
            *("--events", str(self.events_file)),
        ]
        self.begun = time.monotonic()
        with self.log_file.open("w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)

    def wait(self) -> None:
        """Waits for a good end."""
        try:
            status = self.process.wait(RANK_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failure(f"{self.name}: no end after {RANK_LIMIT_S} s; log: {self.log_file}") from None
        if status != 0:
            tail = "\n".join(self.log_file.read_text(errors="replace").splitlines()[-25:])
            raise Failure(f"{self.name}: exit status {status}\n{tail}\nthe whole log: {self.log_file}")

    def processes(self) -> list[int]:
        """torchrun and everything below it."""
        children: dict[int, list[int]] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    # The command, in parentheses, may hold spaces: the parent is the second field after it.
                    parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                    children.setdefault(parent, []).append(int(entry.name))
        found = [self.process.pid]
        for pid in found:
            found += children.get(pid, [])
        return found

    def signal_all(self, number: int) -> None:
        """Signals torchrun first, so that it does not react to what happens to its ranks."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        """SIGKILL to all of them."""
        self.signal_all(signal.SIGSTOP)  # nobody forks between the listing and the killing
        self.signal_all(signal.SIGKILL)
        self.process.wait()

    def events(self, kind: str) -> list[dict[str, Any]]:
        """What rank 0 logged; the last line may be torn where it was killed."""
        if not self.events_file.exists():
            return []
        found = []
        for line in self.events_file.read_text().splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                event = json.loads(line)
                if event["event"] == kind:
                    found.append(event)
        return found

    def losses(self) -> dict[int, str]:
        """Loss of each step, every bit of it."""
        return {event["step"]: event["loss_hex"] for event in self.events("step")}


def say(text: str) -> None:
    """A line of progress."""
    print(text, flush=True)


@contextlib.contextmanager
def cleaned_up(run: Run) -> Iterator[Run]:
    """No rank outlives the quick start, however that ends."""
    try:
        yield run
    finally:
        if run.process.poll() is None:
            run.kill()


def writing(client: cairn.Client, directory: str, step: int) -> bool:
    """Is an attempt at the checkpoint of `step` open, with bytes still to come?"""
    try:
        found = client.list_checkpoints(directory, include_writing=True)
    except cairn.NotFound:
        return False
    return any(c.step == step and not c.committed for c in found)


def kill_in_a_save(run: Run, client: cairn.Client, plan: Plan) -> int:
    """SIGKILLs every rank while a save is under way; returns its step.

    The ranks are stopped first and the state is asked for again, so that it is certain, not likely, that
    the save was under way: one that got through in between is let go, and the next one is taken.
    """
    step = plan.kill_at
    deadline = time.monotonic() + RANK_LIMIT_S
    while step < plan.steps:
        while not writing(client, run.checkpoints, step):
            if run.process.poll() is not None:
                run.wait()
                raise Failure(f"{run.name}: it ended before the save of step {step} was seen")
            if time.monotonic() > deadline:
                raise Failure(f"{run.name}: the save of step {step} was not seen; log: {run.log_file}")
            if any(event["step"] == step for event in run.events("save")):
                break
            time.sleep(0.002)
        run.signal_all(signal.SIGSTOP)
        if writing(client, run.checkpoints, step):
            run.kill()
            return step
        run.signal_all(signal.SIGCONT)
        step += plan.save_every
    raise Failure(f"{run.name}: every save was over before it could be interrupted")


def compare(reference: Run, first: Run, second: Run, plan: Plan) -> tuple[int, int]:
    """Bit for bit; returns how many steps were compared and how many of them were done twice."""
    expected, before, after = reference.losses(), first.losses(), second.losses()
    for part in (before, after):
        for step, loss in part.items():
            if expected.get(step) != loss:
                raise Failure(
                    f"step {step}: loss {float.fromhex(loss)!r}, uninterrupted run: "
                    f"{float.fromhex(expected[step])!r}; logs: {first.log_file}, {second.log_file}"
                )
    covered = before.keys() | after.keys()
    if covered != set(range(1, plan.steps + 1)) or not after:
        raise Failure(f"steps without a loss: {sorted(set(range(1, plan.steps + 1)) - covered)}")
    return len(covered), len(before.keys() & after.keys())


def compare_resharded(second: Run, third: Run) -> tuple[float, float]:
    """Held-out loss at the step of the last checkpoint, as four ranks and as two ranks compute it."""
    four = {event["step"]: event["loss"] for event in second.events("evaluation")}
    resumed = third.events("evaluation")[0]
    expected, got = four[resumed["step"]], resumed["loss"]
    # The ranks' means are summed in another order: a few units in the last place of float32.
    if abs(got - expected) > 1e-5 * abs(expected):
        raise Failure(f"on two ranks the held-out loss is {got!r}, on four {expected!r}")
    return expected, got


def look_through_mount(client: cairn.Client, endpoint: str, checkpoints: str, work: Path) -> str:
    """What the report says of the mount."""
    if (why := mount_look.missing()) is not None:
        return f"not shown: {why}"
    try:
        seen = mount_look.look(client, TREE / "build" / "release" / "bin" / "cairn", endpoint, checkpoints, work)
    except (mount_look.MountFailure, OSError) as error:
        raise Failure(f"the mount: {error}") from None
    return (
        f"{seen.files} files of `latest` read the same as through the SDK; cp -r and mv made {seen.copied} of it, a "
        f"checkpoint, in {seen.seconds:.2f} s"
    )


def report(
    runs: dict[str, Run], client: cairn.Client, killed_step: int, result: str, mounted: str, endpoint: str
) -> None:
    """The short report."""
    whole = [run for name, run in runs.items() if name != "killed"]
    saves = [event for run in runs.values() for event in run.events("save") if not event["failed"]]
    stalls = [event["stall_s"] for run in runs.values() for event in run.events("save begun")]
    waits = [event["waited_s"] for run in runs.values() for event in run.events("save begun")]
    restores = [event for run in whole for event in run.events("resume")]
    main = runs["resumed"].checkpoints
    kept = client.list_checkpoints(main)
    size = kept[-1].size_bytes
    save_s = statistics.median(event["seconds"] for event in saves)
    store_s = statistics.median(checkpoint.committed_at - checkpoint.begun for checkpoint in kept)
    restore_s = statistics.median(event["seconds"] for event in restores)
    binary = TREE / "build" / "release" / "bin" / "cairn"
    say(f"""
Report
  loss curve       {result}
  killed           all ranks, SIGKILL, while step {killed_step} was being saved; resumed at step {restores[0]["step"]}
  checkpoint       {size:,} bytes ({len(saves)} saved, {len(saves) * size / 1e9:.2f} GB in all)
  save             {size / store_s / 1e9:.2f} GB/s, {store_s:.2f} s from begin to durable commit (median)
                   {save_s:.2f} s with copying aside and DCP's planning, in the background
  restore          {size / restore_s / 1e9:.2f} GB/s, {restore_s:.2f} s from finding the latest to the last tensor (median)
  training stalled {statistics.median(stalls):.3f} s a save (median of {len(stalls)}), of it {statistics.median(waits):.3f} s waiting for the save before
  mount            {mounted}
  (a small model sharing its cores with the server: ./bench/compare/run measures, this shows)

The checkpoints are in {main} on {endpoint}. To look at them:
  export CAIRN_ENDPOINT={endpoint}
  {binary} ckpt ls {main}
  {binary} ckpt show {kept[-1].path}
  {binary} ckpt verify {kept[-1].path}""")


def verify(path: str) -> None:
    """Has the CLI read every byte of a checkpoint back against its checksums."""
    binary = TREE / "build" / "release" / "bin" / "cairn"
    done = subprocess.run([binary, "ckpt", "verify", path], capture_output=True, text=True)
    if done.returncode != 0:
        raise Failure(f"cairn ckpt verify {path}: exit status {done.returncode}\n{done.stdout}{done.stderr}")


def main_job(plan: Plan, work: Path, endpoint: str) -> None:
    """All phases."""
    client = cairn.Client(endpoint)
    runs: dict[str, Run] = {}

    def start(name: str, directory: str, ranks: int, steps: int) -> Run:
        runs[name] = Run(name, f"{BUCKET}/{directory}", ranks, plan, steps, work)
        return runs[name]

    say(f"1/4  uninterrupted: {plan.steps} steps on 4 ranks, a save every {plan.save_every}")
    with cleaned_up(start("uninterrupted", "reference", 4, plan.steps)) as reference:
        reference.wait()
    say(f"2/4  the same again; every rank is killed while step {plan.kill_at} is being saved")
    with cleaned_up(start("killed", "lm", 4, plan.steps)) as first:
        killed_step = kill_in_a_save(first, client, plan)
    latest = client.latest_checkpoint(first.checkpoints).step
    if latest is None or latest >= killed_step:
        raise Failure(f"step {killed_step} was never committed, and the latest is said to be {latest}")
    say(f"     killed; the newest committed checkpoint is step {latest}")
    say("3/4  started again, with no flag")
    with cleaned_up(start("resumed", "lm", 4, plan.steps)) as second:
        second.wait()
    resumed_at = second.events("resume")[0]["step"]
    if resumed_at != latest:
        raise Failure(f"it resumed at step {resumed_at}, not at {latest}")
    steps, twice = compare(reference, first, second, plan)
    result = f"equals the uninterrupted run bit for bit: {steps} steps, {twice} of them done twice"
    say(f"     {result}")
    say(f"4/4  resumed once more, on 2 ranks, for {plan.more_steps} more steps")
    with cleaned_up(start("resharded", "lm", 2, plan.steps + plan.more_steps)) as third:
        third.wait()
    four, two = compare_resharded(second, third)
    say(f"     held-out loss at step {plan.steps}: {four:.6f} on 4 ranks, {two:.6f} on 2")
    verify(client.latest_checkpoint(first.checkpoints).path)
    mounted = look_through_mount(client, endpoint, second.checkpoints, work)
    report(runs, client, killed_step, result, mounted, endpoint)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder for logs")
    parser.add_argument("--quick", action="store_true", help="a smaller model and fewer steps")
    arguments = parser.parse_args()
    plan = Plan(12, 3, 2, 3) if arguments.quick else Plan(40, 5, 6, 5)
    os.environ["CAIRN_ENDPOINT"] = arguments.endpoint
    os.environ["OMP_NUM_THREADS"] = "1"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        main_job(plan, arguments.work, arguments.endpoint)
    except (Failure, cairn.CairnError) as failure:
        print(f"quickstart: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
