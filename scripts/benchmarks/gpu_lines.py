#!/usr/bin/env python3
"""The lines of docs/benchmarks/gpu.md that are held against a bar, measured in one call.

    scripts/benchmarks/gpu_lines.py --program PSA-GEN --out FILE [--parts forward,attention,...]
                                    [--python PYTHON] [--pairs 2] [--kernels BENCH_CUDA_SPARSE_ATTENTION]

Runs PyTorch's part and ours in turn (torch, ours, torch, ours), since a GPU's clock is not the same
from one minute to the next; a value is the median over the turns. Each command has a time limit of its
own. The file is written anew after every command and holds what each one wrote. Prints each line's
value, its bar and whether it is met; exit code 1 where one is not, or could not be measured. The part
`kernels`, attention without psa-gen around it, portable kernels too, wants the program of tests/bench/cuda. The
commands of PyTorch run under --python, which needs torch (transformers for the part `text`);
the script itself needs nothing but Python 3.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
FAST = HERE.parents[1] / "configs/attention/fast.json"
BOUNDS = {
    "q10": (0.05, 0.1, 0.15, 0.25), "q15": (0.075, 0.15, 0.225, 0.375),
    "q20": (0.1, 0.2, 0.3, 0.5), "q30": (0.15, 0.3, 0.45, 0.75),
    "t10": (0.055, 0.102, 0.149, 0.243), "t15": (0.082, 0.156, 0.23, 0.361),
    "t20": (0.109, 0.21, 0.302, 0.479), "t30": (0.166, 0.315, 0.455, 0.7),
}
LARGE = ("--like", "wan2.1-14b", "--size", "1280x720")
TOKENS = {"1.3b": "32,760 x 12", "14b": "75,600 x 40"}
DENSE_TFLOP = 4 * 32760**2 * 12 * 128 * 1e-12
# name: (seconds, script of PyTorch or part of `psa-gen bench`, flags)
COMMANDS = {
    "torch-1.3b": (120, "torch_parts.py"),
    "torch-14b": (240, "torch_parts.py", "--model", "wan2.1-14b", "--tokens", "75600", "--layers", "4"),
    "torch-text": (240, "transformers_text.py"),
    "attention-1.3b": (60, "attention", "--rounds", "15"),
    "psa-attention-1.3b": (60, "attention", "--attention", "psa:fast", "--rounds", "20"),
    "forward-1.3b": (90, "forward", "--rounds", "7"),
    "psa-forward-1.3b": (90, "forward", "--attention", "psa:fast", "--rounds", "7"),
    **{name: (60, "attention", "--attention", f"psa:{name}.json", "--rounds", "10") for name in BOUNDS},
    "attention-14b": (120, "attention", *LARGE, "--rounds", "15"),
    "psa-attention-14b": (120, "attention", *LARGE, "--attention", "psa:fast", "--rounds", "15"),
    "forward-14b": (180, "forward", *LARGE, "--layers", "4", "--rounds", "5"),
    "text": (120, "text", "--rounds", "10"),
    "decode": (90, "decode", "--rounds", "3"),
    "kernels": (120, "kernels", "32760 x 12 x 128, blocks of 128"),
}
# What runs near each other: PyTorch's commands, then ours, and again.
GROUPS = (
    (("torch-1.3b",),
     ("attention-1.3b", "psa-attention-1.3b", *BOUNDS, "forward-1.3b", "psa-forward-1.3b", "kernels")),
    (("torch-14b",), ("attention-14b", "psa-attention-14b", "forward-14b")),
    (("torch-text",), ("text",)),
    ((), ("decode",)),
)


class Line:
    """`value` of the facts of the commands in `needs`, and what it is to be: at most or at least the bar."""

    def __init__(self, part, name, needs, value, bar, form=".3f", at_least=False):
        self.part, self.name, self.needs, self.value = part, name, needs, value
        self.bar, self.form, self.at_least = bar, form, at_least

    def result(self, facts):
        known = all(name in facts for name in self.needs)
        value = self.value(*(facts[name] for name in self.needs)) if known else None
        met = None if value is None else value >= self.bar if self.at_least else value <= self.bar
        return {"part": self.part, "line": self.name, "value": value, "bar": self.bar,
                "bar_is": "least" if self.at_least else "most", "met": met}


def make_lines():
    lines = []
    for shape, times in (("1.3b", 7), ("14b", 8)):
        torch = f"torch-{shape}"
        lines += [
            Line("forward", f"forward {shape} / PyTorch's attention and products", (f"forward-{shape}", torch),
                 lambda ours, torch: ours["ms"] / torch["floor_ms"], 1.07),
            Line("attention", f"dense attention {TOKENS[shape]} / cuDNN", (f"attention-{shape}", torch),
                 lambda ours, torch: ours["ms"] / torch["self_cudnn_ms"], 1.0),
            Line("psa", f"cuDNN / whole PSA layer {TOKENS[shape]}, density 0.10",
                 (f"psa-attention-{shape}", torch), lambda ours, torch: torch["self_cudnn_ms"] / ours["ms"],
                 times, ".2f", at_least=True)]
    sparse = [("densities", name, name, "attention-1.3b") for name in BOUNDS]
    for part, what, name, dense in (*sparse, ("psa", "75,600 x 40", "psa-attention-14b", "attention-14b")):
        lines += [
            Line(part, f"{what}: t / (rho dense)", (name, dense),
                 lambda ours, dense: ours["attention_ms"] / (ours["density"] * dense["attention_ms"]), 1.25),
            Line(part, f"{what}: pooling and selection / t, %", (name,),
                 lambda ours: 100 * ours["before_ms"] / ours["attention_ms"], 10, ".1f")]
    lines += [
        Line("kernels", "portable dense attention / FlashAttention 2, speed", ("kernels", "torch-1.3b"),
             lambda ours, torch: torch["self_flash_ms"] / ours["portable dense"]["ms"], 0.9, at_least=True),
        Line("kernels", "every block at level 1 / dense attention", ("kernels",),
             lambda ours: ours["default all at level 1"]["ms"] / ours["default dense"]["ms"], 1.1)]
    for density in ("0.1", "0.15", "0.2", "0.3"):
        lines.append(Line("kernels", f"portable, density {density}: TFLOP/s / FlashAttention 2's",
                          ("kernels", "torch-1.3b"),
                          lambda ours, torch, case=f"portable density {density}":
                          ours[case]["tflop_per_s"] / (DENSE_TFLOP / torch["self_flash_ms"] * 1e3),
                          0.75, at_least=True))
    return lines + [
        Line("psa-forward", "forward 1.3b with psa:fast, ms", ("psa-forward-1.3b",), lambda ours: ours["ms"],
             195, ".1f"),
        Line("decode", "decode 832x480x81, ms", ("decode",), lambda ours: ours["ms"], 850, ".0f"),
        Line("text", "text encoder / transformers", ("text", "torch-text"),
             lambda ours, torch: ours["ms"] / torch["text_ms"], 1.0)]


LINES = make_lines()
PARTS = tuple(dict.fromkeys(line.part for line in LINES))


def facts_of(result):
    """The numbers that lines use: PyTorch's as they are, of ours the part after the product."""
    if "cases" in result:
        return result["cases"]
    if "results" not in result:
        return {key: value for key, value in result.items() if key.endswith("_ms") and not isinstance(value, dict)}
    part = result["results"][-1]
    zones = {zone["zone"]: zone["ms"] for zone in part["zones"]}
    facts = {"ms": part["median_ms"]}
    if part["part"] == "attention" and "sparse_attention" in zones:
        facts.update(density=part["executed_density"], attention_ms=zones["sparse_attention"],
                     before_ms=sum(zones.values()) - zones["sparse_attention"])
    elif part["part"] == "attention":  # as the sparse one, back to back
        facts["attention_ms"] = zones["attention"]
    return facts


