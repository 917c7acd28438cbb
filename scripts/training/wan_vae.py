"""The Wan 2.1 VAE for training: whole clips at once instead of cached chunks (equal results), tensor
names as in Diffusers' AutoencoderKLWan."""

import torch
import torch.nn.functional as F
from torch import nn

from fused_norm import channel_norm


class CausalConv3d(nn.Conv3d):
    """Causal in time; `padded` inputs carry their two zero frames already."""

    def __init__(self, cin, cout, kernel):
        kt, k = kernel
        super().__init__(cin, cout, (kt, k, k))
        self.padding_hw = k // 2

    def forward(self, x, padded=False):
        kt = self.kernel_size[0]
        if not padded and kt > 1:
            x = F.pad(x, (0, 0, 0, 0, kt - 1, 0))
        if x.shape[2] == kt and kt > 1:  # a single frame: only the last tap sees anything
            return F.conv2d(x[:, :, -1], self.weight[:, :, -1], self.bias,
                            padding=self.padding_hw).unsqueeze(2)
        return F.conv3d(x, self.weight, self.bias, padding=(0, self.padding_hw, self.padding_hw))


class Norm(nn.Module):
    def __init__(self, channels, dims):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels, *([1] * dims)))


class Residual(nn.Module):
    def __init__(self, cin, cout):
        super().__init__()
        self.norm1, self.conv1 = Norm(cin, 3), CausalConv3d(cin, cout, (3, 3))
        self.norm2, self.conv2 = Norm(cout, 3), CausalConv3d(cout, cout, (3, 3))
        self.conv_shortcut = CausalConv3d(cin, cout, (1, 1)) if cin != cout else None

    def forward(self, x):
        h = self.conv1(channel_norm(x, self.norm1.gamma, 2), padded=True)
        h = self.conv2(channel_norm(h, self.norm2.gamma, 2), padded=True)
        return h + (x if self.conv_shortcut is None else self.conv_shortcut(x))


