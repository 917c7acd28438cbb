"""MovingShapes clips from the program's own renderer (engine/synth), for training and evaluation."""

import ctypes
import os
import pathlib
import subprocess

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
SPLITS = ["train", "val", "test-iid", "test-comp", "test-pair", "real-b"]
SIZES = [27000, 512, 2048, 2048, 256, 2048]


def build_library(folder):
    """Compiles the renderer into `folder` and returns the library's path."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "libpsagen_synth.so"
    sources = sorted(str(p) for p in (ROOT / "engine/synth").glob("*.cc"))
    subprocess.run(["g++", "-std=c++20", "-O3", "-fPIC", "-shared", "-fopenmp",
                    "-ffp-contract=off", f"-I{ROOT}", *sources, "-o", str(target)], check=True)
    return target


class MovingShapes:
    """Batches of clips as uint8 arrays."""

    def __init__(self, library):
        self.lib = ctypes.CDLL(str(library))
        self.lib.psagen_synth_render_batch.argtypes = [
            ctypes.c_int, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64,
            ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p,
            ctypes.c_void_p]
        self.lib.psagen_synth_caption.argtypes = [
            ctypes.c_int, ctypes.c_int64, ctypes.c_uint64, ctypes.c_char_p, ctypes.c_int]
        self.lib.psagen_synth_describe.argtypes = [
            ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p]
        self.version = self.lib.psagen_synth_version()

    def render(self, split, indices, size=256, windows=None, width=None, height=None,
               clip_frames=33, num_frames=33, coverage=False):
        """rgb [n, frames, height, width, 3] and, if asked for, coverage [n, frames, height, width].

        `windows` is [n, 3]: left, top, first frame.
        """
        indices = np.ascontiguousarray(indices, np.int64)
        n = len(indices)
        width, height = width or size, height or size
        windows = np.zeros((n, 3), np.int64) if windows is None else np.ascontiguousarray(
            windows, np.int64)
        rgb = np.empty((n, num_frames, height, width, 3), np.uint8)
        cover = np.empty((n, num_frames, height, width), np.uint8) if coverage else None
        failed = self.lib.psagen_synth_render_batch(
            SPLITS.index(split), n, indices.ctypes.data, windows.ctypes.data, size, width, height,
            clip_frames, num_frames, rgb.ctypes.data, cover.ctypes.data if coverage else None)
        if failed:
            raise ValueError(f"{failed} of {n} clips of split {split} could not be rendered")
        return (rgb, cover) if coverage else rgb

    def caption(self, split, index, variant=0):
        text = ctypes.create_string_buffer(512)
        if self.lib.psagen_synth_caption(SPLITS.index(split), index, variant, text, 512) < 0:
            raise ValueError(f"no caption for clip {index} of split {split}")
        return text.value.decode()

    def describe(self, split, index, num_frames=33):
        """(attributes [6], poses [frames, 4]: x, y, radius in frame widths, angle in turns)."""
        attributes = np.empty(6, np.int32)
        poses = np.empty((num_frames, 4), np.float64)
        if self.lib.psagen_synth_describe(SPLITS.index(split), index, num_frames,
                                          attributes.ctypes.data, poses.ctypes.data):
            raise ValueError(f"no clip {index} in split {split}")
        return attributes, poses


def open_library(folder=None):
    folder = folder or os.environ.get("PSAGEN_SYNTH_BUILD", ROOT / "build" / "synth")
    return MovingShapes(build_library(folder))


def contact_sheet(clips, path, frames=6, columns=2):
    """clips: list of [T, H, W, 3] uint8; a row of evenly spaced frames for each."""
    from PIL import Image

    rows = []
    for clip in clips:
        picks = [round(i * (len(clip) - 1) / (frames - 1)) for i in range(frames)]
        rows.append(np.concatenate([clip[i] for i in picks], 1))
    while len(rows) % columns:
        rows.append(np.zeros_like(rows[0]))
    sheet = np.concatenate(
        [np.concatenate(rows[c::columns], 0) for c in range(columns)], 1)
    Image.fromarray(sheet).save(path)
