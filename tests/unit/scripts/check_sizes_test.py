"""The limits of scripts/check_sizes.py, on both sides of each."""

import pathlib
import tempfile
import unittest

import check_sizes
from check_sizes import MB


def check(**files):
    return check_sizes.check({pathlib.PurePosixPath(name): size for name, size in files.items()})


class LimitTest(unittest.TestCase):
    def test_lines(self):
        self.assertEqual(check(**{"engine/a.cc": (1, 400)}), ([], []))
        self.assertEqual(check(**{"engine/a.cc": (1, 401)}),
                         ([], ["engine/a.cc: 401 lines, the aim is 400"]))
        self.assertEqual(check(**{"engine/a.cc": (1, 800)})[0], [])
        self.assertEqual(check(**{"engine/a.cc": (1, 801)})[0], ["engine/a.cc: 801 lines, at most 800"])
        self.assertEqual(check(**{"docs/long.md": (1, 5000)}), ([], []))

    def test_bytes(self):
        self.assertEqual(check(**{"tests/data/a.safetensors": (MB, 1)}), ([], []))
        self.assertEqual(len(check(**{"tests/data/a.safetensors": (MB + 1, 1)})[0]), 1)
        self.assertEqual(check(**{"models/a": (15 * MB, 1), "models/b": (15 * MB, 1)}), ([], []))
        self.assertEqual(len(check(**{"models/a": (15 * MB, 1), "models/b": (15 * MB + 1, 1)})[0]), 1)
        self.assertEqual(check(**{"docs/a.png": (45 * MB, 1)}), ([], []))
        self.assertEqual(len(check(**{"docs/a.png": (45 * MB + 1, 1)})[0]), 1)

    def test_measures_a_folder(self):
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "a.cc").write_text("x\ny\n")
            self.assertEqual(check_sizes.measure(folder), {pathlib.PurePosixPath("a.cc"): (4, 2)})


if __name__ == "__main__":
    unittest.main()
