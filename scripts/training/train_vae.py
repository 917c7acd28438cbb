"""Trains the default model's VAE on MovingShapes, in resumable slices.

    python3 scripts/training/train_vae.py --state STATE --seconds 540 --total 800

Curriculum: single frames until edges are sharp, then longer clips, then the full 33 frames, last at
256x256. Losses: L1 + squared error, weighted towards the moving object and its edges, a gradient
loss and a small KL term. Writes STATE/vae_{model,optimizer}.pt (resume) and STATE/vae_ema.safetensors.
"""

import argparse
import json
import pathlib
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import moving_shapes
import slices
from wan_vae import WanVae, channels_last

CONFIG = dict(base_dim=32, dim_mult=[1, 1, 2, 2], num_res_blocks=1, z_dim=16)
# (share of the total at which the phase ends, frames, crop, clips per step)
PHASES = [(0.14, 1, 96, 256), (0.26, 9, 64, 64), (0.40, 17, 64, 48), (0.66, 33, 64, 40),
          (0.82, 33, 128, 10), (1.01, 33, 256, 3)]
DECODER_PHASES = [(0.4, 33, 128, 12), (1.01, 33, 256, 4)]
OBJECT_WEIGHT, GRADIENT_WEIGHT, KL_WEIGHT = 5.0, 0.5, 3e-4


def phase_of(phases, share):
    return next(i for i, p in enumerate(phases) if share < p[0])


def random_windows(data, rng, frames, crop, count):
    """Clips and crops; most crops hold the object in their middle frame."""
    indices = rng.integers(0, moving_shapes.SIZES[0], count)
    windows = np.zeros((count, 3), np.int64)
    windows[:, 2] = rng.integers(0, 33 - frames + 1, count)
    room = 256 - crop
    for i, index in enumerate(indices):
        if rng.random() < 0.75:
            _, poses = data.describe("train", int(index))
            x, y = poses[windows[i, 2] + frames // 2, :2] * 256 - crop / 2
            jitter = rng.uniform(-crop / 2, crop / 2, 2)
            windows[i, :2] = np.clip([x + jitter[0], y + jitter[1]], 0, room)
        else:
            windows[i, :2] = rng.integers(0, room + 1, 2)
    return indices, windows


def batches(data, seed, frames, crop, count):
    rng = np.random.default_rng(seed)

    def make():
        indices, windows = random_windows(data, rng, frames, crop, count)
        rgb, cover = data.render("train", indices, windows=windows, width=crop, height=crop,
                                 num_frames=frames, coverage=True)
        rgb, cover = torch.from_numpy(rgb), torch.from_numpy(cover)
        return (rgb.pin_memory(), cover.pin_memory()) if torch.cuda.is_available() else (rgb, cover)

    return slices.Prefetcher(make)


def to_video(rgb):
    """uint8 [B, T, H, W, 3] -> [-1, 1] float [B, 3, T, H, W] in channels-last memory."""
    return (rgb.float() / 127.5 - 1).permute(0, 4, 1, 2, 3)


def make_step(model, ema, optimizer, device):
    parameters = [p for p in model.parameters() if p.requires_grad]

    def step(rgb, cover):
        x = to_video(rgb)
        mask = (cover > 0).float().unsqueeze(1)
        near = F.max_pool3d(mask, (1, 5, 5), stride=1, padding=(0, 2, 2))
        weight = 1 + OBJECT_WEIGHT * near
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16, cache_enabled=False):
            mean, logvar = model.encode(x)
            logvar = logvar.clamp(-14, 4)
            z = mean + torch.randn_like(mean) * (0.5 * logvar).exp()
            y = model.decode(z).float()
        d = y - x
        scale = 1 / weight.mean()
        l1 = (weight * d.abs()).mean() * scale
        l2 = (weight * d * d).mean() * scale
        gradient = (d[..., 1:, :] - d[..., :-1, :]).abs().mul(weight[..., 1:, :]).mean() * scale
        gradient = gradient + (d[..., 1:] - d[..., :-1]).abs().mul(weight[..., 1:]).mean() * scale
        kl = 0.5 * (mean * mean + logvar.exp() - 1 - logvar).mean()
        (l1 + 2 * l2 + GRADIENT_WEIGHT * gradient + KL_WEIGHT * kl).backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, 1.0, foreach=True)
        optimizer.step()
        torch._foreach_lerp_(ema, [p.detach() for p in model.parameters()], 0.002)
        return torch.stack([d.abs().mean().detach(), d.pow(2).mean().detach(), kl.detach(),
                            mean.std().detach(), norm.detach()])

    return step


