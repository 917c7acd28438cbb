#!/usr/bin/env python3
"""Whether a run takes the GPU memory that `psa-gen --plan` says, over models, sizes and limits.

    python3 scripts/make_random_checkpoint.py wan2.1-1.3b --hollow
    python3 scripts/make_random_checkpoint.py wan2.1-14b --14b --hollow
    scripts/benchmarks/memory_grid.py --program PSA-GEN --models wan2.1-1.3b wan2.1-14b --out FILE
                                      [--only '14b-*' '*-8gb'] [--steps 2] [--timeout 300] [--gpu 0]

For each setting the peak of the plan (its line `in all`), then a few steps of the same run while
nvidia-smi is asked every 50 ms for the memory in use, less what was in use before: the GPU should have
no other work. The file is written anew after every setting, so a run that is cut short leaves those it
finished. Exit code 1 where a run failed, or its peak is off the plan's by more than 10 %. A setting
that the program refuses before it loads anything is none of these. The last step's seconds, when
algorithms are chosen, are compared with those of the same run without a limit. Needs nothing but Python 3.
"""
import argparse
import fnmatch
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

# model, size, frames, limits in GB
GRID = (("1.3b", "832x480", 81, (8, 16, None)),
        ("1.3b", "480x272", 33, (8, 16)),
        ("1.3b", "1280x720", 81, (8, 16, 24, None)),
        ("14b", "832x480", 81, (8, 16, 24, 48, None)),
        ("14b", "480x272", 33, (16, 24, None)),
        ("14b", "1280x720", 81, (24,)))
WIDTHS = {1536: "1.3b", 5120: "14b"}  # of the transformer
TOLERANCE, SAMPLE_SECONDS = 0.10, 0.05
OUT_OF_MEMORY, REFUSALS = 7, (2, 4)  # docs/command-line.md
TOO_SMALL = "this run takes at least"  # what no plan can make fit: out of memory before anything is loaded


def model_kind(directory):
    config = json.loads((directory / "transformer/config.json").read_text())
    return WIDTHS.get(config["num_attention_heads"] * config["attention_head_dim"])


def settings(models, patterns):
    for kind, size, frames, limits in GRID:
        for limit in limits:
            name = f"{kind}-{size}x{frames}-" + ("none" if limit is None else f"{limit}gb")
            if kind in models and (not patterns or any(fnmatch.fnmatch(name, p) for p in patterns)):
                yield {"name": name, "model": kind, "size": size, "frames": frames, "limit_gb": limit}


class MemorySampler:
    """The most memory of the GPU in use while it runs, in MiB, less what was in use before."""

    def __init__(self, gpu):
        self.command = ["nvidia-smi", "-i", str(gpu), "--query-gpu=memory.used",
                        "--format=csv,noheader,nounits"]
        self.thread, self.stopped = threading.Thread(target=self._sample, daemon=True), threading.Event()

    def used(self):
        text = subprocess.run(self.command, capture_output=True, text=True, timeout=30, check=True).stdout
        return float(text.split()[0])

    def __enter__(self):
        self.before = self.most = self.used()
        self.samples = 0
        self.thread.start()
        return self

    def _sample(self):
        while not self.stopped.is_set():
            begin = time.monotonic()
            try:
                self.most = max(self.most, self.used())
                self.samples += 1
            except (subprocess.SubprocessError, ValueError, IndexError):
                pass  # the number of samples tells
            self.stopped.wait(max(0, SAMPLE_SECONDS - (time.monotonic() - begin)))

    def __exit__(self, *_):
        self.stopped.set()
        self.thread.join()


def last_line(text):
    lines = text.strip().splitlines()
    return lines[-1] if lines else ""


