#!/usr/bin/env python3
"""Writes a checkpoint of random weights in the Diffusers layout of Wan 2.1 text-to-video.

    make_random_checkpoint.py OUT            # shape of Wan2.1-T2V-1.3B with a UMT5-XXL shaped encoder
    make_random_checkpoint.py OUT --14b      # the same of Wan2.1-T2V-14B
    make_random_checkpoint.py OUT --tiny     # a model of about 1 MB for the tests
    make_random_checkpoint.py OUT --hollow   # zeros that take no room on the disk: for --plan and info

Tensor names, shapes and file layout are those Diffusers and transformers write, so both this program
and diffusers.WanPipeline.from_pretrained read the result. Weights are scaled so that activations stay
finite and of order one; the videos mean nothing. Needs numpy only; memory stays under 1 GB.
"""

import argparse
import hashlib
import json
import math
import pathlib
import shutil
import struct
import sys

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
CHUNK = 1 << 24  # values made at a time

FULL = {
    "text_encoder": dict(vocab_size=256384, d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64),
    "transformer": dict(heads=12, head_dim=128, channels=16, text_dim=4096, freq_dim=256, ffn_dim=8960, num_layers=30),
    "vae": dict(base_dim=96, z_dim=16, dim_mult=[1, 2, 4, 4], num_res_blocks=2, temporal=[False, True, True]),
    "dtypes": dict(text_encoder="BF16", transformer="F32", vae="F32"),
    "shards": dict(text_encoder=5, transformer=2),
}
LARGE = {**FULL, "transformer": {**FULL["transformer"], "heads": 40, "ffn_dim": 13824, "num_layers": 40}}
# One head of 128 and both of everything that is counted: layers, stages with and without time.
TINY = {
    "text_encoder": dict(vocab_size=384, d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2),
    "transformer": dict(heads=1, head_dim=128, channels=8, text_dim=32, freq_dim=32, ffn_dim=64, num_layers=2),
    "vae": dict(base_dim=4, z_dim=8, dim_mult=[1, 1, 2, 2], num_res_blocks=1, temporal=[False, True, True]),
    "dtypes": dict(text_encoder="BF16", transformer="BF16", vae="F16"),
    "shards": dict(text_encoder=1, transformer=2),
}
WAN_MEAN = [-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508,
            0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921]  # fmt: skip
WAN_STD = [2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743,
           3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160]  # fmt: skip


def weight(shape, gain=1.0):
    """(shape, mean, standard deviation) of a matrix or kernel that keeps the scale of its input."""
    return (shape, 0.0, gain / math.sqrt(math.prod(shape[1:])))


def linear(name, inputs, outputs, gain=1.0):
    return {f"{name}.weight": weight([outputs, inputs], gain), f"{name}.bias": ([outputs], 0.0, 0.02)}


def conv(name, inputs, outputs, *kernel):
    return {f"{name}.weight": weight([outputs, inputs, *kernel]), f"{name}.bias": ([outputs], 0.0, 0.02)}


def scale(name, *shape):
    return {name: (list(shape), 1.0, 0.05)}


def text_encoder_tensors(c):
    inner = c["num_heads"] * c["d_kv"]
    tensors = {"shared.weight": ([c["vocab_size"], c["d_model"]], 0.0, 1.0)}
    for n in range(c["num_layers"]):
        attention = f"encoder.block.{n}.layer.0"
        # Scores are not divided by sqrt(d_kv), so the queries are made small instead.
        tensors[f"{attention}.SelfAttention.q.weight"] = weight([inner, c["d_model"]], c["d_kv"] ** -0.5)
        tensors[f"{attention}.SelfAttention.k.weight"] = weight([inner, c["d_model"]])
        tensors[f"{attention}.SelfAttention.v.weight"] = weight([inner, c["d_model"]])
        tensors[f"{attention}.SelfAttention.o.weight"] = weight([c["d_model"], inner])
        tensors[f"{attention}.SelfAttention.relative_attention_bias.weight"] = ([32, c["num_heads"]], 0.0, 0.5)
        tensors |= scale(f"{attention}.layer_norm.weight", c["d_model"])
        feed_forward = f"encoder.block.{n}.layer.1"
        tensors[f"{feed_forward}.DenseReluDense.wi_0.weight"] = weight([c["d_ff"], c["d_model"]])
        tensors[f"{feed_forward}.DenseReluDense.wi_1.weight"] = weight([c["d_ff"], c["d_model"]])
        tensors[f"{feed_forward}.DenseReluDense.wo.weight"] = weight([c["d_model"], c["d_ff"]])
        tensors |= scale(f"{feed_forward}.layer_norm.weight", c["d_model"])
    return tensors | scale("encoder.final_layer_norm.weight", c["d_model"])