@torch.no_grad()
def evaluate(model, data, device, count=32, split="val", size=256, keep=4):
    """PSNR over the frame and inside the object's mask, by clip and by frame index."""
    frame_error, mask_error, pairs = [], [], []
    for first in range(0, count, 4):
        rgb, cover = data.render(split, np.arange(first, first + 4), size=size, coverage=True)
        x = to_video(torch.from_numpy(rgb).to(device))
        with torch.autocast(device, torch.bfloat16), torch.backends.cudnn.flags(benchmark=False):
            y = model.decode(model.encode(x)[0]).float().clamp(-1, 1)
        y = ((y + 1) * 127.5).round() / 255
        error = (y - (x + 1) / 2).pow(2).mean(1)  # [B, T, H, W]
        mask = torch.from_numpy(cover).to(device) > 127
        frame_error.append(error.mean((2, 3)).cpu())
        mask_error.append(((error * mask).sum((2, 3)) / mask.sum((2, 3)).clamp_min(1)).cpu())
        if first < keep:
            pairs.append((rgb, (y * 255).byte().permute(0, 2, 3, 4, 1).cpu().numpy()))
    db = lambda e: -10 * torch.log10(e.clamp_min(1e-10))
    frame, mask = torch.cat(frame_error), torch.cat(mask_error)
    clip_frame, clip_mask = db(frame.mean(1)), db(mask.mean(1))
    tenth = max(1, count // 10)
    thirds = [round(float(db(e.mean())), 2) for e in frame.mean(0).split(11)]
    mask_thirds = [round(float(db(e.mean())), 2) for e in mask.mean(0).split(11)]
    report = dict(split=split, clips=count, size=size,
                  psnr_frame=round(float(clip_frame.mean()), 2),
                  psnr_frame_worst_tenth=round(float(clip_frame.sort()[0][:tenth].mean()), 2),
                  psnr_object=round(float(clip_mask.mean()), 2),
                  psnr_object_worst_tenth=round(float(clip_mask.sort()[0][:tenth].mean()), 2),
                  psnr_frame_by_third=thirds, psnr_object_by_third=mask_thirds)
    return report, pairs


def ema_model(ema, device):
    model = WanVae(**CONFIG).to(device)
    for p, e in zip(model.parameters(), ema):
        p.data.copy_(e)
    return channels_last(model).eval()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--state", type=pathlib.Path, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--total", type=float, required=True)
    parser.add_argument("--peak-lr", type=float, default=6e-4)
    parser.add_argument("--eager", action="store_true")
    parser.add_argument("--benchmark-convolutions", action="store_true")
    parser.add_argument("--evaluate-only", action="store_true")
    parser.add_argument("--decoder-only", action="store_true",
                        help="train the decoder of STATE/vae_ema.safetensors on; latents stay as they are")
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = args.benchmark_convolutions
    data = moving_shapes.open_library(args.state / "synth")
    model = channels_last(WanVae(**CONFIG).to(device))
    for module in model.modules():  # residual branches start small, attention starts silent
        if hasattr(module, "to_qkv"):
            torch.nn.init.zeros_(module.proj.weight)
    phases, kept = PHASES, "vae"
    if args.decoder_only:
        from safetensors.torch import load_file

        phases, kept = DECODER_PHASES, "decoder"
        model.load_state_dict(load_file(str(args.state / "vae_ema.safetensors")))
        for part in (model.encoder, model.quant_conv):
            part.requires_grad_(False)
    parameters = list(model.parameters())
    ema = [p.detach().clone() for p in parameters]
    lr = torch.tensor(0.0, device=device)
    optimizer = torch.optim.AdamW([p for p in parameters if p.requires_grad], lr=lr, betas=(0.9, 0.95), weight_decay=1e-4,
                                  fused=device == "cuda", capturable=device == "cuda")
    step, elapsed = 0, 0.0
    resume = args.state / f"{kept}_model.pt"
    if resume.exists():
        state = torch.load(resume, map_location=device)
        model.load_state_dict(state["model"])
        for e, saved in zip(ema, state["ema"]):
            e.copy_(saved)
        step, elapsed = state["step"], state["elapsed"]
        slices.unpack_optimizer(
            optimizer, torch.load(args.state / f"{kept}_optimizer.pt", map_location=device), lr)
        torch.manual_seed(step)
    clock = slices.Clock(elapsed, args.seconds)
    run = make_step(model, ema, optimizer, device)
    while not args.evaluate_only and not clock.slice_over() and clock.elapsed() < args.total:
        phase = phase_of(phases, clock.elapsed() / args.total)
        end, frames, crop, count = phases[phase]
        source = batches(data, 1000 * phase + step, frames, crop, count)
        move = lambda b: [t.to(device, non_blocking=True) for t in b]
        captured = slices.CapturedStep(run, move(source.next()), not args.eager)
        print(f"phase {phase}: {frames} frames, {crop} pixels, {count} clips a step; "
              f"ready at {clock.elapsed():.0f}s", flush=True)
        shown, first = time.time(), step
        while clock.elapsed() < end * args.total and not clock.slice_over():
            lr.fill_(slices.learning_rate(args.peak_lr, clock.elapsed(), args.total, step))
            values = captured(*move(source.next()))
            step += 1
            if step % 10 == 0:
                torch.cuda.synchronize() if device == "cuda" else None
            if time.time() - shown > 20:
                l1, l2, kl, std, norm = values.tolist()
                rate = (step - first) / (time.time() - shown)
                print(f"{clock.elapsed():.0f}s step {step} l1 {l1:.4f} psnr "
                      f"{-10 * np.log10(l2 / 4):.2f} kl {kl:.2f} std {std:.2f} grad {norm:.2f} "
                      f"lr {float(lr):.1e} {rate:.1f} steps/s", flush=True)
                shown, first = time.time(), step
        source.stop()
        del captured
        report, _ = evaluate(ema_model(ema, device), data, device, 16)
        print("phase ends", json.dumps(report), flush=True)
    if not args.evaluate_only:
        slices.save(resume, dict(model=model.state_dict(), ema=[e.half() for e in ema], step=step,
                                 elapsed=clock.elapsed()))
        slices.save(args.state / f"{kept}_optimizer.pt", slices.pack_optimizer(optimizer))
    final = ema_model(ema, device)
    from safetensors.torch import save_file

    save_file({k: v.contiguous().float() for k, v in final.state_dict().items()},
              str(args.state / "vae_ema.safetensors"))
    report, pairs = evaluate(final, data, device, 64)
    print(json.dumps(dict(step=step, elapsed=round(clock.elapsed()), **report)), flush=True)
    shown = [clip for real, made in pairs for a, b in zip(real, made) for clip in (a, b)]
    moving_shapes.contact_sheet(shown, args.state / "vae_sheet.png", frames=6, columns=2)



if __name__ == "__main__":
    main()