def run(command, timeout):
    """(exit code or None where it was cut, standard output, last line of standard error)."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        return None, "", f"cut after {timeout:g} s"
    return done.returncode, done.stdout, last_line(done.stderr)


def refused(code, message):
    return code in REFUSALS or (code == OUT_OF_MEMORY and TOO_SMALL in message)


def measure(args, setting, model, scratch):
    """Adds status, predicted, measured, ratio, exit code, seconds and message to `setting`."""
    command = [args.program, "--model", str(model), "--prompt", "a cat", "--size", setting["size"],
               "--frames", str(setting["frames"]), "--attention", "dense", "--no-prompt-cache",
               "--device", f"cuda:{args.gpu}"]
    if setting["limit_gb"] is not None:
        command += ["--vram-limit", str(setting["limit_gb"])]
    code, text, message = run(command + ["--plan"], args.timeout)
    found = re.search(r"^\s*in all\s+([\d.]+) GB", text, re.M)
    setting.update(predicted_gb=float(found[1]) if found else None, measured_gb=None, ratio=None,
                   exit_code=code, seconds=None, message=message)
    if code != 0 or not found:
        setting["status"] = "refused" if refused(code, message) else "failed"
        return
    begin, report = time.monotonic(), scratch / "report.json"
    report.unlink(missing_ok=True)
    with MemorySampler(args.gpu) as sampler:
        code, _, message = run(command + ["--steps", str(args.steps), "--progress", "none", "--overwrite", "--output",
                                          str(scratch / "clip.mp4"), "--report", str(report)], args.timeout)
    measured = (sampler.most - sampler.before) * 2**20 / 1e9
    ratio = measured / setting["predicted_gb"]
    if refused(code, message):
        status = "refused"
    elif code != 0:
        status = {OUT_OF_MEMORY: "out of memory", None: "cut"}.get(code, "failed")
    else:
        status = "ok" if abs(ratio - 1) <= TOLERANCE else "off"
    setting.update(status=status, measured_gb=measured, ratio=ratio, exit_code=code, message=message,
                   seconds=time.monotonic() - begin, samples=sampler.samples)
    if code == 0:
        setting["step_s"] = json.loads(report.read_text())["steps"][-1]["seconds"]


def slowdowns(results):
    """{name of a setting with a limit: its step over that of the same run without}."""
    steps = {(row["model"], row["size"], row["frames"], row["limit_gb"]): row.get("step_s") for row in results}
    found = {}
    for row in results:
        resident = steps.get((row["model"], row["size"], row["frames"], None))
        if row["limit_gb"] is not None and row.get("step_s") and resident:
            found[row["name"]] = row["step_s"] / resident
    return found


def write_json(path, results):
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps({"tolerance": TOLERANCE, "slowdowns": slowdowns(results), "settings": results},
                                  indent=1) + "\n")
    os.replace(partial, path)


def print_table(results):
    number = lambda value, form: "-" if value is None else format(value, form)
    print(f"{'setting':26s} {'plan GB':>8s} {'used GB':>8s} {'ratio':>6s} {'exit':>4s} {'s':>6s}  status")
    for row in results:
        told = f": {row['message']}" if row["message"] and row["status"] not in ("ok", "off") else ""
        print(f"{row['name']:26s} {number(row['predicted_gb'], '.2f'):>8s} "
              f"{number(row['measured_gb'], '.2f'):>8s} {number(row['ratio'], '.3f'):>6s} "
              f"{number(row['exit_code'], 'd'):>4s} {number(row['seconds'], '.1f'):>6s}  {row['status']}{told}")
    for name, slowdown in slowdowns(results).items():
        print(f"{name}: {slowdown:.3f} times the step without a limit")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", required=True)
    parser.add_argument("--models", type=Path, nargs="+", required=True, help="checkpoints, 1.3B or 14B")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="+", metavar="PATTERN", help="names of settings, with * and ?")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=300, help="seconds for each command")
    parser.add_argument("--gpu", type=int, default=0)
    args = parser.parse_args()
    models = {model_kind(directory): directory for directory in args.models}
    if None in models:
        parser.error(f"{models[None]}: neither a 1.3B nor a 14B model")
    chosen = list(settings(models, args.only))
    if not chosen:
        parser.error("no such setting")
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        for setting in chosen:
            measure(args, setting, models[setting["model"]], Path(scratch))
            results.append(setting)
            write_json(args.out, results)
            print(f"{setting['name']}: {setting['status']}", file=sys.stderr, flush=True)
    print_table(results)
    sys.exit(any(row["status"] not in ("ok", "refused") for row in results))


if __name__ == "__main__":
    main()