class FrameAttention(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.norm = Norm(channels, 2)
        self.to_qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.proj = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        B, C, T, H, W = x.shape
        n = channel_norm(x, self.norm.gamma, 0, silu=False)
        n = n.permute(0, 2, 3, 4, 1).reshape(B * T, H * W, C)
        qkv = F.linear(n, self.to_qkv.weight.view(3 * C, C), self.to_qkv.bias)
        q, k, v = qkv.unsqueeze(1).chunk(3, -1)
        a = F.scaled_dot_product_attention(q, k, v)[:, 0]
        a = F.linear(a, self.proj.weight.view(C, C), self.proj.bias)
        return x + a.view(B, T, H, W, C).permute(0, 4, 1, 2, 3)


class Mid(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.resnets = nn.ModuleList([Residual(channels, channels), Residual(channels, channels)])
        self.attentions = nn.ModuleList([FrameAttention(channels)])

    def forward(self, x):
        return self.resnets[1](self.attentions[0](self.resnets[0](x)))


def per_frame(x, conv):
    """Applies a 2-D operation to every frame, keeping channels-last memory."""
    B, C, T, H, W = x.shape
    y = conv(x.permute(0, 2, 1, 3, 4).reshape(B * T, C, H, W))
    return y.view(B, T, y.shape[1], y.shape[2], y.shape[3]).permute(0, 2, 1, 3, 4)


class Down(nn.Module):
    def __init__(self, channels, temporal):
        super().__init__()
        self.resample = nn.Sequential(nn.Identity(), nn.Conv2d(channels, channels, 3, stride=2))
        self.time_conv = nn.Conv3d(channels, channels, (3, 1, 1), stride=(2, 1, 1)) if temporal else None

    def forward(self, x):
        x = per_frame(x, lambda f: self.resample[1](F.pad(f, (0, 1, 0, 1))))
        if self.time_conv is not None and x.shape[2] > 1:
            x = torch.cat([x[:, :, :1], self.time_conv(x)], 2)
        return x


class Up(nn.Module):
    def __init__(self, channels, temporal):
        super().__init__()
        self.resample = nn.Sequential(nn.Identity(), nn.Conv2d(channels, channels // 2, 3, padding=1))
        self.time_conv = CausalConv3d(channels, 2 * channels, (3, 1)) if temporal else None

    def forward(self, x):
        B, C, T, H, W = x.shape
        if self.time_conv is not None and T > 1:
            y = F.conv3d(F.pad(x[:, :, 1:], (0, 0, 0, 0, 2, 0)), self.time_conv.weight,
                         self.time_conv.bias)
            y = y.view(B, 2, C, T - 1, H, W).permute(0, 2, 3, 1, 4, 5).reshape(B, C, 2 * (T - 1), H, W)
            x = torch.cat([x[:, :, :1], y], 2)
        return per_frame(x, lambda f: self.resample[1](
            F.interpolate(f, scale_factor=2.0, mode="nearest")))


class Encoder(nn.Module):
    def __init__(self, base, mult, blocks, z, temporal):
        super().__init__()
        dims = [base * m for m in [1, *mult]]
        self.conv_in = CausalConv3d(3, dims[0], (3, 3))
        self.down_blocks = nn.ModuleList()
        for i, (cin, cout) in enumerate(zip(dims[:-1], dims[1:])):
            for j in range(blocks):
                self.down_blocks.append(Residual(cin if j == 0 else cout, cout))
            if i + 1 < len(mult):
                self.down_blocks.append(Down(cout, temporal[i]))
        self.mid_block = Mid(dims[-1])
        self.norm_out, self.conv_out = Norm(dims[-1], 3), CausalConv3d(dims[-1], 2 * z, (3, 3))

    def forward(self, x):
        x = self.conv_in(x)
        for block in self.down_blocks:
            x = block(x)
        x = self.mid_block(x)
        return self.conv_out(channel_norm(x, self.norm_out.gamma, 2), padded=True)


class UpBlock(nn.Module):
    def __init__(self, cin, cout, blocks, up):
        super().__init__()
        self.resnets = nn.ModuleList([Residual(cin if j == 0 else cout, cout)
                                      for j in range(blocks + 1)])
        self.upsamplers = None if up is None else nn.ModuleList([Up(cout, up)])

    def forward(self, x):
        for block in self.resnets:
            x = block(x)
        return x if self.upsamplers is None else self.upsamplers[0](x)


class Decoder(nn.Module):
    def __init__(self, base, mult, blocks, z, temporal):
        super().__init__()
        dims = [base * m for m in [mult[-1], *mult[::-1]]]
        self.conv_in = CausalConv3d(z, dims[0], (3, 3))
        self.mid_block = Mid(dims[0])
        self.up_blocks = nn.ModuleList()
        for i, (cin, cout) in enumerate(zip(dims[:-1], dims[1:])):
            up = temporal[::-1][i] if i + 1 < len(mult) else None
            self.up_blocks.append(UpBlock(cin // 2 if i else cin, cout, blocks, up))
        self.norm_out, self.conv_out = Norm(dims[-1], 3), CausalConv3d(dims[-1], 3, (3, 3))

    def forward(self, x):
        x = self.mid_block(self.conv_in(x))
        for block in self.up_blocks:
            x = block(x)
        return self.conv_out(channel_norm(x, self.norm_out.gamma, 2), padded=True)


class WanVae(nn.Module):
    def __init__(self, base_dim, dim_mult, num_res_blocks, z_dim=16, decoder_base_dim=None,
                 temporal=(False, True, True)):
        super().__init__()
        args = (list(dim_mult), num_res_blocks, z_dim, list(temporal))
        self.encoder = Encoder(base_dim, *args)
        self.quant_conv = CausalConv3d(2 * z_dim, 2 * z_dim, (1, 1))
        self.post_quant_conv = CausalConv3d(z_dim, z_dim, (1, 1))
        self.decoder = Decoder(decoder_base_dim or base_dim, *args)

    def encode(self, x):
        """(mean, logvar) of the latent, each [B, z, T', H/8, W/8]."""
        return self.quant_conv(self.encoder(x)).float().chunk(2, 1)

    def decode(self, z):
        return self.decoder(self.post_quant_conv(z))


def channels_last(module):
    for m in module.modules():
        if isinstance(m, nn.Conv3d):
            m.weight.data = m.weight.data.contiguous(memory_format=torch.channels_last_3d)
        elif isinstance(m, nn.Conv2d):
            m.weight.data = m.weight.data.contiguous(memory_format=torch.channels_last)
    return module
