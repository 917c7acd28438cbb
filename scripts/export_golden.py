#!/usr/bin/env python3
"""Writes the fixtures of tests/data/golden: what torch, transformers and diffusers compute for
miniature models. All in float32 on the CPU, one thread.

    export_golden.py [PART ...]     # all where none is named: umt5, dit, noise, trajectory, pipeline, scheduler, vae

Each of the first five is a safetensors file of results and a JSON file that says how to get them:
configurations, tensor names with shapes (their values are those of golden_formula.py), settings. The
versions of the packages are in both. Diffusers' UniPC chose other sigmas before 0.37, so its version
matters. The last two have scripts of their own, which this one calls.
"""

import argparse
import importlib.metadata
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import golden_formula
import numpy as np
import torch

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / "tests/data/golden"
TOKENIZER = ROOT / "tests/data/tiny_model/tokenizer"


def write_safetensors(path, arrays, metadata):
    """By hand, because the package writes metadata in an order that changes from run to run."""
    dtypes = {"float32": "F32", "int32": "I32", "uint8": "U8"}
    header, data = {"__metadata__": metadata}, b""
    for key, array in arrays.items():
        content = np.ascontiguousarray(array).tobytes()
        header[key] = dict(
            dtype=dtypes[array.dtype.name],
            shape=list(array.shape),
            data_offsets=[len(data), len(data) + len(content)],
        )
        data += content
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def save(name, arrays, description):
    versions = {p: importlib.metadata.version(p).split("+")[0] for p in ("torch", "transformers", "diffusers")}
    text = {key: str(entry) for key, entry in versions.items()}
    text["seed"] = str(description.get("seed", "none: formula values"))
    write_safetensors(OUT / f"{name}.safetensors", arrays, text)
    document = json.dumps({"versions": versions, **description}, indent=1, ensure_ascii=False)
    # A list of numbers on one line.
    document = re.sub(r"\[[-+\d.,e\s]+\]", lambda match: " ".join(match[0].split()), document)
    (OUT / f"{name}.json").write_text(document + "\n")


def numpy(tensor):
    return tensor.detach().to(torch.float32).numpy()


# ---- UMT5 ----

UMT5_COMMON = dict(
    dense_act_fn="gelu_new",
    dropout_rate=0.0,
    feed_forward_proj="gated-gelu",
    layer_norm_epsilon=1e-6,
    relative_attention_num_buckets=32,
    relative_attention_max_distance=128,
    pad_token_id=0,
    eos_token_id=1,
)
UMT5_MODELS = {
    "spec": dict(vocab_size=64, d_model=16, d_kv=8, d_ff=24, num_layers=2, num_heads=3),
    "wide": dict(vocab_size=96, d_model=40, d_kv=16, d_ff=88, num_layers=3, num_heads=5),
}
UMT5_CASES = [("spec", 1, False), ("spec", 100, False), ("wide", 37, False), ("wide", 300, False), ("wide", 150, True)]


def umt5_model(sizes, bfloat16=False):
    from transformers import UMT5Config, UMT5EncoderModel

    model = UMT5EncoderModel(UMT5Config(**sizes, **UMT5_COMMON)).eval()
    return model, golden_formula.fill(model, bfloat16)


def token_ids(count, vocab_size):
    return [(7 * i + 3) % vocab_size for i in range(count)]


def export_umt5():
    from transformers.models.umt5.modeling_umt5 import UMT5Attention

    arrays, cases, shapes = {}, [], {}
    for name, count, bfloat16 in UMT5_CASES:
        model, shapes[name] = umt5_model(UMT5_MODELS[name], bfloat16)
        ids = token_ids(count, UMT5_MODELS[name]["vocab_size"])
        label = f"{name}_{count}" + ("_bf16" if bfloat16 else "")
        arrays[label] = numpy(model(torch.tensor([ids])).last_hidden_state)[0]
        cases.append(dict(label=label, model=name, ids=ids, bfloat16=bfloat16))
    attention = model.encoder.block[0].layer[0].SelfAttention
    assert isinstance(attention, UMT5Attention)
    arrays["buckets_of_minus_600_to_600"] = attention._relative_position_bucket(
        torch.arange(-600, 601)
    ).to(torch.int32).numpy()
    models = {name: dict(config=sizes, tensors=shapes[name]) for name, sizes in UMT5_MODELS.items()}
    save("umt5", arrays, dict(models=models, cases=cases))


# ---- DiT ----