def transformer_tensors(c):
    d = c["heads"] * c["head_dim"]
    embed = "condition_embedder"
    tensors = {"scale_shift_table": ([1, 2, d], 0.0, d**-0.5)}
    tensors |= conv("patch_embedding", c["channels"], d, 1, 2, 2)
    tensors |= linear(f"{embed}.time_embedder.linear_1", c["freq_dim"], d)
    tensors |= linear(f"{embed}.time_embedder.linear_2", d, d)
    tensors |= linear(f"{embed}.time_proj", d, 6 * d, 0.5)
    tensors |= linear(f"{embed}.text_embedder.linear_1", c["text_dim"], d)
    tensors |= linear(f"{embed}.text_embedder.linear_2", d, d)
    for n in range(c["num_layers"]):
        block = f"blocks.{n}"
        tensors[f"{block}.scale_shift_table"] = ([1, 6, d], 0.0, d**-0.5)
        tensors |= scale(f"{block}.norm2.weight", d) | {f"{block}.norm2.bias": ([d], 0.0, 0.02)}
        for attention in ("attn1", "attn2"):
            for part in ("to_q", "to_k", "to_v", "to_out.0"):
                tensors |= linear(f"{block}.{attention}.{part}", d, d)
            for part in ("norm_q", "norm_k"):
                tensors |= scale(f"{block}.{attention}.{part}.weight", d)
        tensors |= linear(f"{block}.ffn.net.0.proj", d, c["ffn_dim"])
        tensors |= linear(f"{block}.ffn.net.2", c["ffn_dim"], d)
    return tensors | linear("proj_out", d, 4 * c["channels"])


def residual(name, inputs, outputs):
    tensors = scale(f"{name}.norm1.gamma", inputs, 1, 1, 1) | scale(f"{name}.norm2.gamma", outputs, 1, 1, 1)
    tensors |= conv(f"{name}.conv1", inputs, outputs, 3, 3, 3) | conv(f"{name}.conv2", outputs, outputs, 3, 3, 3)
    if inputs != outputs:
        tensors |= conv(f"{name}.conv_shortcut", inputs, outputs, 1, 1, 1)
    return tensors


def middle(name, d):
    tensors = residual(f"{name}.resnets.0", d, d) | residual(f"{name}.resnets.1", d, d)
    tensors |= scale(f"{name}.attentions.0.norm.gamma", d, 1, 1)
    tensors |= conv(f"{name}.attentions.0.to_qkv", d, 3 * d, 1, 1)
    return tensors | conv(f"{name}.attentions.0.proj", d, d, 1, 1)


def vae_decoder_tensors(c):
    dims = [c["base_dim"] * m for m in [c["dim_mult"][-1], *reversed(c["dim_mult"])]]
    temporal = list(reversed(c["temporal"]))
    tensors = conv("decoder.conv_in", c["z_dim"], dims[0], 3, 3, 3) | middle("decoder.mid_block", dims[0])
    for stage, (inputs, outputs) in enumerate(zip(dims, dims[1:])):
        block = f"decoder.up_blocks.{stage}"
        for n in range(c["num_res_blocks"] + 1):
            first = inputs if stage == 0 else inputs // 2  # the upsampler before it halves the channels
            tensors |= residual(f"{block}.resnets.{n}", first if n == 0 else outputs, outputs)
        if stage + 1 < len(c["dim_mult"]):
            tensors |= conv(f"{block}.upsamplers.0.resample.1", outputs, outputs // 2, 3, 3)
            if temporal[stage]:
                tensors |= conv(f"{block}.upsamplers.0.time_conv", outputs, 2 * outputs, 3, 1, 1)
    tensors |= scale("decoder.norm_out.gamma", dims[-1], 1, 1, 1)
    return tensors | conv("decoder.conv_out", dims[-1], 3, 3, 3, 3)


def vae_encoder_tensors(c):
    dims = [c["base_dim"] * m for m in [1, *c["dim_mult"]]]
    tensors = conv("encoder.conv_in", 3, dims[0], 3, 3, 3)
    count = 0  # the modules of all stages are numbered in one row
    for stage, (inputs, outputs) in enumerate(zip(dims, dims[1:])):
        for n in range(c["num_res_blocks"]):
            tensors |= residual(f"encoder.down_blocks.{count}", inputs if n == 0 else outputs, outputs)
            count += 1
        if stage + 1 < len(c["dim_mult"]):
            tensors |= conv(f"encoder.down_blocks.{count}.resample.1", outputs, outputs, 3, 3)
            if c["temporal"][stage]:
                tensors |= conv(f"encoder.down_blocks.{count}.time_conv", outputs, outputs, 3, 1, 1)
            count += 1
    tensors |= middle("encoder.mid_block", dims[-1]) | scale("encoder.norm_out.gamma", dims[-1], 1, 1, 1)
    return tensors | conv("encoder.conv_out", dims[-1], 2 * c["z_dim"], 3, 3, 3)


def vae_tensors(c):
    z = c["z_dim"]
    tensors = conv("quant_conv", 2 * z, 2 * z, 1, 1, 1) | conv("post_quant_conv", z, z, 1, 1, 1)
    return tensors | vae_decoder_tensors(c) | vae_encoder_tensors(c)


def to_bytes(values, dtype):
    if dtype == "F32":
        return values.astype("<f4").tobytes()
    if dtype == "F16":
        return values.astype("<f2").tobytes()
    bits = values.view(np.uint32)  # bfloat16: round to nearest, ties to even
    bits = (bits + (0x7FFF + ((bits >> 16) & 1))) >> 16
    return bits.astype("<u2").tobytes()


def write_file(path, tensors, dtype, seed):
    """Without a seed the file is hollow."""
    size = 4 if dtype == "F32" else 2
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, (shape, _, _) in tensors.items():
        begin, end = end, end + math.prod(shape) * size
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        if seed is None:
            out.truncate(8 + len(text) + end)
            return end
        for name, (shape, mean, deviation) in tensors.items():
            # Each tensor has its own stream, so that its values do not depend on the sharding.
            digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
            random = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))
            for begin in range(0, math.prod(shape), CHUNK):
                values = random.random(min(CHUNK, math.prod(shape) - begin), dtype=np.float32)
                values -= 0.5  # uniform with deviation 1/sqrt(12): three times as quick as normal
                values *= deviation * math.sqrt(12.0)
                values += mean
                out.write(to_bytes(values, dtype))
    return end


