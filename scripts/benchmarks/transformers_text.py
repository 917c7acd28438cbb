"""What Hugging Face transformers takes for the UMT5-XXL encoder, beside `psa-gen bench text`.

    python3 scripts/benchmarks/transformers_text.py [--tokens 512]

Random weights of the published shape, bfloat16, median of CUDA event times.
"""

import argparse
import json

import torch
import transformers

from torch_parts import median_ms


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tokens", type=int, default=512)
    args = parser.parse_args()
    config = transformers.UMT5Config(
        vocab_size=256384, d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64,
        feed_forward_proj="gated-gelu")
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("meta"):
        model = transformers.UMT5EncoderModel(config)
    model = model.to_empty(device="cuda").eval()
    for p in model.parameters():
        p.data.uniform_(-0.03, 0.03)
    ids = (torch.arange(args.tokens, device="cuda") * 37 % config.vocab_size)[None]
    mask = torch.ones_like(ids)
    with torch.inference_mode():
        ms = median_ms(lambda: model(ids, attention_mask=mask))
    print(json.dumps(dict(gpu=torch.cuda.get_device_name(), transformers=transformers.__version__,
                          torch=torch.__version__, tokens=args.tokens, text_ms=ms)))


if __name__ == "__main__":
    main()
