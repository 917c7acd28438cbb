"""Trains the default model's text encoder and diffusion transformer on MovingShapes latents.

    python3 scripts/training/train_dit.py --state STATE --seconds 480 --total 900

Needs STATE/vae_ema.safetensors (train_vae.py) and models/default/tokenizer. Rectified flow: x_s =
(1 - s) x0 + s noise, the model predicts noise - x0. The first part of the run sees the first three
latent frames of each clip (a causal VAE gives a clip's beginning the same latents), then all nine.
Writes STATE/dit_state.pt (resume), STATE/transformer.safetensors and STATE/text_encoder.safetensors
(weights averaged over training) and STATE/latent_statistics.json.
"""

import argparse
import json
import pathlib
import sys
import time

import numpy as np
import torch

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import moving_shapes
import slices
import train_vae
from wan_dit import Block, WanDit, rope_tables
from wan_text import Umt5Encoder
from wan_vae import WanVae, channels_last

ROOT = pathlib.Path(__file__).resolve().parents[2]
TRANSFORMER = dict(num_attention_heads=2, attention_head_dim=128, ffn_dim=1024, num_layers=8,
                   text_dim=256)
TEXT = dict(vocab_size=384, d_model=256, d_kv=64, d_ff=512, num_layers=2, num_heads=4)
# (share of the total at which the phase ends, latent frames, clips per step)
PHASES = [(0.30, 3, 192), (1.01, 9, 64)]
TEXT_IDS = 31  # one more row (the padding's) makes 32, a multiple of 8 for the attention mask
VARIANTS = 6
SHIFT = 3.0
EMPTY_SHARE = 0.1
CHECK_PROMPTS = [
    "a large red circle moves right on a plain grey background",
    "a small blue square moves left fast on a plain beige background",
    "a yellow star spins on a plain navy background",
    "a large green heart grows on a checkerboard background",
    "a pink ring circles clockwise on a horizontal gradient background",
    "a white cross moves up on a plain teal background",
    "a black hexagon bounces on a striped background",
    "an orange triangle moves down slowly on a vertical gradient background",
    "a purple circle shrinks on a plain beige background",
    "a small cyan star moves diagonally up right fast on a plain grey background",
    "a large black heart circles counter-clockwise on a plain teal background",
    "a red square moves diagonally down left on a plain navy background"]


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.text, self.dit = Umt5Encoder(**TEXT), WanDit(**TRANSFORMER)

    def forward(self, x, t, ids, mask, rope, block=None):
        return self.dit(x, t, self.text(ids, mask), mask, rope, block)


class Captions:
    """Token ids of every clip's captions, [clips, VARIANTS, TEXT_IDS] padded with 0."""

    def __init__(self, data, count):
        import sentencepiece

        self.processor = sentencepiece.SentencePieceProcessor(
            model_file=str(ROOT / "models/default/tokenizer/spiece.model"))
        self.ids = torch.stack([torch.stack([
            self.encode(data.caption("train", i, 0 if v == 0 else i * VARIANTS + v))
            for v in range(VARIANTS)]) for i in range(count)])

    def encode(self, text):
        ids = self.processor.encode(text)[:TEXT_IDS - 1] + [1]
        return torch.tensor(ids + [0] * (TEXT_IDS - len(ids)))


@torch.no_grad()
def encode_clips(vae, data, device, seconds, most=27000, batch=16):
    """Latent means [n, 16, 9, 32, 32] bfloat16 of the first clips of the training split."""
    start, latents = time.time(), []
    make = iter(range(0, most - batch + 1, batch))

    def render():
        first = next(make, None)
        if first is None:
            return None
        return torch.from_numpy(data.render("train", np.arange(first, first + batch)))

    source = slices.Prefetcher(render, depth=8)
    while time.time() - start < seconds:
        rgb = source.next()
        if rgb is None:
            break
        with torch.autocast(device, torch.bfloat16):
            mean, _ = vae.encode(train_vae.to_video(rgb.to(device)))
        latents.append(mean.bfloat16())
        if len(latents) % 8 == 0 and device == "cuda":
            torch.cuda.synchronize()
    source.stop()
    return torch.cat(latents)


