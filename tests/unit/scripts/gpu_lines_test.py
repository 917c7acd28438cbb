"""scripts/benchmarks/gpu_lines.py with programs made up here in the place of psa-gen, torch and the bench."""

import contextlib
import io
import json
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import gpu_lines

PSA_GEN = """#!{python}
import json, sys
zones = [{{"zone": "sparse_attention", "ms": 1.1}}, {{"zone": "norm", "ms": 0.2}}]
if "--attention" not in sys.argv:
    zones = [{{"zone": "attention", "ms": 1.25}}]
part = {{"part": "attention", "median_ms": 1.2, "executed_density": 0.1, "zones": zones}}
open(sys.argv[sys.argv.index("-o") + 1], "w").write(json.dumps({{"results": [part]}}))
"""
TORCH = """#!{python}
print("warming up")
print('{{"self_cudnn_ms": 12.0, "self_flash_ms": 18.0, "floor_ms": 470.0}}')
"""
KERNELS = """#!{python}
import json
for kernels, scale in (("default", 1.0), ("portable", 1.6)):
    print(json.dumps({{"device": "a GPU", "kernels": kernels}}))
    for case, us in (("dense", 10000.0), ("density 0.1", 1200.0), ("density 0.15", 1800.0), ("density 0.2", 2300.0),
                     ("density 0.3", 3400.0), ("all at level 1", 10500.0)):
        print(json.dumps({{"case": "32760 x 12 x 128, blocks of 128, " + case, "us": us * scale, "tflop_per_s": 300.0}}))
    print("a table for people")
"""


class GpuLinesTest(unittest.TestCase):
    def run_script(self, *flags):
        with tempfile.TemporaryDirectory() as folder:
            paths = {}
            for name, text in (("psa-gen", PSA_GEN), ("torch", TORCH), ("kernels", KERNELS)):
                paths[name] = Path(folder) / name
                paths[name].write_text(text.format(python=sys.executable))
                paths[name].chmod(0o755)
            out = Path(folder) / "lines.json"
            argv = ["", "--program", str(paths["psa-gen"]), "--python", str(paths["torch"]), "--out", str(out),
                    "--kernels", str(paths["kernels"]), *flags]
            with mock.patch("sys.argv", argv), contextlib.redirect_stdout(io.StringIO()), \
                    contextlib.redirect_stderr(io.StringIO()), self.assertRaises(SystemExit) as end:
                gpu_lines.main()
            return end.exception.code, {line["line"]: line for line in json.loads(out.read_text())["lines"]}

    def test_holds_kernels_against_bars(self):
        code, lines = self.run_script("--parts", "kernels")
        self.assertAlmostEqual(lines["portable dense attention / FlashAttention 2, speed"]["value"], 18 / 16)
        self.assertAlmostEqual(lines["every block at level 1 / dense attention"]["value"], 1.05)
        self.assertAlmostEqual(lines["portable, density 0.2: TFLOP/s / FlashAttention 2's"]["value"],
                               300 / (gpu_lines.DENSE_TFLOP / 18e-3), places=6)
        self.assertEqual((code, len(lines)), (0, 6))

    def test_what_comes_before_sparse_attention_is_its_zones(self):
        code, lines = self.run_script("--parts", "densities", "--pairs", "1")
        self.assertAlmostEqual(lines["q10: pooling and selection / t, %"]["value"], 100 * 0.2 / 1.1)
        self.assertAlmostEqual(lines["q10: t / (rho dense)"]["value"], 1.1 / (0.1 * 1.25))
        self.assertEqual(code, 1)  # 9 times the density


if __name__ == "__main__":
    unittest.main()
