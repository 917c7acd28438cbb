"""Reconstruction quality of a model directory's VAE on unseen MovingShapes clips, in float32.

    python3 scripts/training/evaluate_vae.py --model models/default --split test-iid --clips 32

PSNR over the frame and inside the object's mask (coverage above one half), per clip and by third of
the clip. The object's thirds leave out clips in which it grows or shrinks: a smaller object has more
edge per pixel, which is not drift.
"""

import argparse
import json
import pathlib
import sys

import numpy as np
import torch
from safetensors.torch import load_file

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import moving_shapes
import train_vae
from wan_vae import WanVae

GROWS, SHRINKS = 9, 10


def decibels(error):
    return -10 * np.log10(np.maximum(error, 1e-10))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=pathlib.Path, default=moving_shapes.ROOT / "models/default")
    parser.add_argument("--split", default="test-iid")
    parser.add_argument("--clips", type=int, default=32)
    parser.add_argument("--size", type=int, default=256)
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    data = moving_shapes.open_library()
    config = json.loads((args.model / "vae/config.json").read_text())
    vae = WanVae(config["base_dim"], config["dim_mult"], config["num_res_blocks"], config["z_dim"])
    weights = load_file(str(args.model / "vae/diffusion_pytorch_model.safetensors"))
    vae.load_state_dict({k: v.float() for k, v in weights.items()})
    vae = vae.to(device).eval()
    frame, inside, steady = [], [], []
    for index in range(args.clips):
        rgb, cover = data.render(args.split, [index], size=args.size, coverage=True)
        x = train_vae.to_video(torch.from_numpy(rgb).to(device))
        with torch.no_grad():
            y = vae.decode(vae.encode(x)[0]).clamp(-1, 1)
        made = ((y + 1) * 127.5).round().permute(0, 2, 3, 4, 1).cpu().numpy()
        error = ((made - rgb) / 255.0) ** 2
        error = error.mean(-1)[0]
        mask = cover[0] > 127
        frame.append(error.mean((1, 2)))
        inside.append((error * mask).sum((1, 2)) / np.maximum(mask.sum((1, 2)), 1))
        attributes, _ = data.describe(args.split, index)
        steady.append(attributes[2] not in (GROWS, SHRINKS))
    frame, inside, steady = np.array(frame), np.array(inside), np.array(steady)
    tenth = max(1, args.clips // 10)
    thirds = lambda e: [round(float(decibels(t.mean())), 2) for t in np.split(e.mean(0), [11, 22])]
    by_clip = lambda e: np.sort(decibels(e.mean(1)))
    print(json.dumps(dict(
        split=args.split, clips=args.clips, size=args.size, frames=33,
        psnr_frame=round(float(by_clip(frame).mean()), 2),
        psnr_frame_worst_tenth=round(float(by_clip(frame)[:tenth].mean()), 2),
        psnr_object=round(float(by_clip(inside).mean()), 2),
        psnr_object_worst_tenth=round(float(by_clip(inside)[:tenth].mean()), 2),
        psnr_frame_by_third=thirds(frame), psnr_object_by_third=thirds(inside[steady]))))


if __name__ == "__main__":
    main()
