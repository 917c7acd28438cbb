"""Trains the default model's text encoder and diffusion transformer on MovingShapes latents.

    python3 scripts/training/train_dit.py --state STATE --seconds 480 --total 900
    torchrun --nproc-per-node 4 scripts/training/train_dit.py --state STATE --seconds 480 --total 900

With torchrun each GPU holds and trains on its own share of the clips; gradients are averaged. Needs STATE/vae_ema.safetensors (train_vae.py) and models/default/tokenizer. Rectified flow: x_s =
(1 - s) x0 + s noise, the model predicts noise - x0. The first part of the run sees the first three
latent frames of each clip (a causal VAE gives a clip's beginning the same latents), then all nine.
Writes STATE/latents_<rank>.pt, STATE/dit_state.pt (resume), STATE/transformer.safetensors and STATE/text_encoder.safetensors
(weights averaged over training) and STATE/latent_statistics.json.
"""

import argparse
import json
import os
import pathlib
import sys
import time

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import moving_shapes
import slices
import train_vae
from muon import Muon
from wan_dit import Block, WanDit, rope_tables
from wan_text import Umt5Encoder
from wan_vae import WanVae, channels_last

ROOT = pathlib.Path(__file__).resolve().parents[2]
TRANSFORMER = dict(num_attention_heads=2, attention_head_dim=128, ffn_dim=1024, num_layers=8,
                   text_dim=256)
TEXT = dict(vocab_size=384, d_model=256, d_kv=64, d_ff=512, num_layers=2, num_heads=4)
# (share of the total at which the phase ends, latent frames, clips per step); a run that continues
# finished weights has the last phase only
PHASES = [(0.30, 3, 192), (1.01, 9, 64)]
TEXT_IDS = 31  # one more row (the padding's) makes 32, a multiple of 8 for the attention mask
VARIANTS = 6
SHIFT, SAMPLE_SHIFT = 3.0, 8.0
# The object is a tenth of a frame and all of what a prompt asks for. Its latents weigh 1 + this times
# (1 - sigma) in the loss: nothing where noise hides its place, so that no place is preferred.
OBJECT_WEIGHT = 4.0
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
    """Token ids of the captions of some clips, [clips, VARIANTS, TEXT_IDS] padded with 0."""

    def __init__(self, data, clips):
        import sentencepiece

        self.processor = sentencepiece.SentencePieceProcessor(
            model_file=str(ROOT / "models/default/tokenizer/spiece.model"))
        self.ids = torch.stack([torch.stack([
            self.encode(data.caption("train", i, 0 if v == 0 else i * VARIANTS + v))
            for v in range(VARIANTS)]) for i in clips])

    def encode(self, text):
        ids = self.processor.encode(text)[:TEXT_IDS - 1] + [1]
        return torch.tensor(ids + [0] * (TEXT_IDS - len(ids)))


@torch.no_grad()
def encode_clips(vae, data, device, seconds, most, rank, world, batch=16):
    """(indices [n], latent means [n, 16, 9, 32, 32] bfloat16, object [n, 9, 32, 32] uint8, 1 where a
    latent sees the object): this rank's share of the first `most` clips of the training split, as far
    as it comes in `seconds`."""
    start, latents, objects = time.time(), [], []
    firsts = range(rank * batch, most - batch + 1, world * batch)
    make = iter(firsts)

    def render():
        first = next(make, None)
        if first is None:
            return None
        rgb, cover = data.render("train", np.arange(first, first + batch), coverage=True)
        return torch.from_numpy(rgb), torch.from_numpy(cover)

    source = slices.Prefetcher(render, depth=8)
    while time.time() - start < seconds:
        clips = source.next()
        if clips is None:
            break
        rgb, cover = clips
        with torch.autocast(device, torch.bfloat16):
            mean, _ = vae.encode(train_vae.to_video(rgb.to(device)))
        latents.append(mean.bfloat16())
        seen = (cover.to(device) > 0).float()  # [B, 33, H, W]; a latent frame is 1, then 4 frames
        seen = F.pad(seen, (0, 0, 0, 0, 3, 0)).unflatten(1, (-1, 4)).amax(2)
        objects.append(F.max_pool2d(seen, 8).byte())
        if len(latents) % 8 == 0 and device == "cuda":
            torch.cuda.synchronize()
    source.stop()
    indices = [f + i for f in firsts[:len(latents)] for i in range(batch)]
    return torch.tensor(indices), torch.cat(latents), torch.cat(objects)


class FlatGradients:
    """The gradients of all parameters as views of one buffer: one sum over the GPUs, one norm."""

    def __init__(self, parameters):
        self.flat = torch.zeros(sum(p.numel() for p in parameters), device=parameters[0].device)
        start = 0
        for p in parameters:
            p.grad = self.flat[start:start + p.numel()].view_as(p)
            start += p.numel()

    def average(self):
        if dist.is_initialized():
            dist.all_reduce(self.flat)
            self.flat.div_(dist.get_world_size())


