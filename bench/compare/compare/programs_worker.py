"""What Python programs do with files: PyTorch's and safetensors' checkpoints, and a database of SQLite.

Started by programs.py with the MiB of a checkpoint. Takes commands on stdin, `NAME PATH`, and answers each with one line
of JSON: the seconds it took. What is written is flushed (fsync) within them; what is read is compared after.
"""

import json
import os
import random
import sqlite3
import sys
import time

TENSOR_BYTES = 16 * 1024 * 1024
TRANSACTIONS, ROWS_EACH, QUERIES = 40, 250, 200


class Torch:
    """One state, saved and loaded."""

    def __init__(self, mib):
        import safetensors
        import safetensors.torch
        import torch
        self._torch, self._safetensors = torch, safetensors
        torch.set_num_threads(1)
        generator = torch.Generator().manual_seed(1)
        self._state = {f"layer{i}.weight": torch.randn(TENSOR_BYTES // 4096, 1024, generator=generator)
                       for i in range(max(1, mib * 1024**2 // TENSOR_BYTES))}

    def torch_save(self, path):
        with open(path, "wb") as file:
            self._torch.save(self._state, file)
            file.flush()
            os.fsync(file.fileno())

    def torch_load(self, path):
        return self._torch.load(path)

    def safetensors_save(self, path):
        self._safetensors.torch.save_file(self._state, path)
        with open(path, "rb+") as file:
            os.fsync(file.fileno())

    def safetensors_open(self, path):
        """Its tensors are the mapped file: only a copy is sure to have read them."""
        with self._safetensors.safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name).clone() for name in file.keys()}

    def check(self, state):
        if state.keys() != self._state.keys() or not all(
                self._torch.equal(state[name], self._state[name]) for name in state):
            raise ValueError("what was loaded differs from what was saved")


class Database:
    """SQLite with the journal and the flushes that it has by default."""

    @staticmethod
    def sqlite_insert(path):
        dice = random.Random(1)
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE runs (id INTEGER PRIMARY KEY, name TEXT, step INTEGER, loss REAL)")
        connection.execute("CREATE INDEX by_name ON runs (name)")
        for transaction in range(TRANSACTIONS):
            with connection:
                connection.executemany(
                    "INSERT INTO runs (name, step, loss) VALUES (?, ?, ?)",
                    ((f"run-{dice.randrange(1000)}", transaction, dice.random()) for _ in range(ROWS_EACH)))
        connection.close()

    @staticmethod
    def sqlite_query(path):
        dice = random.Random(2)
        connection = sqlite3.connect(path)
        found = connection.execute("SELECT count(*), sum(loss) FROM runs").fetchone()[0]
        for _ in range(QUERIES):
            connection.execute("SELECT max(step), avg(loss) FROM runs WHERE name = ?",
                               (f"run-{dice.randrange(1000)}",)).fetchone()
        connection.close()
        return found

    @staticmethod
    def check(found):
        if found != TRANSACTIONS * ROWS_EACH:
            raise ValueError(f"the table has {found} rows instead of {TRANSACTIONS * ROWS_EACH}")


def run(workers, line):
    name, path = line.rstrip("\n").split(" ", 1)
    worker = workers[name.partition("_")[0]]
    began = time.monotonic()
    result = getattr(worker, name)(path)
    seconds = time.monotonic() - began
    if result is not None:
        worker.check(result)
    return {"ok": True, "seconds": seconds}


def main():
    workers, without_torch = {"sqlite": Database()}, None
    try:
        workers["torch"] = workers["safetensors"] = Torch(int(sys.argv[1]))
    except ImportError as error:
        without_torch = str(error)
    print(json.dumps({"ok": True, "without_torch": without_torch}), flush=True)
    for line in sys.stdin:
        try:
            report = run(workers, line)
        except Exception as error:  # the driver tells it
            report = {"ok": False, "error": f"{type(error).__name__}: {error}"}
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
