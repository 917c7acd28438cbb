#!/usr/bin/env python3
"""Whole runs on a GPU against their bars (docs/benchmarks/gpu.md), in one call.

    python3 scripts/make_random_checkpoint.py wan2.1-1.3b --hollow
    python3 scripts/make_random_checkpoint.py wan2.1-14b --14b --hollow
    scripts/benchmarks/gpu_runs.py --program PSA-GEN --out FILE [--parts runs,idle,loop,cold,limit]
                                   [--small wan2.1-1.3b] [--large wan2.1-14b] [--trace libpsagen_kernel_trace.so]

    runs    50 steps from prompt to MP4 with the model resident, dense and with psa:fast after a dense quarter
    idle    what the GPU does in a run of 10 steps, by timeline.py; wants --trace, and CUPTI where the loader finds it
    loop    the same of a clip made of --small as users make theirs, with checks, progress and report
    cold    a clip of one step of --small from the page cache, all but its step, decode and writing: the start of the
            program, its plan, load and text encoding; beside a plain parallel read of the files
    limit   the last of two steps of --large under --vram-limit 24 over the same without a limit

Each command has a time limit of its own; the file is written anew after each part and holds what they
wrote. Prints each line's value, its bar and whether it is met; exit code 1 where one is not, or could
not be measured. Needs nothing but Python 3.
"""
import argparse
import concurrent.futures
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import timeline
from gpu_lines import FAST, Line, print_table, write_json

CHUNK = 64 << 20  # of a plain read
READERS = 16

LINES = (
    Line("runs", "dense, 50 steps, prompt to MP4, s", ("run",), lambda run: run["s"], 50, ".2f"),
    Line("runs", "psa:fast after a dense quarter, the same, s", ("psa-run",), lambda run: run["s"], 30, ".2f"),
    Line("idle", "GPU idle while denoising, %", ("trace",), lambda trace: 100 * trace["idle_share"], 2, ".2f"),
    Line("idle", "encoder's work done before the last kernel, %", ("trace",),
         lambda trace: 100 * trace["share_before"], 5, ".1f", at_least=True),
    Line("loop", "GPU idle while denoising, psa-gen itself, %", ("trace-clip",),
         lambda trace: 100 * trace["idle_share"], 2, ".2f"),
    Line("cold", "cold start / (8 s, or a plain read / 0.7 if longer)", ("cold",),
         lambda cold: cold["start_s"] / max(8.0, cold["read_s"] / 0.7), 1),
    Line("limit", "14B under 24 GB / resident, a step", ("limit-24", "limit-none"),
         lambda limited, resident: limited["step_s"] / resident["step_s"], 1.15),
)
PARTS = tuple(dict.fromkeys(line.part for line in LINES))


def known(**facts):
    for name, value in facts.items():
        if value is None:
            raise ValueError(f"{name} was not measured")
    return facts


def call(command, limit, cwd, environment=None):
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=limit,
                          env={**os.environ, **(environment or {})})
    if done.returncode:
        raise OSError((done.stderr.strip().splitlines() or ["no message"])[-1])


def bench_run(args, folder, *flags, limit=180, environment=None):
    out = folder / "result.json"
    out.unlink(missing_ok=True)
    call([args.program, "bench", "run", "--device", "cuda", "--rounds", "1", "-o", out.name, *flags], limit, folder,
         environment)
    return json.loads(out.read_text())


def run(args, folder, *flags):
    result = bench_run(args, folder, *flags)
    return {"s": result["results"][-1]["median_ms"] / 1e3}, result


def psa_run(args, folder):
    preset = {**json.loads(FAST.read_text()), "description": "fast after a dense quarter", "warmup_share": 0.25}
    (folder / "preset.json").write_text(json.dumps(preset))
    return run(args, folder, "--attention", "psa:preset.json")


def trace(args, folder):
    events, table = folder / "run.tsv", folder / "timeline.json"
    bench_run(args, folder, "--steps", "10", limit=120, environment=traced(args, events))
    return read_timeline(folder, events, table)


def trace_clip(args, folder):
    events, table = folder / "clip.tsv", folder / "clip-timeline.json"
    generate(args, folder, args.small, "--steps", "10", environment=traced(args, events))
    return read_timeline(folder, events, table)


