"""How near a clip is to another: PSNR over 8-bit RGB and SSIM of its luma, in float64.

The same expressions run on numpy's arrays and on torch's tensors, so that a GPU may do them.
"""
import numpy as np

LUMA = (0.2126, 0.7152, 0.0722)  # BT.709
TAPS, SIGMA = 11, 1.5


def choose_device(name):
    """None for numpy, else a device of torch. `auto`: the GPU where torch has one."""
    if name == "cpu":
        return None
    try:
        import torch
    except ImportError:
        if name == "auto":
            return None
        raise
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else None
    return name


def window_matrix(length):
    """[length - 10, length]: the Gaussian window at every place where it fits."""
    taps = np.exp(-((np.arange(TAPS) - TAPS // 2) ** 2) / (2 * SIGMA**2))
    rows = np.zeros((length - TAPS + 1, length))
    for i, row in enumerate(rows):
        row[i : i + TAPS] = taps / taps.sum()
    return rows


class Reference:
    """The clip that others are compared with: [frames, height, width, 3] bytes."""

    def __init__(self, frames, device=None):
        self.device = device
        self.down, self.across = (self._put(window_matrix(n)) for n in frames.shape[1:3])
        self.rgb = self._put(frames) / 255.0
        self.luma = self._luma(self.rgb)
        self.mean = self._smooth(self.luma)
        self.variance = self._smooth(self.luma * self.luma) - self.mean * self.mean

    def compare(self, frames):
        """(PSNR in dB, SSIM) of another clip: Wang et al. 2004, mean over places and frames."""
        rgb = self._put(frames) / 255.0
        error = float(((rgb - self.rgb) ** 2).mean())
        luma = self._luma(rgb)
        mean = self._smooth(luma)
        variance = self._smooth(luma * luma) - mean * mean
        covariance = self._smooth(luma * self.luma) - mean * self.mean
        c1, c2 = 0.01**2, 0.03**2
        ssim = ((2 * mean * self.mean + c1) * (2 * covariance + c2)) / (
            (mean * mean + self.mean * self.mean + c1) * (variance + self.variance + c2))
        return float(-10 * np.log10(max(error, 1e-12))), float(ssim.mean())

    def _put(self, values):
        if self.device is None:
            return values.astype(np.float64)
        import torch
        return torch.from_numpy(values).to(self.device).double()

    def _luma(self, rgb):
        return sum(rgb[..., i] * weight for i, weight in enumerate(LUMA))

    def _smooth(self, planes):
        return self.down @ planes @ self.across.T
