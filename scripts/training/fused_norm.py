"""RMS norm over channels, SiLU and causal time padding in one pass (Triton), for channels-last video.

Eager PyTorch makes five passes over the largest tensors of the VAE for this; the convolutions
themselves are cheap beside that. Formula: y = silu(x / max(|x|, 1e-12) * sqrt(C) * gamma).
"""

import torch
import triton
import triton.language as tl


@triton.jit
def _forward(x, gamma, y, rows, rows_per_clip, pad_rows, C: tl.constexpr, BLOCK: tl.constexpr,
             SILU: tl.constexpr):
    r = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    c = tl.arange(0, C)
    keep = (r < rows)[:, None]
    v = tl.load(x + r[:, None] * C + c[None, :], mask=keep, other=0.0).to(tl.float32)
    g = tl.load(gamma + c).to(tl.float32)[None, :]
    scale = tl.sqrt(C * 1.0) / tl.maximum(tl.sqrt(tl.sum(v * v, 1)), 1e-12)
    n = v * scale[:, None] * g
    if SILU:
        n = n * tl.sigmoid(n)
    out = r + (r // rows_per_clip + 1) * pad_rows
    tl.store(y + out[:, None] * C + c[None, :], n.to(y.dtype.element_ty), mask=keep)


@triton.jit
def _backward(x, gamma, dy, dx, dgamma, rows, rows_per_clip, pad_rows, C: tl.constexpr,
              BLOCK: tl.constexpr, STEPS: tl.constexpr, SILU: tl.constexpr):
    c = tl.arange(0, C)
    g = tl.load(gamma + c).to(tl.float32)[None, :]
    total = tl.zeros((C,), tl.float32)
    first = tl.program_id(0).to(tl.int64) * (BLOCK * STEPS)
    for step in range(STEPS):
        r = first + step * BLOCK + tl.arange(0, BLOCK)
        keep = (r < rows)[:, None]
        v = tl.load(x + r[:, None] * C + c[None, :], mask=keep, other=0.0).to(tl.float32)
        out = r + (r // rows_per_clip + 1) * pad_rows
        d = tl.load(dy + out[:, None] * C + c[None, :], mask=keep, other=0.0).to(tl.float32)
        norm = tl.maximum(tl.sqrt(tl.sum(v * v, 1)), 1e-12)
        scale = (tl.sqrt(C * 1.0) / norm)[:, None]
        unit = v * scale
        if SILU:
            n = unit * g
            s = tl.sigmoid(n)
            d = d * (s + n * s * (1 - s))
        total += tl.sum(d * unit, 0)
        d = d * g
        along = tl.sum(d * v, 1) / (norm * norm)
        tl.store(dx + r[:, None] * C + c[None, :],
                 ((d - v * along[:, None]) * scale).to(dx.dtype.element_ty), mask=keep)
    tl.store(dgamma + tl.program_id(0) * C + c, total)


class _ChannelNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, gamma, pad_frames, silu):
        # x: [B, C, T, H, W] in channels-last memory.
        B, C, T, H, W = x.shape
        x = x.contiguous(memory_format=torch.channels_last_3d)
        y = torch.empty((B, C, T + pad_frames, H, W), dtype=x.dtype, device=x.device,
                        memory_format=torch.channels_last_3d)
        if pad_frames:
            y[:, :, :pad_frames].zero_()
        rows, block = B * T * H * W, max(1, 4096 // C)
        args = (rows, T * H * W, pad_frames * H * W)
        _forward[(triton.cdiv(rows, block),)](x, gamma, y, *args, C=C, BLOCK=block, SILU=silu)
        ctx.save_for_backward(x, gamma)
        ctx.args, ctx.silu = args, silu
        return y

    @staticmethod
    def backward(ctx, dy):
        x, gamma = ctx.saved_tensors
        C = x.shape[1]
        dy = dy.contiguous(memory_format=torch.channels_last_3d)
        dx = torch.empty_like(x)
        rows, block, steps = ctx.args[0], max(1, 4096 // C), 8
        programs = triton.cdiv(rows, block * steps)
        partial = torch.empty((programs, C), dtype=torch.float32, device=x.device)
        _backward[(programs,)](x, gamma, dy, dx, partial, *ctx.args, C=C, BLOCK=block, STEPS=steps,
                               SILU=ctx.silu)
        return dx, partial.sum(0).view_as(gamma).to(gamma.dtype), None, None


def _plain(x, gamma, pad_frames, silu):
    n = x.float()
    n = n / n.norm(dim=1, keepdim=True).clamp_min(1e-12) * x.shape[1] ** 0.5 * gamma.float().view(
        1, -1, 1, 1, 1)
    n = torch.nn.functional.silu(n) if silu else n
    return torch.nn.functional.pad(n.to(x.dtype), (0, 0, 0, 0, pad_frames, 0))


def channel_norm(x, gamma, pad_frames=0, silu=True):
    """y [B, C, pad_frames + T, H, W]; the first pad_frames frames are zeros."""
    C = x.shape[1]
    if x.is_cuda and C & (C - 1) == 0:
        return _ChannelNorm.apply(x, gamma.reshape(-1), pad_frames, silu)
    return _plain(x, gamma, pad_frames, silu)