def make_step(model, ema, optimizer, mean, std, frames, size, device, block):
    parameters = list(model.parameters())
    rope = rope_tables(frames, size // 2, size // 2, TRANSFORMER["attention_head_dim"], device)

    def step(latents, ids):
        x0 = (latents.float() - mean) / std
        mask = (ids > 0).long()
        s = torch.sigmoid(torch.randn(len(x0), device=device))
        s = SHIFT * s / (1 + (SHIFT - 1) * s)
        noise = torch.randn_like(x0)
        v = s[:, None, None, None, None]
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16, cache_enabled=False):
            out = model((1 - v) * x0 + v * noise, s * 1000, ids, mask, rope, block).float()
        loss = (out - (noise - x0)).pow(2).mean()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, 1.0, foreach=True)
        optimizer.step()
        torch._foreach_lerp_(ema, [p.detach() for p in parameters], 0.001)
        return torch.stack([loss.detach(), norm.detach()])

    return step


@torch.no_grad()
def sample(model, captions, prompts, mean, std, frames, size, device, steps=25, guidance=4.0,
           seed=0):
    """Euler on the shifted schedule; latents ready for the decoder."""
    rope = rope_tables(frames, size // 2, size // 2, TRANSFORMER["attention_head_dim"], device)
    n = len(prompts)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 16, frames, size, size, generator=generator).to(device)
    ids = torch.stack([captions.encode(p) for p in prompts] + [captions.encode("")] * n).to(device)
    mask = (ids > 0).long()
    s = torch.linspace(1, 0, steps + 1)
    s = (SHIFT * s / (1 + (SHIFT - 1) * s)).tolist()
    with torch.autocast(device, torch.bfloat16):
        for now, later in zip(s[:-1], s[1:]):
            t = torch.full((2 * n,), now * 1000, device=device)
            positive, negative = model(torch.cat([x, x]), t, ids, mask, rope).float().chunk(2)
            x = x + (later - now) * (negative + guidance * (positive - negative))
    return x * std + mean


@torch.no_grad()
def draw(model, vae, captions, mean, std, device, path, frames=9, size=32, **kwargs):
    z = sample(model, captions, CHECK_PROMPTS, mean, std, frames, size, device, **kwargs)
    clips = []
    with torch.autocast(device, torch.bfloat16):
        for one in z.split(2):
            y = vae.decode(one).float().clamp(-1, 1)
            clips += list(((y + 1) * 127.5).round().byte().permute(0, 2, 3, 4, 1).cpu().numpy())
    moving_shapes.contact_sheet([c[:, ::2, ::2] for c in clips], path, frames=6, columns=2)


def average_model(ema, device):
    model = Model().to(device).eval()
    for p, e in zip(model.parameters(), ema):
        p.data.copy_(e)
    return model


