"""scripts/benchmarks/gpu_runs.py with a program made up here in the place of psa-gen."""

import contextlib
import io
import json
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import gpu_runs

PSA_GEN = """#!{python}
import json, os, sys
value = lambda flag: sys.argv[sys.argv.index(flag) + 1]
if sys.argv[1] == "bench":
    ms = 28000.0 if "--attention" in sys.argv else 51000.0
    if "--attention" in sys.argv:
        assert json.load(open(value("--attention").split(":")[1]))["warmup_share"] == 0.25
    open(value("-o"), "w").write(json.dumps({{"results": [{{"median_ms": 1.0}}, {{"median_ms": ms}}]}}))
if "PSAGEN_TRACE" in os.environ:
    lines = ["K\\t0\\t900\\t1\\thopper_attention_kernel", "K\\t910\\t2000\\t1\\thopper_attention_kernel",
             "K\\t3000\\t4000\\t1\\tconvolution", "T\\t3000\\t0\\t0", "T\\t4000\\t0\\t300", "T\\t5000\\t0\\t1000"]
    open(os.environ["PSAGEN_TRACE"], "w").write("\\n".join(lines) + "\\n")
if "--report" in sys.argv:
    step = 4.4 if "--vram-limit" in sys.argv else 4.0
    open(value("--report"), "w").write(json.dumps({{
        "steps": [{{"seconds": 9.0}}, {{"seconds": step}}],
        "stages": [{{"stage": name, "seconds": seconds}} for name, seconds in
                   (("load", 0.6), ("encode text", 0.2), ("denoise", -0.9), ("decode", -0.6), ("write", -0.1))]}}))
"""


class GpuRunsTest(unittest.TestCase):
    def run_script(self, *flags, program=PSA_GEN):
        with tempfile.TemporaryDirectory() as folder:
            psa_gen, model = Path(folder) / "psa-gen", Path(folder) / "model"
            psa_gen.write_text(program.format(python=sys.executable))
            psa_gen.chmod(0o755)
            model.mkdir()
            (model / "model.safetensors").write_bytes(bytes(1000))
            out = Path(folder) / "runs.json"
            argv = ["", "--program", str(psa_gen), "--out", str(out), "--small", str(model), "--large", str(model),
                    *flags]
            with mock.patch("sys.argv", argv), contextlib.redirect_stdout(io.StringIO()), \
                    contextlib.redirect_stderr(io.StringIO()), self.assertRaises(SystemExit) as end:
                gpu_runs.main()
            if not out.exists():
                return end.exception.code, None
            return end.exception.code, {line["line"]: line for line in json.loads(out.read_text())["lines"]}

    def test_holds_runs_against_bars(self):
        code, lines = self.run_script("--parts", "runs,cold,limit")
        self.assertEqual(lines["dense, 50 steps, prompt to MP4, s"]["value"], 51)
        self.assertFalse(lines["dense, 50 steps, prompt to MP4, s"]["met"])
        self.assertEqual(lines["psa:fast after a dense quarter, the same, s"]["value"], 28)
        # Stages that took less than no time, so that the little that this program took does not matter.
        self.assertAlmostEqual(lines["cold start / (8 s, or a plain read / 0.7 if longer)"]["value"], 0.2, delta=0.1)
        self.assertAlmostEqual(lines["14B under 24 GB / resident, a step"]["value"], 1.1)
        self.assertEqual((code, len(lines)), (1, 4))

    def test_reads_the_trace_of_a_run(self):
        code, lines = self.run_script("--parts", "idle", "--trace", "libtrace.so")
        self.assertAlmostEqual(lines["GPU idle while denoising, %"]["value"], 100 * 10 / 2000)
        self.assertAlmostEqual(lines["encoder's work done before the last kernel, %"]["value"], 30)
        self.assertEqual(code, 0)

    def test_reads_the_trace_of_a_clip(self):
        code, lines = self.run_script("--parts", "loop", "--trace", "libtrace.so")
        self.assertAlmostEqual(lines["GPU idle while denoising, psa-gen itself, %"]["value"], 100 * 10 / 2000)
        self.assertEqual((code, len(lines)), (0, 1))

    def test_a_part_that_fails_is_not_met(self):
        code, lines = self.run_script("--parts", "limit", program="#!{python}\nimport sys\nsys.exit('no GPU')\n")
        self.assertEqual((code, lines["14B under 24 GB / resident, a step"]["met"]), (1, None))

    def test_names_what_a_part_wants(self):
        self.assertEqual(self.run_script("--parts", "idle"), (2, None))
        self.assertEqual(self.run_script("--parts", "speed"), (2, None))


if __name__ == "__main__":
    unittest.main()
