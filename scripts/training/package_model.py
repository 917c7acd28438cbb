"""Assembles models/default, a Diffusers directory, from the results of training.

    python3 scripts/training/package_model.py --state STATE --out models/default

STATE holds vae_ema.safetensors, transformer.safetensors, text_encoder.safetensors and
latent_statistics.json; OUT already holds tokenizer/. The VAE is stored as F16 (its weights span few
binades, so the longer mantissa is worth more than bfloat16's range), the rest as it was trained.
"""

import argparse
import json
import pathlib
import sys

import torch
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import moving_shapes
import train_dit
import train_vae

DEFAULTS = dict(width=256, height=256, num_frames=33, fps=16.0, num_steps=20, guidance_scale=3.5,
                shift=8.0, negative_prompt="", max_text_tokens=512)


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--state", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    args = parser.parse_args()
    stats = json.loads((args.state / "latent_statistics.json").read_text())
    version = "0.37.0"  # of the layout: the keys that Diffusers of this version writes
    write_json(args.out / "model_index.json", {
        "_class_name": "WanPipeline", "_diffusers_version": version,
        "scheduler": ["diffusers", "UniPCMultistepScheduler"],
        "text_encoder": ["transformers", "UMT5EncoderModel"],
        "tokenizer": ["transformers", "T5TokenizerFast"],
        "transformer": ["diffusers", "WanTransformer3DModel"],
        "vae": ["diffusers", "AutoencoderKLWan"]})
    write_json(args.out / "psa_gen.json", DEFAULTS)
    write_json(args.out / "scheduler/scheduler_config.json", {
        "_class_name": "UniPCMultistepScheduler", "_diffusers_version": version,
        "prediction_type": "flow_prediction", "use_flow_sigmas": True,
        "flow_shift": DEFAULTS["shift"], "solver_order": 2, "solver_type": "bh2",
        "predict_x0": True, "lower_order_final": True, "disable_corrector": [],
        "num_train_timesteps": 1000, "final_sigmas_type": "zero", "timestep_spacing": "linspace"})
    write_json(args.out / "text_encoder/config.json", {
        "architectures": ["UMT5EncoderModel"], "model_type": "umt5", **train_dit.TEXT,
        "relative_attention_num_buckets": 32, "relative_attention_max_distance": 128,
        "layer_norm_epsilon": 1e-6, "feed_forward_proj": "gated-gelu", "dense_act_fn": "gelu_new",
        "is_gated_act": True, "dropout_rate": 0.0, "pad_token_id": 0, "eos_token_id": 1,
        "decoder_start_token_id": 0, "torch_dtype": "bfloat16"})
    write_json(args.out / "transformer/config.json", {
        "_class_name": "WanTransformer3DModel", "_diffusers_version": version,
        "patch_size": [1, 2, 2], **train_dit.TRANSFORMER, "in_channels": 16, "out_channels": 16,
        "freq_dim": 256, "cross_attn_norm": True, "qk_norm": "rms_norm_across_heads", "eps": 1e-6,
        "rope_max_seq_len": 1024})
    write_json(args.out / "vae/config.json", {
        "_class_name": "AutoencoderKLWan", "_diffusers_version": version, **train_vae.CONFIG,
        "attn_scales": [], "temperal_downsample": [False, True, True], "dropout": 0.0, **stats})

    trained_on = {"format": "pt", "data": "MovingShapes",
                  "data_version": str(moving_shapes.open_library().version)}
    for source, target, dtype in (
            ("text_encoder", "text_encoder/model.safetensors", torch.bfloat16),
            ("transformer", "transformer/diffusion_pytorch_model.safetensors", torch.bfloat16),
            ("vae_ema", "vae/diffusion_pytorch_model.safetensors", torch.float16)):
        tensors = load_file(str(args.state / f"{source}.safetensors"))
        save_file({k: v.to(dtype).contiguous() for k, v in tensors.items()},
                  str(args.out / target), metadata=trained_on)
    size = sum(p.stat().st_size for p in args.out.rglob("*") if p.is_file())
    print(f"{args.out}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
