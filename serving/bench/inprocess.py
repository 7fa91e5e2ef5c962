"""onnxruntime without any server: what the processor gives, for the same model on the same number of threads.

python -m serving.bench.inprocess MODEL THREADS ROWS SECONDS        (inputs as npz on standard input)
"""

import io
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from drillyard.core.contract import MODEL_FILE, ModelRef
from drillyard.core.errors import InvalidMeasurement
from serving.bench.rounds import Cell
from serving.bench.workload import Arrays


@dataclass(frozen=True, kw_only=True)
class InProcess:
    """A contender that is no server: each thread has a session of one thread, as a replica has."""

    part: str
    name: str
    folder: Path  # of the model
    inputs: Arrays
    threads: int
    workloads: dict[str, int]  # rows of a call, by the name under which it is compared

    def measure(self, number: int, *, seconds: float) -> Iterator[Cell]:
        """See Contender. A process of its own, so that this one's memory and threads play no part."""
        file = io.BytesIO()
        np.savez(file, allow_pickle=False, **self.inputs)
        for name, rows in self.workloads.items():
            words = [str(self.folder / MODEL_FILE), str(self.threads), str(rows), str(seconds)]
            done = subprocess.run(
                [sys.executable, "-m", "serving.bench.inprocess", *words],
                input=file.getvalue(),
                capture_output=True,
                check=False,
                timeout=seconds + 60,
            )
            if done.returncode != 0:
                raise InvalidMeasurement(f"onnxruntime in process: {done.stderr.decode(errors='replace')[-2000:]}")
            found = json.loads(done.stdout)
            yield Cell(
                part=self.part,
                round=number,
                contender=self.name,
                workload=name,
                connections=0,
                requests_per_s=found["calls"] / found["elapsed_s"],
                rows_per_s=found["calls"] * rows / found["elapsed_s"],
                p50_ms=found["p50_ms"],
                p99_ms=found["p99_ms"],
                cpu_us_per_request=1e6 * found["cpu_s"] / found["calls"],
                client_cpu_share=0.0,
                requests=found["calls"],
                errors={},
            )


def main(arguments: Sequence[str]) -> None:
    """Call the sessions for so many seconds and print what was counted."""
    from serving.graph import open_session

    path, threads, rows, seconds = Path(arguments[0]), int(arguments[1]), int(arguments[2]), float(arguments[3])
    with np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False) as archive:
        inputs = {name: archive[name] for name in archive.files}
    count = len(next(iter(inputs.values()))) // rows
    calls = [{name: array[i * rows : (i + 1) * rows] for name, array in inputs.items()} for i in range(count)]
    times: list[list[float]] = [[] for _ in range(threads)]
    sessions = [open_session(path, threads=1, ref=ModelRef(name="bench", version=1)) for _ in range(threads)]
    for session in sessions:
        session.run(None, calls[0])
    ends_at = time.perf_counter() + seconds

    def work(index: int) -> None:
        turn, now = index, time.perf_counter()
        while now < ends_at:
            sessions[index].run(None, calls[turn % len(calls)])
            before, now = now, time.perf_counter()
            times[index].append(now - before)
            turn += 1

    workers = [threading.Thread(target=work, args=(index,)) for index in range(threads)]
    started, cpu_s = time.perf_counter(), time.process_time()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    elapsed_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu_s
    p50, p99 = np.percentile(np.concatenate(times), (50, 99)) * 1e3
    total = sum(map(len, times))
    figures = {"calls": total, "elapsed_s": elapsed_s, "cpu_s": cpu_s, "p50_ms": p50, "p99_ms": p99}
    sys.stdout.write(json.dumps(figures))


if __name__ == "__main__":
    main(sys.argv[1:])
