"""Weights that a formula gives, so that fixtures hold results and no weights.

A value depends on the tensor's name and the element's index alone: u in [-1, 1) from a hash, scaled by
the kind of tensor so that activations keep the scale of one. tests/support/formula_weights.h computes
the same numbers.
"""

import math

import numpy as np


def uniform(name, count):
    """u in [-1, 1) for elements 0 .. count - 1: 32-bit FNV-1a of the name, then an integer mixer."""
    seed = 0x811C9DC5
    for byte in name.encode():
        seed = ((seed ^ byte) * 0x01000193) & 0xFFFFFFFF
    with np.errstate(over="ignore"):
        x = np.arange(count, dtype=np.uint32) + np.uint32(seed)
        x ^= x >> np.uint32(16)
        x *= np.uint32(0x7FEB352D)
        x ^= x >> np.uint32(15)
        x *= np.uint32(0x846CA68B)
        x ^= x >> np.uint32(16)
    return (x >> np.uint32(8)).astype(np.float64) / 2**23 - 1.0


def value(name, shape):
    u = uniform(name, math.prod(shape)).reshape(shape)
    if name.endswith((".bias", "scale_shift_table")):
        result = 0.25 * u
    elif name.endswith(".gamma") or (name.endswith(".weight") and len(shape) == 1):
        result = 1.0 + 0.25 * u
    elif name.endswith(("shared.weight", "relative_attention_bias.weight")) or name == "ctx":
        result = u
    elif name == "x":
        result = u * math.sqrt(3.0)
    else:
        result = u * math.sqrt(3.0 / math.prod(shape[1:]))
    return result.astype(np.float32)


def fill(module, bfloat16=False):
    """Gives every parameter its formula value; returns {name: shape}. bfloat16 rounds the values."""
    import torch

    shapes = {}
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            tensor = torch.from_numpy(value(name, tuple(parameter.shape)))
            parameter.copy_(tensor.bfloat16().float() if bfloat16 else tensor)
            shapes[name] = list(parameter.shape)
    return shapes
