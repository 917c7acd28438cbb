"""Small pictures of clips side by side, as one PNG."""
import os
import zlib

import numpy as np

FRAMES, SHRINK = 3, 2
MAX_BYTES = 590_000


def thumbnails(frames):
    """[frames, height, width, 3] bytes -> three of them at half the size, side by side."""
    chosen = frames[:: max(1, len(frames) // FRAMES)][:FRAMES].astype(np.float64)
    count, height, width, _ = chosen.shape
    small = chosen.reshape(count, height // SHRINK, SHRINK, width // SHRINK, SHRINK, 3).mean((2, 4))
    return np.concatenate(list((small + 0.5).astype(np.uint8)), 1)


def filtered(rgb):
    """The rows as PNG stores them: of the five predictions the one that leaves the least."""
    x = rgb.astype(np.int16)
    left, up, corner = (np.zeros_like(x) for _ in range(3))
    left[:, 1:], up[1:], corner[1:, 1:] = x[:, :-1], x[:-1], x[:-1, :-1]
    a, b, c = (np.abs(p - (left + up - corner)) for p in (left, up, corner))
    paeth = np.where((a <= b) & (a <= c), left, np.where(b <= c, up, corner))
    rests = [(x - p).astype(np.uint8) for p in (np.zeros_like(x), left, up, (left + up) // 2, paeth)]
    costs = np.stack([np.abs(r.astype(np.int8).astype(np.int16)).sum((1, 2)) for r in rests])
    return b"".join(bytes([kind]) + rests[kind][row].tobytes()
                    for row, kind in enumerate(costs.argmin(0)))


def encode_png(rgb):
    height, width, _ = rgb.shape
    chunk = lambda tag, body: (len(body).to_bytes(4, "big") + tag + body +
                               zlib.crc32(tag + body).to_bytes(4, "big"))
    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) +
            chunk(b"IDAT", zlib.compress(filtered(rgb), 9)) + chunk(b"IEND", b""))


def write_png(path, rgb):
    """In place of what is there, at once; with coarser colours where it would be too large."""
    for step in (1, 2, 4, 8, 16, 32):
        data = encode_png(rgb // step * step + step // 2)
        if len(data) <= MAX_BYTES:
            break
    partial = path.with_suffix(".partial")
    partial.write_bytes(data)
    os.replace(partial, path)
