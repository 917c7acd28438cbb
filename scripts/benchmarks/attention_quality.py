#!/usr/bin/env python3
"""What sparse attention costs in quality, on the default model.

Draws the prompts of the fixed list with dense attention and with three ways to spend the same
executed density: Pyramid Sparse Attention, full blocks only (block-sparse), and means chosen without
looking (uniform pooling); PSA also with the official importance estimator. Writes a JSON of PSNR and
SSIM against the dense clip (8-bit RGB, luma) and of the error of attention's output on the same q, k
and v, a contact sheet (dense, psa, block-sparse and uniform at the least density, six prompts), and
prints a table.

    attention_quality.py --program BENCH_ATTENTION_QUALITY --model DIR --out DIR [--prompts 32]
                         [--device cuda] [--dtype f32] [--jobs 4] [--limit SECONDS] [--reused]

The program (tests/bench/pipeline) makes all clips of its share of the prompts in one process, --jobs
of them at a time. JSON and sheet are written anew after every prompt, so a run that is cut short
leaves those of the prompts it finished. Needs numpy; torch with a GPU makes the comparison faster.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from clip_metrics import Reference, choose_device
from contact_sheet import thumbnails, write_png

KEY_BLOCK, KEY_BLOCKS = 32, 72  # 2,304 tokens: the default clip
# Key blocks of a row at levels 1, 2, 4 and 8, which make whole numbers of full blocks: one block in
# full is the least a quota gives. Those of psa are the best of four to eight splits for PSNR on the
# first five to twelve prompts.
COUNTS = {
    7: {"psa": (4, 4, 4, 0), "block-sparse": (7, 0, 0, 0), "uniform": (1, 0, 0, 48)},
    11: {"psa": (8, 2, 4, 8), "block-sparse": (11, 0, 0, 0), "uniform": (1, 0, 9, 62)},
    14: {"psa": (11, 2, 4, 8), "block-sparse": (14, 0, 0, 0), "uniform": (1, 0, 33, 38)},
    22: {"psa": (14, 8, 8, 16), "block-sparse": (22, 0, 0, 0), "uniform": (1, 13, 58, 0)},
    36: {"psa": (33, 2, 4, 8), "block-sparse": (36, 0, 0, 0), "uniform": (1, 69, 2, 0)},
}
TARGETS = {7: 0.10, 11: 0.15, 14: 0.20, 22: 0.30, 36: 0.50}
OFFICIAL, POOLED = "psa, official estimator", "psa, means of queries"
# Levels kept from other forwards: drawn at one density, with no error of one layer's output.
REUSED = {"psa, levels shared by a step's forwards": {"reuse_across_guidance": True},
          "psa, levels of every second step": {"reuse_steps": 2},
          "psa, levels of every fourth step": {"reuse_steps": 4}}
REUSED_BLOCKS = 11
SHEET_PROMPTS, SHEET_METHODS = 6, ("dense", "psa", "block-sparse", "uniform")


def write_presets(folder, reused, densities):
    """{(target density, method): attention} for the command line."""
    specs = {}
    for blocks, methods in COUNTS.items():
        if densities and TARGETS[blocks] not in densities:
            continue
        methods = {**methods, OFFICIAL: methods["psa"], POOLED: methods["psa"]}
        if reused and blocks == REUSED_BLOCKS:
            methods.update({name: methods["psa"] for name in REUSED})
        for method, counts in methods.items():
            assert sum(c / l for c, l in zip(counts, (1, 2, 4, 8))) == blocks, (blocks, method)
            estimator = {"uniform": "uniform", OFFICIAL: "sampled",
                         POOLED: "pooled_log_sum_exp"}.get(method, "staggered")
            preset = {
                "description": f"{method}, {blocks} of {KEY_BLOCKS} blocks",
                "query_block": 128,
                "key_block": KEY_BLOCK,
                "selection": "quota",
                "level_bounds": [float(b) / KEY_BLOCKS for b in np.cumsum(counts)],
                "estimator": estimator,
                "warmup_share": 0.25,
                **REUSED.get(method, {}),
            }
            name = "".join(c if c.isalnum() else "-" for c in method)
            path = folder / f"{name}-{blocks}.json"
            path.write_text(json.dumps(preset))
            kind = "block-sparse" if method == "block-sparse" else "psa"
            specs[(TARGETS[blocks], method)] = f"{kind}:{path}"
    return specs


def read_records(stream):
    """(header, frames) of each record (tests/bench/pipeline/clip_stream.h) that is whole."""
    while (line := stream.readline()).endswith(b"\n"):
        header = json.loads(line)
        frames = None
        if "clip" in header:
            shape = [header["clip"][side] for side in ("frames", "height", "width")] + [3]
            data = bytearray(int(np.prod(shape)))
            if stream.readinto(data) < len(data):
                return
            frames = np.frombuffer(data, np.uint8).reshape(shape)
        yield header, frames


def measure_share(stream, specs, device, done):
    """Reads one process's records; `done(prompt, rows, sheet, seconds)` after each prompt's last.

    A clip's frames are dropped as soon as it is compared.
    """
    keys, least = list(specs), min(density for density, _ in specs)
    tried = [key for key in keys if key[1] not in REUSED]
    reference, rows, sheet, spent = None, {}, {}, 0.0
    for header, frames in read_records(stream):
        if frames is None:
            found = header["inspection"]
            for key, mean in zip(tried, found["attentions"]):
                rows[key].update(output_error=mean["relative_error"],
                                 executed_density=mean["executed_density"])
            done(found["prompt"], list(rows.values()), sheet, (spent, found["seconds"]))
            reference, rows, sheet, spent = None, {}, {}, 0.0
            continue
        clip = header["clip"]
        spent += clip["seconds"]
        if clip["attention"] == 0:
            reference = Reference(frames, device)
            sheet["dense"] = thumbnails(frames)
            continue
        density, method = key = keys[clip["attention"] - 1]
        psnr, ssim = reference.compare(frames)
        rows[key] = {"density": density, "method": method, "psnr": psnr, "ssim": ssim}
        if density == least and method in SHEET_METHODS:
            sheet[method] = thumbnails(frames)


def make_table(specs, prompts):
    """A row for each attention, over `prompts`: lists of rows as measure_share gives them."""
    def values(key, field):
        found = [row.get(field) for rows in prompts for row in rows
                 if (row["density"], row["method"]) == key]
        return np.array(found, float) if None not in found else None  # no errors with REUSED

    def mean(found):
        return float(found.mean()) if found is not None and found.size else None

    def psa_wins(key, field, sign):
        mine, psa = values(key, field), values((key[0], "psa"), field)
        return None if key[1] == "psa" or mine is None else int((sign * psa > sign * mine).sum())

    table = []
    for key in specs:
        psnr = values(key, "psnr")
        table.append({
            "target_density": key[0], "method": key[1],
            "psnr_db": mean(psnr),
            "psnr_db_least": float(psnr.min()),
            # Of the prompts in their order: how much a mean depends on which they are.
            "psnr_db_by_quarter": [mean(part) for part in np.array_split(psnr, 4)],
            "ssim": mean(values(key, "ssim")),
            "output_error": mean(values(key, "output_error")),
            "executed_density": mean(values(key, "executed_density")),
            "prompts_psa_has_higher_psnr": psa_wins(key, "psnr", 1),
            "prompts_psa_has_smaller_error": psa_wins(key, "output_error", -1),
        })
    return table


def print_table(table, num_prompts):
    number = lambda value, form: "-" if value is None else format(value, form)
    print(f"{num_prompts} prompts; psa wins: in how many psa at the same density has the higher PSNR, "
          "the smaller error\n")
    print(f"{'target':6s} {'density':7s} {'method':40s} {'PSNR':>6s} {'least':>6s} "
          f"{'by quarter of the prompts':27s} {'SSIM':>6s} {'error':>6s} {'psa wins':>8s}")
    for row in table:
        quarters = " ".join(f"{number(q, '.2f'):>6s}" for q in row["psnr_db_by_quarter"])
        wins = [number(row[f"prompts_psa_has_{what}"], "d")
                for what in ("higher_psnr", "smaller_error")]
        print(f"{row['target_density']:6.2f} {number(row['executed_density'], '.4f'):7s} "
              f"{row['method']:40s} {row['psnr_db']:6.2f} {row['psnr_db_least']:6.2f} {quarters} "
              f"{row['ssim']:6.4f} {number(row['output_error'], '.4f'):>6s} {wins[0]:>4s}{wins[1]:>4s}")


class Results:
    """What is finished, and its files, written anew after every prompt."""

    def __init__(self, folder, prompts, specs, facts):
        self.folder, self.prompts, self.specs, self.facts = folder, prompts, specs, facts
        self.finished, self.sheets = {}, {}
        self.lock, self.start = threading.Lock(), time.monotonic()

    def add(self, prompt, rows, sheet, seconds):
        with self.lock:
            self.finished[prompt] = rows
            self.write_json()
            if prompt < SHEET_PROMPTS:
                self.sheets[prompt] = sheet
                self.write_sheet()
            print(f"{time.monotonic() - self.start:6.1f} s: prompt {prompt}, clips {seconds[0]:.1f} s, "
                  f"errors {seconds[1]:.1f} s", file=sys.stderr, flush=True)

    def table(self):
        return make_table(self.specs, list(self.finished.values()))

    def write_json(self):
        self.finished = dict(sorted(self.finished.items()))
        clips = [{"prompt": self.prompts[i], "rows": rows} for i, rows in self.finished.items()]
        text = json.dumps({"prompts": len(clips), "prompts_asked_for": len(self.prompts),
                           **self.facts, "table": self.table(), "clips": clips}, indent=1)
        partial = self.folder / "attention-quality.json.partial"
        partial.write_text(text)
        os.replace(partial, self.folder / "attention-quality.json")

    def write_sheet(self):
        lines = [np.concatenate([sheet[m] for m in SHEET_METHODS], 1)
                 for _, sheet in sorted(self.sheets.items())]
        write_png(self.folder / "attention-quality.png", np.concatenate(lines, 0))


def run_processes(args, prompts, specs, results, scratch):
    """Every process with each --jobs-th prompt. False where one failed."""
    lists = {"prompts": prompts, "attentions": ["dense", *specs.values()],
             "tried": [spec for key, spec in specs.items() if key[1] not in REUSED]}
    command = [args.program, "--model", args.model, "--device", args.device, "--dtype", args.dtype,
               "--threads", str(max(1, (os.cpu_count() or 1) // args.jobs)),
               "--steps-at", args.steps_at, "--every", str(args.jobs)]
    for name, lines in lists.items():
        (scratch / name).write_text("".join(line + "\n" for line in lines))
        command += ["--" + name, str(scratch / name)]
    for name in ("frames", "steps"):
        if getattr(args, name):
            command += ["--" + name, str(getattr(args, name))]
    device = choose_device(args.metrics_device)
    processes = [subprocess.Popen(command + ["--first", str(i)], stdout=subprocess.PIPE)
                 for i in range(args.jobs)]

    def read(process):
        try:
            measure_share(process.stdout, specs, device, results.add)
        except BaseException:
            process.kill()  # it would wait for its reader for ever
            raise

    readers = [threading.Thread(target=read, args=(process,)) for process in processes]
    out_of_time = threading.Event()

    def cut():
        out_of_time.set()
        for process in processes:
            process.kill()

    timer = threading.Timer(args.limit or threading.TIMEOUT_MAX, cut)
    timer.daemon = True
    timer.start()
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    timer.cancel()
    codes = [process.wait() for process in processes]
    if out_of_time.is_set():
        print(f"cut after {args.limit} s", file=sys.stderr)
    return out_of_time.is_set() or not any(codes)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--prompts", type=int, default=32)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", default="f32")
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--limit", type=float, help="seconds after which the run is cut short")
    parser.add_argument("--metrics-device", default="auto", help="auto, cpu or a device of torch")
    parser.add_argument("--reused", action="store_true", help="levels kept from other forwards, too")
    parser.add_argument("--steps-at", default="5,10,15,19", help="where errors are taken")
    parser.add_argument("--densities", type=float, nargs="+", help="only these targets")
    parser.add_argument("--frames", type=int, help="shorter clips, to try the script")
    parser.add_argument("--steps", type=int, help="fewer steps, likewise")
    args = parser.parse_args()
    listed = Path(__file__).parents[2] / "configs/jobs/gallery_prompts.txt"
    prompts = [line.strip() for line in listed.read_text().splitlines() if line.strip()]
    prompts = prompts[: args.prompts]
    args.jobs = min(args.jobs, len(prompts))
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        specs = write_presets(Path(scratch), args.reused, args.densities)
        results = Results(args.out, prompts, specs,
                          {"device": args.device, "dtype": args.dtype, "steps_at": args.steps_at})
        done = run_processes(args, prompts, specs, results, Path(scratch))
    if results.finished:
        print_table(results.table(), len(results.finished))
    sys.exit(0 if done and results.finished else 1)


if __name__ == "__main__":
    main()
