"""The Wan diffusion transformer for training, tensor names as in Diffusers' WanTransformer3DModel."""

import math

import torch
import torch.nn.functional as F
from torch import nn

TEXT_ROWS = 512  # the pipelines pad every text to this many rows; the rest are zeros


def rope_tables(T, H, W, head_dim, device):
    """cos, sin [T*H*W, head_dim/2], float32 (spec wan 3.4)."""
    third = 2 * (head_dim // 6)
    parts = []
    for axis, dim in ((0, head_dim - 2 * third), (1, third), (2, third)):
        rate = 10000.0 ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
        n = (T, H, W)[axis]
        angle = torch.outer(torch.arange(n, dtype=torch.float64), rate)
        shape = [1, 1, 1, dim // 2]
        shape[axis] = n
        parts.append(angle.view(shape).expand(T, H, W, dim // 2))
    angle = torch.cat(parts, -1).reshape(T * H * W, head_dim // 2)
    return angle.cos().float().to(device), angle.sin().float().to(device)


def rotate(x, cos, sin):
    """x [B, L, N, D]: adjacent pairs."""
    a, b = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    c, s = cos[None, :, None], sin[None, :, None]
    return torch.stack((a * c - b * s, a * s + b * c), -1).flatten(-2)


class RmsNorm(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        x = x.float()
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.weight


class Attention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.to_q, self.to_k, self.to_v = (nn.Linear(dim, dim) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(dim, dim)])
        self.norm_q, self.norm_k = RmsNorm(dim), RmsNorm(dim)

    def forward(self, x, context=None, rope=None, bias=None):
        source = x if context is None else context
        q, k, v = self.norm_q(self.to_q(x)), self.norm_k(self.to_k(source)), self.to_v(source)
        q, k, v = (t.unflatten(-1, (self.heads, -1)) for t in (q, k, v))
        if rope is not None:
            q, k = rotate(q, *rope), rotate(k, *rope)
        q, k, v = (t.to(v.dtype).transpose(1, 2) for t in (q, k, v))
        if bias is not None:
            bias = bias.to(v.dtype).expand(-1, self.heads, q.shape[2], -1)
        a = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.to_out[0](a.transpose(1, 2).flatten(-2))


class FeedForward(nn.Module):
    """Diffusers' names: net.0.proj and net.2."""

    class Projection(nn.Module):
        def __init__(self, dim, inner):
            super().__init__()
            self.proj = nn.Linear(dim, inner)

    def __init__(self, dim, inner):
        super().__init__()
        self.net = nn.ModuleList([self.Projection(dim, inner), nn.Identity(), nn.Linear(inner, dim)])

    def forward(self, x):
        return self.net[2](F.gelu(self.net[0].proj(x), approximate="tanh"))


def plain_norm(x):
    return F.layer_norm(x.float(), (x.shape[-1],), eps=1e-6)


class Block(nn.Module):
    def __init__(self, dim, heads, ffn):
        super().__init__()
        self.attn1, self.attn2 = Attention(dim, heads), Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.ffn = FeedForward(dim, ffn)
        self.scale_shift_table = nn.Parameter(torch.randn(1, 6, dim) / dim ** 0.5)

    def forward(self, x, context, e0, cos, sin, bias):
        shift1, scale1, gate1, shift2, scale2, gate2 = (
            self.scale_shift_table + e0.float()).unsqueeze(2).unbind(1)
        h = plain_norm(x) * (1 + scale1) + shift1
        x = x + self.attn1(h, rope=(cos, sin)) * gate1
        x = x + self.attn2(self.norm2(x.float()), context, bias=bias)
        h = plain_norm(x) * (1 + scale2) + shift2
        return x + self.ffn(h) * gate2


class TwoLayers(nn.Module):
    def __init__(self, cin, dim):
        super().__init__()
        self.linear_1, self.linear_2 = nn.Linear(cin, dim), nn.Linear(dim, dim)


class ConditionEmbedder(nn.Module):
    def __init__(self, dim, freq_dim, text_dim):
        super().__init__()
        self.time_embedder = TwoLayers(freq_dim, dim)
        self.time_proj = nn.Linear(dim, 6 * dim)
        self.text_embedder = TwoLayers(text_dim, dim)

    def time(self, t, freq_dim):
        half = freq_dim // 2
        rate = torch.exp(-math.log(10000.0) * torch.arange(half, device=t.device) / half)
        angle = t.float()[:, None] * rate
        s = torch.cat([angle.cos(), angle.sin()], -1)
        e = self.time_embedder.linear_2(F.silu(self.time_embedder.linear_1(s)))
        return e, self.time_proj(F.silu(e)).unflatten(-1, (6, -1))

    def text(self, rows):
        return self.text_embedder.linear_2(
            F.gelu(self.text_embedder.linear_1(rows), approximate="tanh"))


class WanDit(nn.Module):
    def __init__(self, num_attention_heads, attention_head_dim, ffn_dim, num_layers, text_dim,
                 in_channels=16, out_channels=16, freq_dim=256):
        super().__init__()
        dim = num_attention_heads * attention_head_dim
        self.head_dim, self.freq_dim = attention_head_dim, freq_dim
        self.patch_embedding = nn.Conv3d(in_channels, dim, (1, 2, 2), (1, 2, 2))
        self.condition_embedder = ConditionEmbedder(dim, freq_dim, text_dim)
        self.blocks = nn.ModuleList(
            [Block(dim, num_attention_heads, ffn_dim) for _ in range(num_layers)])
        self.scale_shift_table = nn.Parameter(torch.randn(1, 2, dim) / dim ** 0.5)
        self.proj_out = nn.Linear(dim, 4 * out_channels)
        for m in self.modules():
            if isinstance(m, nn.Linear):
                nn.init.xavier_uniform_(m.weight)
                nn.init.zeros_(m.bias)
        nn.init.zeros_(self.proj_out.weight)

    def forward(self, x, t, text, text_mask, rope, block_function=None):
        """x [B, C, T, H, W]; t [B], 0..1000; text [B, S, text_dim], zero where text_mask [B, S] is.

        The 512 - n zero rows of a padded text are equal: one of them, weighted, stands for all.
        """
        B, C, T, H, W = x.shape
        h, w = H // 2, W // 2
        p = x.view(B, C, T, h, 2, w, 2).permute(0, 2, 3, 5, 1, 4, 6).reshape(B, T * h * w, 4 * C)
        y = F.linear(p, self.patch_embedding.weight.flatten(1), self.patch_embedding.bias)
        e, e0 = self.condition_embedder.time(t, self.freq_dim)
        context = self.condition_embedder.text(F.pad(text, (0, 0, 0, 1)))
        count = text_mask.sum(-1, keepdim=True)
        bias = torch.cat([(1.0 - text_mask.float()) * -1e4,
                          torch.log(TEXT_ROWS - count.float())], -1)[:, None, None]
        for block in self.blocks:
            y = (block_function or Block.forward)(block, y, context, e0, *rope, bias)
        shift, scale = (self.scale_shift_table + e.float()[:, None]).unsqueeze(2).unbind(1)
        y = self.proj_out(plain_norm(y) * (1 + scale) + shift)
        y = y.view(B, T, h, w, 2, 2, -1).permute(0, 6, 1, 2, 4, 3, 5)
        return y.reshape(B, -1, T, H, W)
