#!/usr/bin/env python3
"""One program, several builds of its CUDA module: which is faster at what.

    compare_modules.py --program PSA-GEN --modules OLD.so NEW.so [...] --out FILE
                       [--bench "attention --attention psa:fast --rounds 20" ...] [--turns 3] [--limit 60]

Runs every bench with every module in turn (old, new, old, new, ...), as a GPU's clock is not the same
from one minute to the next, and takes medians over the turns: for each part of `psa-gen bench` that
is no product, and for each of its zones. Prints milliseconds of the first module and the others'
ratios to it. The file is written anew after every run, so a run that is cut short leaves what it has.
"""
import argparse
import json
import os
import shlex
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

BENCHES = ["attention --rounds 10", "attention --attention psa:fast --rounds 20",
           "attention --attention psa:balanced --rounds 20"]


def times_of(result):
    """{what: ms} of one run; the product before a part is timed on the bare GPU, by no module's kernel."""
    times = {}
    for part in result["results"]:
        if part["part"] == "product":
            continue
        times[part["part"]] = part["median_ms"]
        for zone in part.get("zones", ()):
            name = f"{part['part']}: {zone['zone']}"
            times[name] = times.get(name, 0.0) + zone["ms"]
    return times


def run_bench(program, module, bench, limit):
    """The times of one run, or what went wrong."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "result.json"
        environment = {**os.environ, "PSAGEN_CUDA_MODULE": str(Path(module).absolute())}
        command = [str(program), "bench", *shlex.split(bench), "-o", str(out)]
        try:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=limit)
        except subprocess.TimeoutExpired:
            return None, f"cut after {limit} s"
        if done.returncode:
            return None, (done.stderr.strip().splitlines() or ["no message"])[-1]
        return times_of(json.loads(out.read_text())), None


def medians(runs):
    """{bench: {what: {module: ms}}} over the turns."""
    turns = {}
    for run in runs:
        for what, ms in (run["times"] or {}).items():
            turns.setdefault(run["bench"], {}).setdefault(what, {}).setdefault(run["module"], []).append(ms)
    return {bench: {what: {module: statistics.median(values) for module, values in by_module.items()}
                    for what, by_module in whats.items()} for bench, whats in turns.items()}


def write_json(path, runs):
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps({"medians": medians(runs), "runs": runs}, indent=1) + "\n")
    os.replace(partial, path)


def print_table(found, modules):
    names = [Path(module).stem for module in modules]
    print(" ".join([f"{'':44s}", f"{names[0] + ', ms':>12s}", *(f"{name:>8s}" for name in names[1:])]))
    for bench, whats in found.items():
        print(bench)
        for what, by_module in whats.items():
            first = by_module.get(modules[0])
            cells = [f"{first:12.3f}" if first else f"{'-':>12s}"]
            cells += [f"{by_module[module] / first:8.3f}" if first and module in by_module else f"{'-':>8s}"
                      for module in modules[1:]]
            print(" ".join([f"  {what:42s}", *cells]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", type=Path, required=True, help="psa-gen")
    parser.add_argument("--modules", nargs="+", required=True, help="builds of libpsagen_cuda.so, the old one first")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--bench", nargs="+", default=BENCHES, help="flags of `psa-gen bench`")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--limit", type=float, default=60.0, help="seconds a run may take")
    args = parser.parse_args()
    runs = []
    for turn in range(args.turns):
        for bench in args.bench:
            for module in args.modules:
                begin = time.monotonic()
                times, error = run_bench(args.program.absolute(), module, bench, args.limit)
                runs.append({"turn": turn, "bench": bench, "module": module, "times": times, "error": error,
                             "seconds": time.monotonic() - begin})
                write_json(args.out, runs)
                if error:
                    print(f"{Path(module).stem}, {bench}: {error}", flush=True)
    print_table(medians(runs), args.modules)


if __name__ == "__main__":
    main()