DIT_COMMON = dict(patch_size=(1, 2, 2), cross_attn_norm=True, eps=1e-6, qk_norm="rms_norm_across_heads", freq_dim=256)
DIT_MODELS = {
    "two_heads_of_128": dict(num_attention_heads=2, attention_head_dim=128, in_channels=16, out_channels=16,
                             text_dim=24, ffn_dim=320, num_layers=2),
    "three_heads_of_64": dict(num_attention_heads=3, attention_head_dim=64, in_channels=8, out_channels=8,
                              text_dim=16, ffn_dim=144, num_layers=3),
}  # fmt: skip
# model, latent T x h x w, timestep, real text rows of how many, bfloat16 weights
DIT_CASES = [
    ("two_heads_of_128", (3, 6, 10), 999.0, 7, 512, False),  # 45 tokens
    ("two_heads_of_128", (5, 14, 22), 500.0, 511, 512, False),  # 385 tokens, one row of padding
    ("two_heads_of_128", (1, 8, 6), 92.0, 512, 512, False),  # one frame, no padding
    ("two_heads_of_128", (2, 10, 4), 376.40450, 5, 32, True),
    ("three_heads_of_64", (3, 12, 8), 0.0, 1, 512, False),  # 72 tokens
    ("three_heads_of_64", (9, 16, 4), 833.33331, 20, 77, False),  # 144 tokens
]


def dit_model(sizes, bfloat16=False):
    from diffusers import WanTransformer3DModel

    model = WanTransformer3DModel(**sizes, **DIT_COMMON).eval()
    return model, golden_formula.fill(model, bfloat16)


def export_dit():
    arrays, cases, shapes = {}, [], {}
    for i, (name, grid, timestep, rows, max_rows, bfloat16) in enumerate(DIT_CASES):
        sizes = DIT_MODELS[name]
        model, shapes[name] = dit_model(sizes, bfloat16)
        latent = torch.from_numpy(golden_formula.value("x", (1, sizes["in_channels"], *grid)))
        text = torch.zeros(1, max_rows, sizes["text_dim"])
        text[:, :rows] = torch.from_numpy(golden_formula.value("ctx", (1, rows, sizes["text_dim"])))
        # A float64 timestep keeps its digits until the sinusoid, which diffusers computes in float32.
        label = f"case_{i}"
        arrays[label] = numpy(model(latent, torch.tensor([timestep]), text, return_dict=False)[0])
        cases.append(dict(label=label, model=name, latent=list(latent.shape), timestep=timestep, text_rows=rows,
                          max_text_tokens=max_rows, bfloat16=bfloat16))  # fmt: skip
    models = {name: dict(config=dict(sizes, freq_dim=256), tensors=shapes[name]) for name, sizes in DIT_MODELS.items()}
    save("dit", arrays, dict(models=models, cases=cases))


# ---- initial noise ----

NOISE_SEEDS = [0, 42, 1234567, 2**32 + 5, 2**63 - 1]
NOISE_SIZES = [1, 2, 5, 15, 16, 17, 31, 32, 33, 47, 1000, 1250]


def export_noise():
    arrays = {}
    for seed in NOISE_SEEDS:
        generator = torch.Generator().manual_seed(seed)
        # A full-range 64-bit draw is two words, the high one first.
        words = torch.empty(700, dtype=torch.int64).random_(-(2**63), None, generator=generator)
        arrays[f"words_{seed}"] = words.numpy().view(np.uint32).reshape(-1, 2)[:, ::-1].reshape(-1).view(np.int32)
        for size in NOISE_SIZES:
            generator = torch.Generator().manual_seed(seed)
            arrays[f"normal_{seed}_{size}"] = torch.randn(size, generator=generator).numpy()
        generator = torch.Generator().manual_seed(seed)
        draws = [torch.randn(size, generator=generator) for size in (3, 16, 1, 20, 4)]
        arrays[f"normal_{seed}_3_16_1_20_4"] = torch.cat(draws).numpy()
    save("noise", arrays, dict(seeds=NOISE_SEEDS, sizes=NOISE_SIZES))


# ---- solver trajectories on tensors ----

TRAJECTORY_SHAPE = (1, 4, 2, 4, 6)
TRAJECTORY_RUNS = [(4, 5.0), (12, 3.0), (50, 8.0)]  # steps, shift


def schedulers(shift):
    from diffusers import DPMSolverMultistepScheduler, FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler

    flow = dict(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift, solver_order=2)
    return {
        "unipc": UniPCMultistepScheduler(**flow),
        "dpm++": DPMSolverMultistepScheduler(algorithm_type="dpmsolver++", solver_type="midpoint", **flow),
        "euler": FlowMatchEulerDiscreteScheduler(shift=shift),
    }


def export_trajectory():
    arrays, cases = {}, []
    for steps, shift in TRAJECTORY_RUNS:
        for solver, scheduler in schedulers(shift).items():
            scheduler.set_timesteps(steps)
            x = torch.from_numpy(golden_formula.value("x", TRAJECTORY_SHAPE))
            samples = []
            for i, t in enumerate(scheduler.timesteps):
                velocity = 0.75 * x - 0.25 * scheduler.sigmas[i] + 0.1 * x * x
                x = scheduler.step(velocity, t, x, return_dict=False)[0]
                samples.append(numpy(x))
            label = f"{solver}_{steps}_steps_shift_{shift:g}"
            arrays[label] = np.stack(samples)
            cases.append(dict(label=label, solver=solver, num_steps=steps, shift=shift))
    save("trajectory", arrays, dict(shape=list(TRAJECTORY_SHAPE), cases=cases))


