#!/usr/bin/env python3
"""What sparse attention costs in quality, on the default model.

Draws the prompts of the fixed list with dense attention and with three ways to spend the same
executed density: Pyramid Sparse Attention, full blocks only (block-sparse), and means chosen without
looking (uniform pooling); PSA also with the official importance estimator. Writes a JSON of PSNR and
SSIM against the dense clip and of the error of attention's output on the same q, k and v, and contact
sheets.

    attention_quality.py --program PSA-GEN --model DIR --out DIR [--prompts 32] [--device cuda]
                         [--dtype f32] [--jobs 6] [--reused]

The program must be able to write Y4M. Needs numpy and torch (run with 2.11).
"""
import argparse
import json
import os
import subprocess
import tempfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

KEY_BLOCK, KEY_BLOCKS = 32, 72  # 2,304 tokens: the default clip
# Key blocks of a row at levels 1, 2, 4 and 8, which make whole numbers of full blocks: one block in
# full is the least a quota gives.
COUNTS = {
    7: {"psa": (3, 4, 4, 8), "block-sparse": (7, 0, 0, 0), "uniform": (1, 0, 0, 48)},
    11: {"psa": (6, 4, 4, 16), "block-sparse": (11, 0, 0, 0), "uniform": (1, 0, 9, 62)},
    14: {"psa": (8, 6, 4, 16), "block-sparse": (14, 0, 0, 0), "uniform": (1, 0, 33, 38)},
    22: {"psa": (14, 8, 8, 16), "block-sparse": (22, 0, 0, 0), "uniform": (1, 13, 58, 0)},
    36: {"psa": (26, 10, 8, 24), "block-sparse": (36, 0, 0, 0), "uniform": (1, 69, 2, 0)},
}
TARGETS = {7: 0.10, 11: 0.15, 14: 0.20, 22: 0.30, 36: 0.50}
# Levels kept from other forwards: drawn at one density, with no error of one layer's output.
REUSED = {"psa, levels shared by a step's forwards": {"reuse_across_guidance": True},
          "psa, levels of every second step": {"reuse_steps": 2},
          "psa, levels of every fourth step": {"reuse_steps": 4}}
REUSED_BLOCKS = 11
STEPS_AT = "5,10,15,19"
SHEET_PROMPTS, SHEET_FRAMES = 6, 3


def write_presets(folder, reused):
    """{(target density, method): attention} for the command line."""
    specs = {}
    for blocks, methods in COUNTS.items():
        methods = {**methods, "psa, official estimator": methods["psa"]}
        if reused and blocks == REUSED_BLOCKS:
            methods.update({name: methods["psa"] for name in REUSED})
        for method, counts in methods.items():
            assert sum(c / l for c, l in zip(counts, (1, 2, 4, 8))) == blocks, (blocks, method)
            estimator = {"uniform": "uniform", "psa, official estimator": "sampled"}.get(
                method, "pooled_log_sum_exp")
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