def write_component(directory, stem, tensors, dtype, shards, seed):
    """One file, or shards of about equal size with their index."""
    directory.mkdir(parents=True, exist_ok=True)
    tensors = dict(sorted(tensors.items()))
    if shards == 1:
        write_file(directory / f"{stem}.safetensors", tensors, dtype, seed)
        return
    total, filled, parts = sum(math.prod(t[0]) for t in tensors.values()), 0, [{} for _ in range(shards)]
    for name, tensor in tensors.items():
        parts[min(shards - 1, filled * shards // total)][name] = tensor
        filled += math.prod(tensor[0])
    weight_map, total_size = {}, 0
    for n, part in enumerate(parts):
        file = f"{stem}-{n + 1:05}-of-{shards:05}.safetensors"
        total_size += write_file(directory / file, part, dtype, seed)
        weight_map |= dict.fromkeys(part, file)
    write_json(
        directory / f"{stem}.safetensors.index.json",
        {"metadata": {"total_size": total_size}, "weight_map": dict(sorted(weight_map.items()))},
    )


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def write_configs(out, model):
    encoder, dit, vae = model["text_encoder"], model["transformer"], model["vae"]
    version = "0.33.0.dev0"
    write_json(out / "model_index.json", {
        "_class_name": "WanPipeline", "_diffusers_version": version,
        "scheduler": ["diffusers", "UniPCMultistepScheduler"],
        "text_encoder": ["transformers", "UMT5EncoderModel"],
        "tokenizer": ["transformers", "T5TokenizerFast"],
        "transformer": ["diffusers", "WanTransformer3DModel"],
        "vae": ["diffusers", "AutoencoderKLWan"],
    })  # fmt: skip
    write_json(out / "text_encoder/config.json", {
        "architectures": ["UMT5EncoderModel"], "classifier_dropout": 0.0, **encoder,
        "decoder_start_token_id": 0, "dense_act_fn": "gelu_new", "dropout_rate": 0.1, "eos_token_id": 1,
        "feed_forward_proj": "gated-gelu", "initializer_factor": 1.0, "is_encoder_decoder": True,
        "is_gated_act": True, "layer_norm_epsilon": 1e-06, "model_type": "umt5",
        "num_decoder_layers": encoder["num_layers"], "output_past": True, "pad_token_id": 0,
        "relative_attention_max_distance": 128, "relative_attention_num_buckets": 32, "scalable_attention": True,
        "tie_word_embeddings": False, "tokenizer_class": "T5Tokenizer", "torch_dtype": "bfloat16",
        "use_cache": True,
    })  # fmt: skip
    write_json(out / "transformer/config.json", {
        "_class_name": "WanTransformer3DModel", "_diffusers_version": version, "added_kv_proj_dim": None,
        "attention_head_dim": dit["head_dim"], "cross_attn_norm": True, "eps": 1e-06, "ffn_dim": dit["ffn_dim"],
        "freq_dim": dit["freq_dim"], "image_dim": None, "in_channels": dit["channels"],
        "num_attention_heads": dit["heads"], "num_layers": dit["num_layers"], "out_channels": dit["channels"],
        "patch_size": [1, 2, 2], "qk_norm": "rms_norm_across_heads", "rope_max_seq_len": 1024,
        "text_dim": dit["text_dim"],
    })  # fmt: skip
    write_json(out / "vae/config.json", {
        "_class_name": "AutoencoderKLWan", "_diffusers_version": version, "attn_scales": [],
        "base_dim": vae["base_dim"], "dim_mult": vae["dim_mult"], "dropout": 0.0,
        "latents_mean": WAN_MEAN[: vae["z_dim"]], "latents_std": WAN_STD[: vae["z_dim"]],
        "num_res_blocks": vae["num_res_blocks"], "temperal_downsample": vae["temporal"], "z_dim": vae["z_dim"],
    })  # fmt: skip
    write_json(out / "scheduler/scheduler_config.json", {
        "_class_name": "UniPCMultistepScheduler", "_diffusers_version": version, "beta_end": 0.02,
        "beta_schedule": "linear", "beta_start": 0.0001, "disable_corrector": [],
        "dynamic_thresholding_ratio": 0.995, "final_sigmas_type": "zero", "flow_shift": 3.0,
        "lower_order_final": True, "num_train_timesteps": 1000, "predict_x0": True,
        "prediction_type": "flow_prediction", "rescale_betas_zero_snr": False, "sample_max_value": 1.0,
        "solver_order": 2, "solver_p": None, "solver_type": "bh2", "steps_offset": 0, "thresholding": False,
        "timestep_spacing": "linspace", "trained_betas": None, "use_beta_sigmas": False,
        "use_exponential_sigmas": False, "use_flow_sigmas": True, "use_karras_sigmas": False,
    })  # fmt: skip


def write_tokenizer(out, source):
    out.mkdir(parents=True, exist_ok=True)
    if (out / "spiece.model").resolve() != source.resolve():
        shutil.copyfile(source, out / "spiece.model")
    tokens = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    write_json(out / "special_tokens_map.json", tokens)
    write_json(out / "tokenizer_config.json", {
        **tokens, "additional_special_tokens": [], "clean_up_tokenization_spaces": False, "extra_ids": 0,
        "legacy": False, "model_max_length": 512, "tokenizer_class": "T5Tokenizer",
    })  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--tiny", action="store_true", help="a model of about 1 MB for the tests")
    parser.add_argument("--14b", dest="large", action="store_true", help="the shape of the 14B model")
    parser.add_argument("--hollow", action="store_true", help="zeros that take no room on the disk")
    parser.add_argument("--transformer-dtype", choices=["F32", "BF16", "F16"])
    parser.add_argument("--text-encoder-dtype", choices=["F32", "BF16", "F16"])
    parser.add_argument("--vae-dtype", choices=["F32", "BF16", "F16"])
    parser.add_argument("--tokenizer", type=pathlib.Path, metavar="SPIECE_MODEL",
                        default=ROOT / "tests/data/tiny_model/tokenizer/spiece.model")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    model = TINY if arguments.tiny else LARGE if arguments.large else FULL
    dtypes = {part: getattr(arguments, f"{part}_dtype") or dtype for part, dtype in model["dtypes"].items()}
    write_configs(arguments.out, model)
    write_tokenizer(arguments.out / "tokenizer", arguments.tokenizer)
    if arguments.tiny:
        write_json(arguments.out / "psa_gen.json", {
            "width": 64, "height": 64, "num_frames": 5, "fps": 8.0, "num_steps": 3, "guidance_scale": 3.0,
            "shift": 3.0, "negative_prompt": "", "max_text_tokens": 32,
        })  # fmt: skip
    for part, stem, tensors in [
        ("text_encoder", "model", text_encoder_tensors(model["text_encoder"])),
        ("transformer", "diffusion_pytorch_model", transformer_tensors(model["transformer"])),
        ("vae", "diffusion_pytorch_model", vae_tensors(model["vae"])),
    ]:
        count = sum(math.prod(t[0]) for t in tensors.values())
        print(f"{part}: {len(tensors)} tensors, {count:,} parameters, {dtypes[part]}", flush=True)
        write_component(arguments.out / part, stem, tensors, dtypes[part], model["shards"].get(part, 1),
                        None if arguments.hollow else f"{arguments.seed}/{part}")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
