"""Many runs at once: what two jobs gain, what scheduling costs, what a hundred workers would do.

    python benchmarks/many.py [--parts speed overhead simulation kills] [--scale 1] [--only digits]
                              [--engines processes ray dask] [--data ../shared/data]

speed       2 models x 4 seeds with 1 job and with 2 on digits and Adult: wall time, steps of all
            runs, steps a second of the one over the other, and the memory of each worker: what it
            has to itself and its share of what it shares with others (PSS), at its peak;
overhead    seconds that each engine adds to a run, after its workers have started: 2 workers do
            jobs that take half a second, and what is beyond that is its own;
simulation  1,000 fits on 100 workers and 10,000 on 1,000, from measured times: of training and
            measuring, of the driver for each result, of starting a worker, of the bytes that it is
            sent. The driver and its network are one queue each;
kills       20 workers are killed at random times, on each engine; a command whose runs are missing
            is given again. Were the results the same to the last bit?

`--scale` multiplies budgets and counts. Parts are added to the file of results.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import platform
import random
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from joblib import parallel_config

import pushforward as pf
from pushforward.comparison.all_runs import AllRuns
from pushforward.comparison.bench import Bench, MeasureChoice, silent
from pushforward.comparison.compare import find_models, share_options
from pushforward.comparison.folder import ComparisonFolder
from pushforward.comparison.jobs import Job, find_site, opened
from pushforward.comparison.jobs.parcel import pack
from pushforward.errors import LostError
from pushforward.files import digest, read_tensors
from pushforward.training.settings import Settings

MODELS = ("vae", "gan")
BUDGETS = {"digits": 20.0, "adult": 30.0}  # seconds of a run
NETWORK = 1e9 / 8  # bytes a second that the driver sends, for the simulation
Found = dict[str, Any]


def main() -> None:
    """Run the parts, print what they find, and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=[*PARTS])
    parser.add_argument("--only", nargs="+", choices=BUDGETS, default=[*BUDGETS])
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=[*ENGINES])
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/many.json"))
    arguments = parser.parse_args()
    found: Found = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    found["machine"] = {"processor": processor(), "cores": os.cpu_count()}
    found["machine"] |= {"python": platform.python_version(), "scale": arguments.scale}
    for part in arguments.parts:
        found[part] = PARTS[part](arguments)
        print(part, json.dumps(found[part], indent=1), flush=True)
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(found, indent=1) + "\n")


def processor() -> str:
    """Return the name of the processor."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def source(name: str, folder: Path) -> str:
    return "digits" if name == "digits" else str(folder / "adult-train.csv")


# --- what two jobs gain


def speed(arguments: argparse.Namespace) -> Found:
    found: Found = {}
    for name in arguments.only:
        budget, seeds = f"{arguments.scale * BUDGETS[name]:.3g}s", 4 if arguments.scale >= 1 else 1
        data = pf.read(source(name, arguments.data))
        own = {n: compared(data, budget, seeds, n) for n in (1, 2)}
        rates = {n: own[n]["steps"] / own[n]["wall, s"] for n in own}
        found[name] = {"budget": budget, "runs": len(MODELS) * seeds}
        found[name] |= {f"{n} jobs": own[n] for n in own}
        found[name]["steps a second, 2 jobs over 1"] = rates[2] / rates[1]
    return found


def compared(data: pf.Dataset, budget: str, seeds: int, n_jobs: int) -> Found:
    """Return what a comparison took."""
    with tempfile.TemporaryDirectory() as out, Memory() as memory:
        start = time.perf_counter()
        result = pf.compare(data, [*MODELS], seeds=seeds, budget=budget, out=out, n_jobs=n_jobs)
        wall = time.perf_counter() - start
        configs = [json.loads(p.read_text()) for p in Path(out).glob("runs/*/config.json")]
    runs = [run for own in result.facts.values() for run in own]
    return {
        "wall, s": wall,
        "steps": sum(run.steps for run in runs),
        "steps of a run": {m: [run.steps for run in own] for m, own in result.facts.items()},
        "threads of a run": sorted({config["threads"] for config in configs}),
        "peak of each worker, MB": memory.peaks(),
    }


class Memory:
    """The peaks of the memory of this process and of its workers, looked at twice a second."""

    def __init__(self) -> None:
        self.peak: dict[int, float] = {}
        self.end = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Memory:
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.end.set()
        self.thread.join()

    def peaks(self) -> dict[str, float]:
        """Return the peaks in MB: the driver's, and the workers'."""
        workers = (round(peak) for pid, peak in self.peak.items() if pid != os.getpid())
        named = {f"worker {i + 1}": peak for i, peak in enumerate(sorted(workers, reverse=True))}
        return {"driver": round(self.peak.get(os.getpid(), 0.0)), **named}

    def _watch(self) -> None:
        while not self.end.wait(0.5):
            for pid in [os.getpid(), *children(os.getpid())]:
                self.peak[pid] = max(self.peak.get(pid, 0.0), proportional(pid))


def children(parent: int) -> list[int]:
    """Return the workers that a process has started; none where there is no /proc."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(fields[1]) == parent and b"popen_loky" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