def read_y4m(path):
    """[frames, 3, H, W] in [0, 1]: Y'CbCr, chroma doubled to full size."""
    data = path.read_bytes()
    end = data.index(b"\n")
    fields = {f[0]: f[1:] for f in data[:end].decode().split()[1:] if f[0] in "WHC"}
    width, height, wide = int(fields["W"]), int(fields["H"]), "p10" in fields["C"]
    kind, most = (np.dtype("<u2"), 1023.0) if wide else (np.dtype("u1"), 255.0)
    full = "444" in fields["C"]
    chroma = width * height if full else width * height // 4
    frames, at = [], end + 1
    while at < len(data):
        at = data.index(b"\n", at) + 1
        values = np.frombuffer(data, kind, width * height + 2 * chroma, at).astype(np.float32) / most
        at += values.size * kind.itemsize
        planes = [values[: width * height].reshape(height, width)]
        for i in range(2):
            plane = values[width * height + i * chroma :][:chroma]
            if full:
                planes.append(plane.reshape(height, width))
            else:
                planes.append(plane.reshape(height // 2, width // 2).repeat(2, 0).repeat(2, 1))
        frames.append(np.stack(planes))
    return np.stack(frames)


def psnr(a, b):
    return float(-10 * np.log10(max(np.mean((a.astype(np.float64) - b) ** 2), 1e-12)))


def ssim(a, b):
    """Wang et al. 2004 on luma, Gaussian window of 11, sigma 1.5, mean over frames."""
    x, y = (torch.from_numpy(np.ascontiguousarray(v[:, :1])).double() for v in (a, b))
    taps = torch.exp(-((torch.arange(11).double() - 5) ** 2) / (2 * 1.5**2))
    taps = taps / taps.sum()
    window = (taps[:, None] * taps[None, :])[None, None]
    mean = lambda v: torch.nn.functional.conv2d(v, window)
    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    c1, c2 = 0.01**2, 0.03**2
    return float((((2 * mx * my + c1) * (2 * cov + c2)) /
                  ((mx * mx + my * my + c1) * (vx + vy + c2))).mean())


def to_rgb(frame):
    y, u, v = (frame[0] * 255 - 16) / 219, (frame[1] * 255 - 128) / 224, (frame[2] * 255 - 128) / 224
    r, b = y + 1.5748 * v, y + 1.8556 * u
    g = (y - 0.2126 * r - 0.0722 * b) / 0.7152
    return (np.clip(np.stack([r, g, b], -1), 0, 1) * 255 + 0.5).astype(np.uint8)


def write_png(path, rgb):
    height, width, _ = rgb.shape
    rows = b"".join(b"\0" + rgb[i].tobytes() for i in range(height))
    chunk = lambda tag, body: (len(body).to_bytes(4, "big") + tag + body +
                               zlib.crc32(tag + body).to_bytes(4, "big"))
    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) +
                     chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scratch", type=Path,
                        default=Path(tempfile.gettempdir()) / "attention-quality")
    parser.add_argument("--prompts", type=int, default=32)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", default="f32")
    parser.add_argument("--jobs", type=int, default=6)
    parser.add_argument("--reused", action="store_true", help="levels kept from other forwards, too")
    args = parser.parse_args()
    torch.set_num_threads(1)
    listed = Path(__file__).parents[2] / "configs/jobs/gallery_prompts.txt"
    prompts = [line.strip() for line in listed.read_text().splitlines() if line.strip()]
    prompts = prompts[: args.prompts]
    args.out.mkdir(parents=True, exist_ok=True)
    args.scratch.mkdir(parents=True, exist_ok=True)
    specs = write_presets(args.scratch, args.reused)
    compared = {key: spec for key, spec in specs.items() if key[1] not in REUSED}
    common = ["--model", args.model, "--seed", "0", "--device", args.device, "--dtype", args.dtype,
              "--progress", "none"]
    environment = dict(os.environ, OMP_NUM_THREADS="2")

    def run(command):
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr}")

    def clip(prompt, attention, name):
        path = args.scratch / f"{name}.y4m"
        run([args.program, "--prompt", prompt, "--attention", attention, "-o", str(path),
             "--overwrite"] + common)
        frames = read_y4m(path)
        path.unlink()
        return frames

    def measure(index):
        dense = clip(prompts[index], "dense", f"{index}-dense")
        rows, sheet = [], {"dense": dense[:: len(dense) // SHEET_FRAMES][:SHEET_FRAMES]}
        for (density, method), spec in specs.items():
            frames = clip(prompts[index], spec, f"{index}-{Path(spec).stem}")
            rows.append({"density": density, "method": method, "psnr": psnr(frames, dense),
                         "ssim": ssim(frames, dense)})
            if density == min(TARGETS.values()):
                sheet[method] = frames[:: len(frames) // SHEET_FRAMES][:SHEET_FRAMES]
        path = args.scratch / f"{index}-inspect.json"
        path.unlink(missing_ok=True)
        run([args.program, "inspect", "attention", "--prompt", prompts[index], "--attention",
             ",".join(compared.values()), "--steps-at", STEPS_AT, "--json", str(path)] + common)
        errors = json.loads(path.read_text())
        return rows, sheet if index < SHEET_PROMPTS else None, errors

    with ThreadPoolExecutor(args.jobs) as pool:
        results = list(pool.map(measure, range(len(prompts))))

    def average(means, field):
        return float(np.mean([mean[field] for mean in means])) if means else None

    table = []
    for (density, method), spec in specs.items():
        mine = [row for rows, _, _ in results for row in rows
                if (row["density"], row["method"]) == (density, method)]
        place = list(compared).index((density, method)) if (density, method) in compared else None
        means = [errors["attentions"][place]["mean"] for _, _, errors in results
                 if place is not None]
        table.append({
            "target_density": density, "method": method,
            "psnr_db": float(np.mean([row["psnr"] for row in mine])),
            "psnr_db_least": float(min(row["psnr"] for row in mine)),
            "ssim": float(np.mean([row["ssim"] for row in mine])),
            "output_error": average(means, "relative_error"),
            "executed_density": average(means, "executed_density"),
        })
    (args.out / "attention-quality.json").write_text(json.dumps(
        {"prompts": len(prompts), "dtype": args.dtype, "steps_at": STEPS_AT, "table": table,
         "clips": [{"prompt": p, "rows": r} for p, (r, _, _) in zip(prompts, results)]}, indent=1))
    for row in table:
        print(f"{row['target_density']:.2f} {row['executed_density'] or 0:.4f} {row['method']:40s} "
              f"PSNR {row['psnr_db']:6.2f} least {row['psnr_db_least']:6.2f} "
              f"SSIM {row['ssim']:.4f} error {row['output_error'] or 0:.4f}")
    picture = []
    for _, sheet, _ in results[:SHEET_PROMPTS]:
        strip = [np.concatenate([to_rgb(f)[::2, ::2] for f in sheet[m]], 1)
                 for m in ("dense", "psa", "block-sparse", "uniform")]
        picture.append(np.concatenate(strip, 1))
    write_png(args.out / "attention-quality.png", np.concatenate(picture, 0))


if __name__ == "__main__":
    main()
