"""The reverse of package_model.py: STATE for train_dit.py from a model directory, to train it on.

    python3 scripts/training/unpack_model.py --model models/default --state STATE
"""

import argparse
import json
import pathlib

from safetensors.torch import load_file, save_file


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--state", type=pathlib.Path, required=True)
    args = parser.parse_args()
    args.state.mkdir(parents=True, exist_ok=True)
    for source, target in (("text_encoder/model", "text_encoder"),
                           ("transformer/diffusion_pytorch_model", "transformer"),
                           ("vae/diffusion_pytorch_model", "vae_ema")):
        tensors = load_file(str(args.model / f"{source}.safetensors"))
        save_file({k: v.float() for k, v in tensors.items()},
                  str(args.state / f"{target}.safetensors"))
    config = json.loads((args.model / "vae/config.json").read_text())
    (args.state / "latent_statistics.json").write_text(
        json.dumps({k: config[k] for k in ("latents_mean", "latents_std")}))


if __name__ == "__main__":
    main()