def write_presets(folder):
    """Those of docs/benchmarks/gpu.md, from the preset `fast`; q10 selects as it does."""
    for name, bounds in BOUNDS.items():
        preset = json.loads(FAST.read_text())
        preset.update(description=name, level_bounds=bounds)
        if name.startswith("t"):
            preset.update(selection="threshold", min_full_ratio=0)
        (folder / f"{name}.json").write_text(json.dumps(preset))


def read_cases(text):
    """{"default dense": {"ms", "tflop_per_s"}, "portable density 0.1": ...} of a bench of tests/bench/cuda."""
    cases, kernels = {}, None
    for line in text.splitlines():
        if not line.startswith("{"):
            continue
        row = json.loads(line)
        kernels = row.get("kernels", kernels)
        if "case" in row:
            name = row["case"].split(", ", 2)[2]
            cases[f"{kernels} {name}"] = {"ms": row["us"] * 1e-3, "tflop_per_s": row["tflop_per_s"]}
    return cases


def run_command(args, name, scratch):
    """What became of one command, its JSON under `result`."""
    limit, what, *flags = COMMANDS[name]
    out = scratch / "result.json"
    out.unlink(missing_ok=True)
    command = ([args.python, str(HERE / what), *flags] if what.endswith(".py")
               else [args.kernels, *flags] if what == "kernels"
               else [args.program, "bench", what, *flags, "-o", out.name])
    run = {"command": name, "flags": [what, *flags], "exit_code": None, "error": None, "result": None}
    begin = time.monotonic()
    try:
        done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, timeout=limit)
        run["exit_code"] = done.returncode
        if done.returncode:
            run["error"] = (done.stderr.strip().splitlines() or ["no message"])[-1]
        elif what.endswith(".py"):
            run["result"] = json.loads(done.stdout.strip().splitlines()[-1])
        elif what == "kernels":
            run["result"] = {"cases": read_cases(done.stdout)}
        else:
            run["result"] = json.loads(out.read_text())
    except subprocess.TimeoutExpired:
        run["error"] = f"cut after {limit} s"
    except (OSError, ValueError, IndexError) as error:
        run["error"] = str(error)
    run["seconds"] = time.monotonic() - begin
    return run