def compiled_block():
    """Block.forward compiled; falls back to the plain one where the compiler fails, and says so."""
    fast = torch.compile(Block.forward, dynamic=False)
    state = {"function": fast}

    def call(*args):
        try:
            return state["function"](*args)
        except Exception as error:
            if state["function"] is Block.forward:
                raise
            print("blocks not compiled:", repr(error)[:300], flush=True)
            state["function"] = Block.forward
            return Block.forward(*args)

    return call


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--state", type=pathlib.Path, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--total", type=float, required=True)
    parser.add_argument("--encode-seconds", type=float, default=60)
    parser.add_argument("--clips", type=int, default=27000)
    parser.add_argument("--size", type=int, default=32, help="latent rows and columns")
    parser.add_argument("--start-at", type=float, default=0.0,
                        help="seconds of --total already spent on the weights found in STATE")
    parser.add_argument("--peak-lr", type=float, default=1e-3)
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--eager", action="store_true")
    args = parser.parse_args()
    start = time.time()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    torch.set_float32_matmul_precision("high")
    data = moving_shapes.open_library(args.state / "synth")
    from safetensors.torch import load_file, save_file

    vae = WanVae(**train_vae.CONFIG)
    vae.load_state_dict(load_file(str(args.state / "vae_ema.safetensors")))
    vae = channels_last(vae.to(device)).eval()
    cached = args.state / "latents.pt"
    if cached.exists():
        latents = torch.load(cached, map_location=device)
    else:
        latents = encode_clips(vae, data, device, args.encode_seconds, args.clips)
        torch.save(latents, cached)
    statistics = args.state / "latent_statistics.json"
    if not statistics.exists():
        z = latents[:4000].float()
        statistics.write_text(json.dumps(dict(
            latents_mean=z.mean((0, 2, 3, 4)).tolist(), latents_std=z.std((0, 2, 3, 4)).tolist())))
    stats = json.loads(statistics.read_text())
    mean, std = (torch.tensor(stats[k], device=device).view(1, -1, 1, 1, 1)
                 for k in ("latents_mean", "latents_std"))
    print(f"{len(latents)} clips of latents at {time.time() - start:.0f}s; std",
          [round(v, 2) for v in stats["latents_std"]], flush=True)
    captions = Captions(data, len(latents))
    ids_all = captions.ids.to(device)
    print(f"captions ready at {time.time() - start:.0f}s", flush=True)

    model = Model().to(device)
    parameters = list(model.parameters())
    ema = [p.detach().clone() for p in parameters]
    lr = torch.tensor(0.0, device=device)
    optimizer = torch.optim.AdamW(parameters, lr=lr, betas=(0.9, 0.95), weight_decay=0.01,
                                  fused=device == "cuda", capturable=device == "cuda")
    step, elapsed = 0, 0.0
    resume = args.state / "dit_state.pt"
    if resume.exists():
        state = torch.load(resume, map_location=device)
        model.load_state_dict(state["model"])
        for e, saved in zip(ema, state["ema"]):
            e.copy_(saved)
        slices.unpack_optimizer(optimizer, state["optimizer"], lr)
        step, elapsed = state["step"], state["elapsed"]
        torch.manual_seed(step)
    elif (args.state / "transformer.safetensors").exists():  # averaged weights of an earlier run
        model.dit.load_state_dict(load_file(str(args.state / "transformer.safetensors")))
        model.text.load_state_dict(load_file(str(args.state / "text_encoder.safetensors")))
        for e, p in zip(ema, parameters):
            e.copy_(p.detach())
        elapsed = args.start_at
    clock = slices.Clock(elapsed, args.seconds - (time.time() - start))
    block = None if args.no_compile else compiled_block()
    generator = torch.Generator(device=device).manual_seed(step)

    def batch(frames, count):
        i = torch.randint(len(latents), (count,), device=device, generator=generator)
        k = torch.randint(VARIANTS, (count,), device=device, generator=generator)
        ids = ids_all[i, k]
        empty = torch.rand(count, 1, device=device, generator=generator) < EMPTY_SHARE
        return latents[i, :, :frames], torch.where(empty, ids_all.new_tensor([1] + [0] * (TEXT_IDS - 1)), ids)

    while not clock.slice_over() and clock.elapsed() < args.total:
        end, frames, count = next(p for p in PHASES if clock.elapsed() / args.total < p[0])
        run = make_step(model, ema, optimizer, mean, std, frames, args.size, device, block)
        captured = slices.CapturedStep(run, batch(frames, count), not args.eager)
        print(f"{frames} latent frames, {count} clips a step; ready at {clock.elapsed():.0f}s",
              flush=True)
        shown, first, losses = time.time(), step, []
        while clock.elapsed() < end * args.total and not clock.slice_over():
            lr.fill_(slices.learning_rate(args.peak_lr, clock.elapsed(), args.total, step,
                                          warmup=300, hold=0.5))
            values = captured(*batch(frames, count))
            step += 1
            if step % 10 == 0:
                losses.append(values.clone())
                torch.cuda.synchronize() if device == "cuda" else None
            if time.time() - shown > 20 and losses:
                loss, norm = torch.stack(losses).mean(0).tolist()
                print(f"{clock.elapsed():.0f}s step {step} loss {loss:.4f} grad {norm:.2f} "
                      f"lr {float(lr):.1e} {(step - first) / (time.time() - shown):.1f} steps/s",
                      flush=True)
                shown, first, losses = time.time(), step, []
        del captured

    slices.save(resume, dict(model=model.state_dict(), ema=ema, step=step, elapsed=clock.elapsed(),
                             optimizer=slices.pack_optimizer(optimizer)))
    final = average_model(ema, device)
    for part, name in ((final.dit, "transformer"), (final.text, "text_encoder")):
        save_file({k: v.to(torch.bfloat16).contiguous() for k, v in part.state_dict().items()},
                  str(args.state / f"{name}.safetensors"))
    print(f"step {step}, {clock.elapsed():.0f}s of training", flush=True)
    draw(final, vae, captions, mean, std, device, args.state / "dit_sheet.png", size=args.size)


if __name__ == "__main__":
    main()