def traced(args, events):
    return {"CUDA_INJECTION64_PATH": args.trace, "PSAGEN_TRACE": str(events), "PSAGEN_TRACE_CPU": "1"}


def read_timeline(folder, events, table):
    call([sys.executable, timeline.__file__, str(events), "--json", str(table)], 120, folder)
    result = json.loads(table.read_text())
    return known(idle_share=result["denoising"]["idle_share"],
                 share_before=result["decoding"]["encoder"]["share_before"]), result


def read_plainly(files):
    """Seconds that many readers take for all bytes."""
    def read(piece):
        with open(piece[0], "rb", buffering=0) as file:
            file.seek(piece[1])
            return len(file.read(CHUNK))
    pieces = [(file, begin) for file in files for begin in range(0, file.stat().st_size, CHUNK)]
    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(READERS) as pool:
        total = sum(pool.map(read, pieces))
    return time.monotonic() - begin, total


def generate(args, folder, model, *flags, limit=180, environment=None):
    report = folder / "report.json"
    call([args.program, "--device", "cuda", "--model", str(model), "--prompt", "a cat", "--size", "832x480", "--frames", "81",
          "--attention", "dense", "--no-prompt-cache", "--progress", "none", "--overwrite", "--output", "clip.mp4",
          "--report", str(report), *flags], limit, folder, environment)
    return json.loads(report.read_text())


def cold(args, folder):
    files = sorted(args.small.rglob("*.safetensors"))
    read_plainly(files)  # into the page cache
    read_s, total = read_plainly(files)
    begin = time.monotonic()
    result = generate(args, folder, args.small, "--steps", "1")
    total_s = time.monotonic() - begin
    stages = {stage["stage"]: stage["seconds"] for stage in result["stages"]}
    return {"start_s": total_s - stages["denoise"] - stages["decode"] - stages["write"],
            "load_and_encode_s": stages["load"] + stages["encode text"],
            "read_s": read_s, "read_bytes": total}, result


def last_step(args, folder, *flags):
    result = generate(args, folder, args.large, "--steps", "2", *flags)
    return known(step_s=result["steps"][-1]["seconds"] or None), result


MEASURES = {
    "run": run, "psa-run": psa_run, "trace": trace, "trace-clip": trace_clip, "cold": cold,
    "limit-24": lambda args, folder: last_step(args, folder, "--vram-limit", "24"), "limit-none": last_step,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", required=True, help="psa-gen")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--parts", help="of " + ", ".join(PARTS) + "; all that the other flags allow")
    parser.add_argument("--small", type=lambda path: Path(path).absolute(), help="a checkpoint of 1.3B, for cold and loop")
    parser.add_argument("--large", type=lambda path: Path(path).absolute(), help="one of 14B, for limit")
    parser.add_argument("--trace", type=lambda path: str(Path(path).absolute()), help="the library, for idle and loop")
    args = parser.parse_args()
    given = {"runs": True, "idle": args.trace, "loop": args.trace and args.small, "cold": args.small, "limit": args.large}
    parts = args.parts.split(",") if args.parts else [part for part in PARTS if given[part]]
    for part in parts:
        if part not in PARTS:
            parser.error(f"no such part: {part}")
        if not given[part]:
            parser.error(f"the part {part} wants another flag, see --help")
    args.program = str(Path(shutil.which(args.program) or args.program).absolute())
    chosen = [line for line in LINES if line.part in parts]
    facts, runs, lines = {}, [], []
    with tempfile.TemporaryDirectory() as scratch:
        for name in dict.fromkeys(name for line in chosen for name in line.needs):
            begin, error, result = time.monotonic(), None, None
            try:
                facts[name], result = MEASURES[name](args, Path(scratch))
            except (OSError, ValueError, KeyError, TypeError, IndexError, subprocess.TimeoutExpired) as failure:
                error = str(failure)
            runs.append({"command": name, "error": error, "facts": facts.get(name), "result": result})
            lines = [line.result(facts) for line in chosen]
            write_json(args.out, lines, runs)
            print(f"{name}: {time.monotonic() - begin:.1f} s {error or ''}", file=sys.stderr, flush=True)
    print_table(lines, [line.form for line in chosen])
    sys.exit(not all(line["met"] for line in lines))


if __name__ == "__main__":
    main()
