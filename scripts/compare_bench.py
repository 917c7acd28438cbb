#!/usr/bin/env python3
"""Compares the speed of two commits, or of two files of benchmark results.

    scripts/compare_bench.py --base main~1 --head HEAD --program bench_attention [--filter REGEX]
    scripts/compare_bench.py --files base.json head.json

The first form checks both commits out beside each other, builds the benchmark program in each and
runs the two in turn, so that whatever else the machine does falls on both. Each benchmark is judged
by its fastest round (a busy machine only ever adds time). Exit code 1 where one became slower by
more than --threshold.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import source_tree

NANOSECONDS = {"ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9}


def read_times(results):
    """Google Benchmark's JSON -> {name: fastest real time in ns}; aggregates are left out."""
    times = {}
    for run in results["benchmarks"]:
        if run.get("run_type") == "aggregate":
            continue
        if run.get("error_occurred"):
            raise ValueError(f"{run['name']}: {run.get('error_message', 'failed')}")
        name = run.get("run_name", run["name"])
        time = run["real_time"] * NANOSECONDS[run["time_unit"]]
        times[name] = min(time, times.get(name, time))
    return times


def merge_fastest(rounds):
    fastest = {}
    for times in rounds:
        for name, time in times.items():
            fastest[name] = min(time, fastest.get(name, time))
    return fastest


def compare(base, head, threshold):
    """Returns (table lines, names that became slower by more than `threshold`)."""
    lines, slower = [], []
    width = max([len(name) for name in {**base, **head}] + [9])
    lines.append(f"{'benchmark':<{width}}  {'base ms':>10}  {'head ms':>10}  {'head/base':>9}")
    for name in list(base) + [name for name in head if name not in base]:
        if name not in base or name not in head:
            only = "head" if name in head else "base"
            lines.append(f"{name:<{width}}  only in {only}")
            continue
        ratio = head[name] / base[name]
        mark = ""
        if ratio > 1 + threshold:
            slower.append(name)
            mark = "  slower"
        elif ratio < 1 - threshold:
            mark = "  faster"
        lines.append(f"{name:<{width}}  {base[name] / 1e6:>10.3f}  {head[name] / 1e6:>10.3f}  {ratio:>9.3f}{mark}")
    return lines, slower


def build(commit, program, folder):
    """Checks `commit` out into `folder`, builds `program` there and returns its path."""
    subprocess.run(["git", "-C", str(source_tree.ROOT), "worktree", "add", "--detach", str(folder), commit],
                   check=True, stdout=subprocess.DEVNULL)
    subprocess.run([str(folder / "scripts" / "build.sh"), "cpu-release", "--target", program],
                   check=True, stdout=subprocess.DEVNULL)
    found = [path for path in (folder / "build" / "cpu-release").rglob(program) if path.is_file()]
    if not found:
        raise FileNotFoundError(f"{commit} builds no {program}")
    return found[0]


def run(program, filter_regex):
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        subprocess.run([str(program), f"--benchmark_filter={filter_regex}",
                        f"--benchmark_out={out.name}", "--benchmark_out_format=json"],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return read_times(json.load(out))


def compare_commits(options):
    with tempfile.TemporaryDirectory() as scratch:
        folders = [pathlib.Path(scratch, side) for side in ("base", "head")]
        try:
            programs = [build(commit, options.program, folder)
                        for commit, folder in zip((options.base, options.head), folders)]
            rounds = [[], []]
            for _ in range(options.rounds):
                for side, program in enumerate(programs):
                    rounds[side].append(run(program, options.filter))
        finally:
            for folder in folders:
                subprocess.run(["git", "-C", str(source_tree.ROOT), "worktree", "remove", "--force", str(folder)],
                               stderr=subprocess.DEVNULL)
    return merge_fastest(rounds[0]), merge_fastest(rounds[1])


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", nargs=2, metavar=("BASE", "HEAD"), help="results instead of commits")
    parser.add_argument("--base", help="commit to compare with")
    parser.add_argument("--head", default="HEAD", help="commit to judge (default: HEAD)")
    parser.add_argument("--program", help="the benchmark program, for example bench_attention")
    parser.add_argument("--filter", default=".", help="which of its benchmarks (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each program (default: 5)")
    parser.add_argument("--threshold", type=float, default=0.05,
                        help="share of time that counts as slower or faster (default: 0.05)")
    options = parser.parse_args(arguments)
    if options.files:
        base, head = (read_times(json.loads(pathlib.Path(name).read_text())) for name in options.files)
    elif options.base and options.program:
        base, head = compare_commits(options)
    else:
        parser.error("give --files, or --base and --program")
    lines, slower = compare(base, head, options.threshold)
    print("\n".join(lines))
    if slower:
        print(f"{len(slower)} of {len(base)} became slower", file=sys.stderr)
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
