#!/usr/bin/env python3
"""Writes tests/data/golden/vae_*.safetensors: miniature Wan 2.1 VAEs with random weights, a latent
and the frames Diffusers decodes from it, before the clamp.

Each file holds the weights under their checkpoint names beside golden.latent [1, C, T, h, w]
(normalised) and golden.values [3, F, H, W]. The decoder is causal, so the first t latent frames alone
give the first frames of golden.values; that is asserted here for every t.
"""

import argparse
import json
import pathlib

import diffusers
import torch
from diffusers import AutoencoderKLWan
from safetensors.torch import save_file

# fmt: off
CASES = {
    "shallow": dict(
        seed=11, size=(5, 3, 5), keep_encoder=False, dtype=torch.float32,
        config=dict(base_dim=4, z_dim=4, dim_mult=[1, 2, 2, 4], num_res_blocks=1,
                    latents_mean=[0.3, -0.7, 0.05, 1.1], latents_std=[1.5, 0.8, 2.25, 3.0])),
    "even_widths": dict(
        seed=12, size=(5, 4, 3), keep_encoder=True, dtype=torch.float32,
        config=dict(base_dim=4, z_dim=16, dim_mult=[1, 1, 2, 2], num_res_blocks=2)),
    "wan_widths": dict(
        seed=13, size=(5, 2, 4), keep_encoder=False, dtype=torch.bfloat16,
        config=dict(base_dim=6, z_dim=16, dim_mult=[1, 2, 4, 4], num_res_blocks=2)),
    "own_decoder_width": dict(
        seed=14, size=(5, 2, 3), keep_encoder=False, dtype=torch.float16,
        config=dict(base_dim=4, decoder_base_dim=6, z_dim=8, dim_mult=[1, 2, 2], num_res_blocks=1,
                    temperal_downsample=[True, False], latents_mean=[0.1 * i for i in range(8)],
                    latents_std=[1.0 + 0.25 * i for i in range(8)])),
}
# fmt: on


def randomise(model, generator):
    """Weights that keep activations near unit size; norms and biases away from their defaults."""
    for name, parameter in model.state_dict().items():
        value = torch.rand(parameter.shape, generator=generator) * 2 - 1
        if name.endswith(".bias"):
            value *= 0.25
        elif name.endswith(".gamma"):
            value = 1 + 0.25 * value
        else:
            value *= (3 / parameter[0].numel()) ** 0.5
        parameter.copy_(value)


def decode(model, latent):
    """[1, C, T, h, w] normalised -> [3, F, H, W] unclamped, chunk by chunk as Diffusers does."""
    shape = (1, -1, 1, 1, 1)
    mean = torch.tensor(model.config.latents_mean).view(shape)
    std = torch.tensor(model.config.latents_std).view(shape)
    model.clear_cache()
    z = model.post_quant_conv(latent * std + mean)
    chunks = []
    for i in range(z.shape[2]):
        model._conv_idx = [0]
        chunks.append(
            model.decoder(
                z[:, :, i : i + 1],
                feat_cache=model._feat_map,
                feat_idx=model._conv_idx,
                first_chunk=i == 0,
            )
        )
    values = torch.cat(chunks, 2)
    clamped = model.decode(latent * std + mean).sample
    assert torch.equal(values.clamp(-1, 1), clamped)
    return values[0]


def make(name, case, folder):
    generator = torch.Generator().manual_seed(case["seed"])
    model = AutoencoderKLWan(**case["config"]).eval()
    randomise(model, generator)
    for parameter in model.parameters():  # the values the file can hold, computed with in float32
        parameter.copy_(parameter.to(case["dtype"]))
    latent = torch.randn(1, case["config"]["z_dim"], *case["size"], generator=generator)
    values = decode(model, latent)
    for frames in range(1, latent.shape[2]):
        part = decode(model, latent[:, :, :frames])
        torch.testing.assert_close(part, values[:, : part.shape[1]])
    tensors = {
        key: value.to(case["dtype"]).contiguous()
        for key, value in model.state_dict().items()
        if case["keep_encoder"] or not key.startswith(("encoder.", "quant_conv."))
    }
    tensors["golden.latent"] = latent
    tensors["golden.values"] = values.contiguous()
    # One key: safetensors writes several in no fixed order, and the file should be reproducible.
    origin = {
        "diffusers": diffusers.__version__,
        "torch": torch.__version__.split("+")[0],
        "seed": case["seed"],
        "config": case["config"],
    }
    path = folder / f"vae_{name}.safetensors"
    save_file(tensors, path, {"golden": json.dumps(origin)})
    print(f"{path.name}: {path.stat().st_size} bytes, rms {values.square().mean().sqrt():.4f}")


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=pathlib.Path, default=root / "tests/data/golden")
    args = parser.parse_args()
    torch.set_num_threads(1)  # the same sums every time
    with torch.no_grad():
        for name, case in CASES.items():
            make(name, case, args.out)


if __name__ == "__main__":
    main()
