#!/usr/bin/env python3
"""Time of each kernel in traces of psagen_kernel_trace: how often it ran, its median and its sum.

    CUDA_INJECTION64_PATH=$PWD/libpsagen_kernel_trace.so PSAGEN_TRACE=fast.tsv \\
      psa-gen bench attention --attention psa:fast
    scripts/benchmarks/kernel_times.py fast.tsv [MORE.tsv ...] [--top 20] [--json FILE]

By the GPU's time stamps: without the gaps between kernels, and without what the events of profile
zones add to a zone of small kernels. Needs nothing but Python 3.
"""
import argparse
import json
import statistics
from pathlib import Path

from timeline import read_trace, shortened


def times_of(path):
    """[{kernel, calls, median_us, sum_ms}], the longest sum first."""
    kernels = {}
    with path.open() as lines:
        for start, end, kind, name in read_trace(lines)[0]:
            if kind == "K":
                kernels.setdefault(shortened(name), []).append((end - start) / 1e3)
    table = [{"kernel": name, "calls": len(times), "median_us": statistics.median(times), "sum_ms": sum(times) / 1e3}
             for name, times in kernels.items()]
    return sorted(table, key=lambda row: -row["sum_ms"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("traces", type=Path, nargs="+")
    parser.add_argument("--top", type=int, default=20, help="kernels of each trace to print")
    parser.add_argument("--json", type=Path, help="where to write all of them")
    args = parser.parse_args()
    found = {path.stem: times_of(path) for path in args.traces}
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")
    for trace, table in found.items():
        print(f"{trace}\n{'median us':>12s} {'calls':>7s} {'sum ms':>9s}  kernel")
        for row in table[:args.top]:
            print(f"{row['median_us']:12.1f} {row['calls']:7d} {row['sum_ms']:9.3f}  {row['kernel']}")


if __name__ == "__main__":
    main()