class Optimizers:
    """Muon for the matrices of the blocks, AdamW for the rest; weights averaged after each step."""

    def __init__(self, model, lr, device, use_muon):
        self.parameters = list(model.parameters())
        self.gradients = FlatGradients(self.parameters)
        self.ema = [p.detach().clone() for p in self.parameters]
        blocks = [*model.dit.blocks.parameters(), *model.text.encoder.block.parameters()]
        matrices = [p for p in blocks if p.ndim == 2 and min(p.shape) >= 64] if use_muon else []
        chosen = {id(p) for p in matrices}
        self.adam = torch.optim.AdamW(
            [p for p in self.parameters if id(p) not in chosen], lr=lr, betas=(0.9, 0.95),
            weight_decay=0.01, fused=device == "cuda", capturable=device == "cuda")
        self.muon = Muon(matrices, lr)

    @torch.no_grad()
    def step(self):
        """Clips, steps, clears; returns the norm of the gradient."""
        flat = self.gradients.flat
        norm = flat.norm()
        flat.mul_((1.0 / (norm + 1e-6)).clamp(max=1.0))
        self.adam.step()
        self.muon.step()
        flat.zero_()
        torch._foreach_lerp_(self.ema, [p.detach() for p in self.parameters], 0.001)
        return norm

    def state_dict(self):
        return dict(adam=slices.pack_optimizer(self.adam), muon=self.muon.state_dict(), ema=self.ema)

    def load_state_dict(self, state, lr):
        slices.unpack_optimizer(self.adam, state["adam"], lr)
        self.muon.load_state_dict(state["muon"])
        self.load_averages(state["ema"])

    def load_averages(self, values):
        for e, saved in zip(self.ema, values):
            e.copy_(saved.detach())