def median_of(turns):
    """Of numbers, or of each number of dicts."""
    if isinstance(turns[0], dict):
        return {key: median_of([turn[key] for turn in turns]) for key in turns[0]}
    return statistics.median(turns)


def medians(runs):
    found = {}
    for run in runs:
        if run["result"] is not None:
            found.setdefault(run["command"], []).append(facts_of(run["result"]))
    return {name: {key: median_of([turn[key] for turn in turns]) for key in turns[0]}
            for name, turns in found.items()}


def write_json(path, lines, runs):
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps({"lines": lines, "runs": runs}, indent=1) + "\n")
    os.replace(partial, path)


def print_table(lines, forms):
    print(f"{'line':58s} {'value':>8s}  {'bar':>8s}  met")
    for line, form in zip(lines, forms):
        value = "-" if line["value"] is None else format(line["value"], form)
        bar = (">= " if line["bar_is"] == "least" else "<= ") + f"{line['bar']:g}"
        print(f"{line['line']:58s} {value:>8s}  {bar:>8s}  {'yes' if line['met'] else 'no'}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", required=True, help="psa-gen")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--parts", help="of " + ", ".join(PARTS) + "; all, kernels where --kernels is given")
    parser.add_argument("--python", default=sys.executable, help="one that has torch")
    parser.add_argument("--pairs", type=int, default=2, help="turns of PyTorch and ours")
    parser.add_argument("--kernels", help="bench_cuda_sparse_attention, for the part kernels")
    args = parser.parse_args()
    parts = args.parts.split(",") if args.parts else [part for part in PARTS if part != "kernels" or args.kernels]
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    if "kernels" in parts and not args.kernels:
        parser.error("the part kernels wants --kernels")
    args.program, args.python, args.kernels = (  # run in another folder
        path and str(Path(shutil.which(path) or path).absolute())
        for path in (args.program, args.python, args.kernels))
    chosen = [line for line in LINES if line.part in parts]
    needed = {name for line in chosen for name in line.needs}
    runs, lines = [], []
    with tempfile.TemporaryDirectory() as scratch:
        write_presets(Path(scratch))
        for torch, ours in GROUPS:
            for turn in range(args.pairs):
                for name in (name for name in torch + ours if name in needed):
                    run = {"turn": turn, **run_command(args, name, Path(scratch))}
                    runs.append(run)
                    lines = [line.result(medians(runs)) for line in chosen]
                    write_json(args.out, lines, runs)
                    print(f"{name}: {run['seconds']:.1f} s {run['error'] or ''}", file=sys.stderr, flush=True)
    print_table(lines, [line.form for line in chosen])
    sys.exit(not all(line["met"] for line in lines))


if __name__ == "__main__":
    main()
