"""The UMT5 encoder for training, tensor names as in transformers' UMT5EncoderModel."""

import torch
import torch.nn.functional as F
from torch import nn


class T5Norm(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        x = x.float()
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))


def relative_buckets(length, device):
    """Bidirectional T5 buckets, 32 of them, farthest distance 128 (spec wan 2.3)."""
    n = torch.arange(length, device=device)
    r = n[None, :] - n[:, None]
    m = r.abs()
    far = sum((m >= edge).long() for edge in (12, 16, 23, 32, 46, 64, 91)) + 8
    return torch.where(m < 8, m, far) + 16 * (r > 0).long()


class SelfAttention(nn.Module):
    def __init__(self, dim, heads, head_dim):
        super().__init__()
        self.heads = heads
        inner = heads * head_dim
        self.q, self.k, self.v = (nn.Linear(dim, inner, bias=False) for _ in range(3))
        self.o = nn.Linear(inner, dim, bias=False)
        self.relative_attention_bias = nn.Embedding(32, heads)
        nn.init.normal_(self.q.weight, std=(dim * head_dim) ** -0.5)
        for layer in (self.k, self.v):
            nn.init.normal_(layer.weight, std=dim ** -0.5)
        nn.init.normal_(self.o.weight, std=inner ** -0.5)
        nn.init.normal_(self.relative_attention_bias.weight, std=dim ** -0.5)

    def forward(self, x, mask, buckets):
        B, S, _ = x.shape
        q, k, v = (f(x).view(B, S, self.heads, -1).transpose(1, 2) for f in (self.q, self.k, self.v))
        bias = self.relative_attention_bias(buckets).permute(2, 0, 1)[None].float() + mask
        scores = (q.float() @ k.float().transpose(-1, -2)) + bias
        return self.o((scores.softmax(-1).to(v.dtype) @ v).transpose(1, 2).reshape(B, S, -1))


class GatedFeedForward(nn.Module):
    def __init__(self, dim, inner):
        super().__init__()
        self.wi_0, self.wi_1 = nn.Linear(dim, inner, bias=False), nn.Linear(dim, inner, bias=False)
        self.wo = nn.Linear(inner, dim, bias=False)
        for layer in (self.wi_0, self.wi_1):
            nn.init.normal_(layer.weight, std=dim ** -0.5)
        nn.init.normal_(self.wo.weight, std=inner ** -0.5)

    def forward(self, x):
        return self.wo(F.gelu(self.wi_0(x), approximate="tanh") * self.wi_1(x))


class AttentionLayer(nn.Module):
    def __init__(self, dim, heads, head_dim):
        super().__init__()
        self.SelfAttention = SelfAttention(dim, heads, head_dim)
        self.layer_norm = T5Norm(dim)


class FeedForwardLayer(nn.Module):
    def __init__(self, dim, inner):
        super().__init__()
        self.DenseReluDense = GatedFeedForward(dim, inner)
        self.layer_norm = T5Norm(dim)


class Block(nn.Module):
    def __init__(self, dim, heads, head_dim, inner):
        super().__init__()
        self.layer = nn.ModuleList([AttentionLayer(dim, heads, head_dim), FeedForwardLayer(dim, inner)])

    def forward(self, x, mask, buckets):
        a, f = self.layer
        x = x + a.SelfAttention(a.layer_norm(x), mask, buckets)
        return x + f.DenseReluDense(f.layer_norm(x))


class Stack(nn.Module):
    def __init__(self, dim, layers, *args):
        super().__init__()
        self.block = nn.ModuleList([Block(dim, *args) for _ in range(layers)])
        self.final_layer_norm = T5Norm(dim)


class Umt5Encoder(nn.Module):
    def __init__(self, vocab_size, d_model, d_kv, d_ff, num_layers, num_heads):
        super().__init__()
        self.shared = nn.Embedding(vocab_size, d_model)
        self.encoder = Stack(d_model, num_layers, num_heads, d_kv, d_ff)

    def forward(self, ids, mask):
        """ids, mask [B, S] -> [B, S, d]; rows where the mask is 0 are zero."""
        x = self.shared(ids)
        bias = ((1.0 - mask.float()) * -1e9)[:, None, None, :]
        buckets = relative_buckets(ids.shape[1], ids.device)
        for block in self.encoder.block:
            x = block(x, bias, buckets)
        return self.encoder.final_layer_norm(x) * mask[..., None]