def make_loss(model, mean, std, frames, size, device, block):
    """(latents, objects, ids) -> loss, gradients added to the parameters'."""
    rope = rope_tables(frames, size // 2, size // 2, TRANSFORMER["attention_head_dim"], device)

    def backward(latents, objects, ids):
        x0 = (latents.float() - mean) / std
        mask = (ids > 0).long()
        s = torch.sigmoid(torch.randn(len(x0), device=device))
        s = SHIFT * s / (1 + (SHIFT - 1) * s)
        noise = torch.randn_like(x0)
        v = s[:, None, None, None, None]
        with torch.autocast(device, torch.bfloat16, cache_enabled=False):
            out = model((1 - v) * x0 + v * noise, s * 1000, ids, mask, rope, block).float()
        weight = 1 + OBJECT_WEIGHT * (1 - v) * objects.float()[:, None]
        loss = ((out - (noise - x0)).pow(2) * weight).mean() / weight.mean()
        loss.backward()
        return loss.detach()

    return backward


@torch.no_grad()
def sample(model, captions, prompts, mean, std, frames, size, device, steps=20, guidance=3.5,
           seed=0):
    """Euler on the shifted schedule; latents ready for the decoder."""
    rope = rope_tables(frames, size // 2, size // 2, TRANSFORMER["attention_head_dim"], device)
    n = len(prompts)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 16, frames, size, size, generator=generator).to(device)
    ids = torch.stack([captions.encode(p) for p in prompts] + [captions.encode("")] * n).to(device)
    mask = (ids > 0).long()
    s = torch.linspace(1, 0, steps + 1)
    s = (SAMPLE_SHIFT * s / (1 + (SAMPLE_SHIFT - 1) * s)).tolist()
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
    parser.add_argument("--adamw", action="store_true", help="AdamW for all weights, no Muon")
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--eager", action="store_true")
    parser.add_argument("--encode-only", action="store_true")
    args = parser.parse_args()
    start = time.time()
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
    if world > 1:
        dist.init_process_group("nccl" if device == "cuda" else "gloo")
    say = (lambda *text: print(*text, flush=True)) if rank == 0 else lambda *text: None
    torch.manual_seed(0)
    torch.set_float32_matmul_precision("high")
    data = moving_shapes.open_library(args.state / f"synth_{rank}")
    from safetensors.torch import load_file, save_file

    vae = WanVae(**train_vae.CONFIG)
    vae.load_state_dict(load_file(str(args.state / "vae_ema.safetensors")))
    vae = channels_last(vae.to(device)).eval()
    cached = args.state / f"latents_{rank}.pt"
    if cached.exists():
        indices, latents, objects = torch.load(cached, map_location=device)
    else:
        indices, latents, objects = encode_clips(vae, data, device, args.encode_seconds, args.clips,
                                                 rank, world)
        torch.save((indices, latents, objects), cached)
    statistics = args.state / "latent_statistics.json"
    if not statistics.exists() and rank == 0:
        z = latents[:4000].float()
        statistics.write_text(json.dumps(dict(
            latents_mean=z.mean((0, 2, 3, 4)).tolist(), latents_std=z.std((0, 2, 3, 4)).tolist())))
    if world > 1:
        dist.barrier()
    say(f"{len(latents)} clips of latents on each of {world} at {time.time() - start:.0f}s")
    if args.encode_only:
        return
    stats = json.loads(statistics.read_text())
    mean, std = (torch.tensor(stats[k], device=device).view(1, -1, 1, 1, 1)
                 for k in ("latents_mean", "latents_std"))
    captions = Captions(data, indices.tolist())
    ids_all = captions.ids.to(device)
    say(f"captions ready at {time.time() - start:.0f}s")

    model = Model().to(device)
    step, elapsed, state, phases = 0, 0.0, None, PHASES
    resume = args.state / "dit_state.pt"
    if resume.exists():
        state = torch.load(resume, map_location=device)
        model.load_state_dict(state["model"])
        step, elapsed, phases = state["step"], state["elapsed"], state["phases"]
    elif (args.state / "transformer.safetensors").exists():  # averaged weights of an earlier run
        model.dit.load_state_dict(load_file(str(args.state / "transformer.safetensors")))
        model.text.load_state_dict(load_file(str(args.state / "text_encoder.safetensors")))
        elapsed, phases = args.start_at, PHASES[-1:]
    lr = torch.tensor(0.0, device=device)
    optimizers = Optimizers(model, lr, device, use_muon=not args.adamw)
    if state:
        optimizers.load_state_dict(state["optimizers"], lr)
    torch.manual_seed(step * world + rank)
    generator = torch.Generator(device=device).manual_seed(step * world + rank)
    empty_ids = torch.tensor([1] + [0] * (TEXT_IDS - 1), device=device)
    clock = slices.Clock(elapsed, args.seconds - (time.time() - start))
    block = None if args.no_compile else compiled_block()

    def batch(frames, count):
        i = torch.randint(len(latents), (count,), device=device, generator=generator)
        k = torch.randint(VARIANTS, (count,), device=device, generator=generator)
        empty = torch.rand(count, 1, device=device, generator=generator) < EMPTY_SHARE
        return latents[i, :, :frames], objects[i, :frames], torch.where(empty, empty_ids, ids_all[i, k])

    def agreed(seconds, over):
        """Rank 0's clock, so that all ranks leave a loop at the same step."""
        if world == 1:
            return seconds, over
        both = torch.tensor([seconds, float(over)], device=device)
        dist.broadcast(both, 0)
        seconds, over = both.tolist()
        return seconds, over > 0

    seconds, over = agreed(clock.elapsed(), clock.slice_over())
    while not over and seconds < args.total:
        end, frames, count = next(p for p in phases if seconds / args.total < p[0])
        run = make_loss(model, mean, std, frames, args.size, device, block)
        backward = slices.CapturedStep(run, batch(frames, count), not args.eager)
        optimizers.gradients.flat.zero_()
        lr.zero_()
        update = slices.CapturedStep(optimizers.step, (), not args.eager)
        say(f"{frames} latent frames, {count} clips a step on each; ready at {clock.elapsed():.0f}s")
        shown, first, losses = time.time(), step, []
        while seconds < end * args.total and not over:
            lr.fill_(slices.learning_rate(args.peak_lr, seconds, args.total, step,
                                          warmup=300, hold=0.5))
            loss = backward(*batch(frames, count))
            optimizers.gradients.average()
            norm = update()
            step += 1
            if step % 10 == 0:
                losses.append(torch.stack([loss, norm]))
                seconds, over = agreed(clock.elapsed(), clock.slice_over())
            if time.time() - shown > 20 and losses:
                mean_loss, norm = torch.stack(losses).mean(0).tolist()
                say(f"{clock.elapsed():.0f}s step {step} loss {mean_loss:.4f} grad {norm:.2f} "
                    f"lr {float(lr):.1e} {(step - first) / (time.time() - shown):.1f} steps/s")
                shown, first, losses = time.time(), step, []
        del backward, update

    if rank > 0:
        return
    slices.save(resume, dict(model=model.state_dict(), step=step, elapsed=clock.elapsed(), phases=phases,
                             optimizers=optimizers.state_dict()))
    final = average_model(optimizers.ema, device)
    for part, name in ((final.dit, "transformer"), (final.text, "text_encoder")):
        save_file({k: v.to(torch.bfloat16).contiguous() for k, v in part.state_dict().items()},
                  str(args.state / f"{name}.safetensors"))
    print(f"step {step}, {clock.elapsed():.0f}s of training", flush=True)
    draw(final, vae, captions, mean, std, device, args.state / "dit_sheet.png", size=args.size)


if __name__ == "__main__":
    main()