# ---- the whole pipeline ----

VAE_SIZES = dict(base_dim=8, z_dim=16, dim_mult=[1, 2, 4, 4], num_res_blocks=2, attn_scales=[],
                 temperal_downsample=[False, True, True])  # fmt: skip
PIPELINE_CASES = {
    "odd_token_count": dict(width=80, height=48, num_frames=9, seed=0, flow_shift=3.0, max_text_tokens=512,
                            transformer="two_heads_of_128",
                            prompt="A red cat runs slowly over snow.", negative_prompt=""),
    "one_frame": dict(width=64, height=48, num_frames=1, seed=42, flow_shift=5.0, max_text_tokens=64,
                      transformer="sixteen_channels_of_64",
                      prompt="Two dogs playing in the rain at dusk, high quality",
                      negative_prompt="Static, blurred details, it's gone"),
    "seventeen_frames": dict(width=96, height=96, num_frames=17, seed=2**32 + 5, flow_shift=3.0, max_text_tokens=512,
                             transformer="two_heads_of_128",
                             prompt="A   blue \t star “spins”\n around，it&#39;s in the sea",
                             negative_prompt="Static，blurred　details！"),
}  # fmt: skip
PIPELINE_STEPS = 12
PIPELINE_GUIDANCE = 5.0


def make_pipeline(case, folder):
    """A WanPipeline of formula weights; its configuration files end up in `folder`."""
    from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanPipeline
    from transformers import T5TokenizerFast

    text_sizes = dict(vocab_size=384, d_model=24, d_kv=8, d_ff=56, num_layers=2, num_heads=4)
    text_encoder, text_shapes = umt5_model(text_sizes)
    sizes = dict(DIT_MODELS["two_heads_of_128"], num_layers=2)
    if case["transformer"] == "sixteen_channels_of_64":
        sizes = dict(DIT_MODELS["three_heads_of_64"], in_channels=16, out_channels=16, text_dim=24)
    transformer, dit_shapes = dit_model(sizes)
    vae = AutoencoderKLWan(**VAE_SIZES).eval()
    vae_shapes = golden_formula.fill(vae)
    scheduler = UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=case["flow_shift"], solver_order=2
    )
    tokenizer = T5TokenizerFast.from_pretrained(TOKENIZER)
    pipe = WanPipeline(tokenizer, text_encoder, vae, scheduler, transformer)
    pipe.set_progress_bar_config(disable=True)
    pipe.save_config(folder)
    text_encoder.config.architectures = [type(text_encoder).__name__]
    text_encoder.config.save_pretrained(folder / "text_encoder")
    for part in ("scheduler", "transformer", "vae"):
        getattr(pipe, part).save_config(folder / part)
    return pipe, dict(text_encoder=text_shapes, transformer=dit_shapes, vae=vae_shapes)


def export_pipeline():
    from diffusers.pipelines.wan.pipeline_wan import prompt_clean

    for name, case in PIPELINE_CASES.items():
        with tempfile.TemporaryDirectory() as temporary:
            folder = pathlib.Path(temporary)
            pipe, shapes = make_pipeline(case, folder)
            files = {
                str(path.relative_to(folder)): json.loads(path.read_text())
                for path in sorted(folder.rglob("*.json"))
            }
        latents = []
        frames = pipe(
            prompt=case["prompt"],
            negative_prompt=case["negative_prompt"],
            width=case["width"],
            height=case["height"],
            num_frames=case["num_frames"],
            num_inference_steps=PIPELINE_STEPS,
            guidance_scale=PIPELINE_GUIDANCE,
            generator=torch.Generator().manual_seed(case["seed"]),
            max_sequence_length=case["max_text_tokens"],
            callback_on_step_end=lambda _pipe, _step, _t, kwargs: latents.append(numpy(kwargs["latents"])) or {},
            output_type="np",
        ).frames[0]
        ids = [pipe.tokenizer(prompt_clean(case[key])).input_ids for key in ("prompt", "negative_prompt")]
        # transformers has no byte fallback: a character outside the vocabulary would not be comparable.
        assert pipe.tokenizer.unk_token_id not in ids[0] + ids[1], ids
        arrays = {
            "latent_after_step_1": latents[0],
            "final_latent": latents[-1],
            "frames": (frames * 255).round().astype(np.uint8),
        }
        settings = dict(case, num_steps=PIPELINE_STEPS, guidance_scale=PIPELINE_GUIDANCE, ids=ids)
        save(f"pipeline_{name}", arrays, dict(seed=case["seed"], request=settings, files=files, tensors=shapes))


def run_script(name):
    return lambda: subprocess.run([sys.executable, ROOT / "scripts" / name], check=True)


PARTS = dict(
    umt5=export_umt5,
    dit=export_dit,
    noise=export_noise,
    trajectory=export_trajectory,
    pipeline=export_pipeline,
    scheduler=run_script("golden_scheduler.py"),
    vae=run_script("golden_vae.py"),
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    for part in arguments.parts or PARTS:
        PARTS[part]()


if __name__ == "__main__":
    main()