def proportional(pid: int) -> float:
    """Return the proportional set size of a process in MB."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1000
    return 0.0


# --- what scheduling costs


@contextmanager
def processes() -> Iterator[None]:
    yield


@contextmanager
def local_ray() -> Iterator[None]:
    import ray
    from ray.util.joblib import register_ray

    ray.init("local", num_cpus=2, include_dashboard=False, logging_level="error")
    register_ray()
    try:
        with parallel_config(backend="ray"):
            yield
    finally:
        ray.shutdown()


@contextmanager
def local_dask() -> Iterator[None]:
    from distributed import Client, LocalCluster

    settings: Found = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(**settings, silence_logs=50) as cluster, Client(cluster):
        # a nanny gives up on a worker that dies while it starts: another pair takes its place
        cluster.adapt(minimum=2, maximum=2, interval="1s")
        with parallel_config(backend="dask"):
            yield


ENGINES: dict[str, Callable[[], Any]] = {
    "processes": processes,
    "ray": local_ray,
    "dask": local_dask,
}


def overhead(arguments: argparse.Namespace) -> Found:
    count = 2 * max(2, round(10 * arguments.scale))
    found = {}
    for engine in arguments.engines:
        with ENGINES[engine](), tempfile.TemporaryDirectory() as out:
            bench = bench_of(pf.read("digits"), Path(out))
            start = time.perf_counter()
            site = find_site(2, count)
            with opened(bench, site, progress=silent) as engine_of:
                list(engine_of.run(Job(f"first {i}", rest, (0.5,)) for i in range(2)))
                first = time.perf_counter() - start
                start = time.perf_counter()
                jobs = (Job(f"job {i}", rest, (0.5,)) for i in range(count))
                spent = [seconds for _, seconds in engine_of.run(jobs)]
                wall = time.perf_counter() - start
        each = (wall * site.jobs - sum(spent)) / count
        found[engine] = {"start, s": first, "jobs": count, "overhead of each, s": each}
    return found


def rest(bench: Bench, seconds: float) -> float:
    """Do nothing for a while; return how long that was."""
    start = time.perf_counter()
    bench.progress("resting", {})
    time.sleep(seconds)
    return time.perf_counter() - start


def bench_of(data: pf.Dataset, out: Path) -> Bench:
    out.mkdir(parents=True, exist_ok=True)
    return Bench(data, ComparisonFolder(out), MeasureChoice(), "cpu", silent)


# --- a hundred workers, simulated


def simulation(arguments: argparse.Namespace) -> Found:
    """Measure what a fit on Adult takes beside its budget, and play the queues."""
    budget = 60.0
    data = pf.read(source("adult" if "adult" in arguments.only else "digits", arguments.data))
    with tempfile.TemporaryDirectory() as out:
        bench = bench_of(data, Path(out))
        measured = measured_times(bench, arguments.scale)
    found: Found = {"measured": measured, "training of a fit, s": budget}
    fit = budget + measured["measuring, s"]
    for fits, workers in ((1_000, 100), (10_000, 1_000), (10_000, 100)):
        for files in (0, measured["files of a run, bytes"]):
            name = f"{fits:,} fits on {workers:,} workers"
            name += ", which send their files" if files else ", which share a folder"
            found[name] = played(fits, workers, fit, files, measured)
    return found


def measured_times(bench: Bench, scale: float) -> Found:
    """Return the seconds of measuring, of a start, of the driver; and the bytes that are sent."""
    classes = find_models(MODELS)
    settings = Settings(budget="20 steps")
    runs = AllRuns.of(bench, classes, [0], settings, share_options(classes, {}, {}))
    every = [replace(run, shown=False) for run in runs]
    for run in every:
        bench.fit(run)
    _ = bench.scorer
    start = time.perf_counter()
    completed = [bench.complete(run) for run in every]
    measuring = (time.perf_counter() - start) / len(every)
    sizes = [p.stat().st_size for p in bench.folder.path.glob("runs/*/*") if p.is_file()]
    count = max(10, round(200 * scale))
    with opened(bench, find_site(2, count), progress=silent) as engine:
        start = time.perf_counter()
        list(engine.run(Job(f"first {i}", rest, (0.0,)) for i in range(2)))
        first = time.perf_counter() - start
        start = time.perf_counter()
        jobs = (Job(f"job {i}", give, (completed[0],)) for i in range(count))
        for _ in engine.run(jobs):
            pass
        driver = (time.perf_counter() - start) / count
    return {
        "measuring, s": measuring,
        "start of a worker, s": first,
        "driver for each result, s": driver,
        "parcel, bytes": len(pack(bench, [])),
        "files of a run, bytes": sum(sizes) / len(every),
    }


def give(bench: Bench, value: Any) -> Any:
    """Return a value, as a run that took no time."""
    del bench
    return value


def played(fits: int, workers: int, fit: float, files: float, measured: Mapping[str, Any]) -> Found:
    """Play the queues: a parcel to each worker, then fits, each of which the driver takes in.

    Fits take up to a tenth more or less than the mean. The next one is handed out when the driver
    has taken in the last.
    """
    rng = random.Random(0)
    lengths = iter([fit * rng.uniform(0.9, 1.1) for _ in range(fits)])
    send, service = measured["parcel, bytes"] / NETWORK, measured["driver for each result, s"]
    begins = [measured["start of a worker, s"] + send * (i + 1) for i in range(workers)]
    ends = [begin + seconds for begin, seconds in zip(begins, lengths, strict=False)]
    heapq.heapify(ends)
    driver = network = waited = 0.0
    while ends:
        done = heapq.heappop(ends)
        network = max(network, done) + files / NETWORK
        driver = max(driver, network) + service
        waited += driver - done
        if (seconds := next(lengths, None)) is not None:
            heapq.heappush(ends, driver + seconds)
    end = driver
    return {
        "hours": end / 3600,
        "efficiency": fits * fit / (workers * end),
        "driver is busy": fits * service / end,
        "network is busy": (workers * send + fits * files / NETWORK) / end,
        "last worker has its data after, s": measured["start of a worker, s"] + send * workers,
        "a result waits on average, s": waited / fits,
        "workers that one driver keeps busy": fit / max(service, files / NETWORK),
    }


# --- workers that die


def kills(arguments: argparse.Namespace) -> Found:
    count, steps = max(1, round(20 * arguments.scale)), max(60, round(2000 * arguments.scale))
    found: Found = {}
    with tempfile.TemporaryDirectory() as folder:
        # two jobs: a run has the threads that it will have beside the kills
        expected = fingerprint(Path(folder) / "expected", steps, silent, n_jobs=2)
        for engine in arguments.engines:
            found[engine] = killed(engine, Path(folder), steps, count, expected)
            print(engine, found[engine], flush=True)
    return found


def killed(engine: str, folder: Path, steps: int, count: int, expected: str) -> Found:
    """Make comparisons until so many workers were killed in them; each command has new workers."""
    killer, commands, comparisons, lost, same = Killer(count), 0, 0, 0, 0
    while killer.done < count:
        out = folder / engine / str(comparisons)
        killer.out = out
        finished = False
        while not finished:
            commands += 1
            with ENGINES[engine]():
                try:
                    same += fingerprint(out, steps, killer.see, n_jobs=2) == expected
                    finished = True
                except LostError:
                    lost += 1
        comparisons += 1
    found = {"kills": killer.done, "comparisons": comparisons, "identical": same}
    return found | {"commands": commands, "of which had runs missing": lost}


class Killer:
    """Kills the worker of a run that shows progress, now and then."""

    def __init__(self, count: int) -> None:
        self.count, self.done, self.out = count, 0, Path()
        self.random = random.Random(1)

    def see(self, stage: str, record: Mapping[str, Any]) -> None:
        """Throw a die; a run is named by its stage."""
        if not record or "finished" in record or self.done >= self.count:
            return
        if self.random.random() < 0.3:
            with suppress(OSError, ValueError, KeyError):
                run = self.out / "runs" / stage.replace(", seed ", "-")
                pid = int(json.loads((run / ".lock").read_text())["pid"])
                os.kill(pid, signal.SIGKILL)
                self.done += 1


def fingerprint(out: Path, steps: int, progress: Any, n_jobs: int = 1) -> str:
    """Compare on the ring; return a hash of all weights, scorecards and facts."""
    own: Found = {"budget": steps, "latent": 4, "width": 32, "measures": ["energy", "coverage"]}
    result = pf.compare(
        "ring", [*MODELS], seeds=2, out=out, n_jobs=n_jobs, progress=progress, **own
    )
    files = sorted(out.glob("runs/*/*.safetensors"))
    tensors = {
        f"{path.parent.name}/{path.name}/{name}": tensor
        for path in files
        for name, tensor in read_tensors(path)[0].items()
    }
    plain = result.to_json() | {"folder": ""}
    return digest(tensors, json.dumps(plain, sort_keys=True))


PARTS: dict[str, Callable[[argparse.Namespace], Found]] = {
    "speed": speed,
    "overhead": overhead,
    "simulation": simulation,
    "kills": kills,
}


if __name__ == "__main__":
    main()
