"""What PyTorch takes for the parts of a Wan forward, for comparison with `psa-gen bench` in one run.

    python3 scripts/benchmarks/torch_parts.py [--model wan2.1-1.3b] [--tokens 32760] [--out FILE]

Times scaled_dot_product_attention (cuDNN and FlashAttention backends; self and cross) and the matrix
products of one layer, bfloat16, random inputs, medians of CUDA event times. `floor_ms` is the sum for all
layers: cuDNN attention, self and cross, and products.
"""

import argparse
import json
import pathlib
import time

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

MODELS = {"wan2.1-1.3b": (12, 8960, 30), "wan2.1-14b": (40, 13824, 40)}
HEAD_DIM, TEXT = 128, 512


def median_ms(run, rounds=15, warm_seconds=1.0):
    # A forward is a long load, under which clocks fall: its parts are timed under one, too.
    begin = time.monotonic()
    while time.monotonic() - begin < warm_seconds:
        run()
        torch.cuda.synchronize()
    events = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True))
              for _ in range(rounds)]
    for start, end in events:
        start.record()
        run()
        end.record()
    torch.cuda.synchronize()
    return sorted(s.elapsed_time(e) for s, e in events)[rounds // 2]


def attention_ms(backend, queries, keys, heads):
    make = lambda n: torch.randn(1, heads, n, HEAD_DIM, device="cuda", dtype=torch.bfloat16)
    q, k, v = make(queries), make(keys), make(keys)
    with sdpa_kernel(backend):
        return median_ms(lambda: F.scaled_dot_product_attention(q, k, v))


def product_ms(rows, inputs, outputs):
    x = torch.randn(rows, inputs, device="cuda", dtype=torch.bfloat16)
    w = torch.randn(outputs, inputs, device="cuda", dtype=torch.bfloat16)
    b = torch.randn(outputs, device="cuda", dtype=torch.bfloat16)
    return median_ms(lambda: F.linear(x, w, b))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="wan2.1-1.3b", choices=MODELS)
    parser.add_argument("--tokens", type=int, default=32760)
    parser.add_argument("--layers", type=int, default=0)
    parser.add_argument("--out", type=pathlib.Path)
    args = parser.parse_args()
    heads, ffn, layers = MODELS[args.model]
    layers, dim, n = args.layers or layers, heads * HEAD_DIM, args.tokens
    result = dict(
        gpu=torch.cuda.get_device_name(), torch=torch.__version__, cudnn=torch.backends.cudnn.version(),
        model=args.model, tokens=n, layers=layers,
        self_cudnn_ms=attention_ms(SDPBackend.CUDNN_ATTENTION, n, n, heads),
        self_flash_ms=attention_ms(SDPBackend.FLASH_ATTENTION, n, n, heads),
        cross_cudnn_ms=attention_ms(SDPBackend.CUDNN_ATTENTION, n, TEXT, heads),
        product_ms=dict(q=product_ms(n, dim, dim), up=product_ms(n, dim, ffn), down=product_ms(n, ffn, dim)))
    products = 6 * result["product_ms"]["q"] + result["product_ms"]["up"] + result["product_ms"]["down"]
    result["floor_ms"] = layers * (result["self_cudnn_ms"] + result["cross_cudnn_ms"] + products)
    result["self_cudnn_tflops"] = 4 * n * n * dim / result["self_cudnn_ms"] / 1e9
    print(json.dumps(result))
    if args.out:
        args.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
