"""scripts/benchmarks/kernel_times.py on a trace made up here."""

import contextlib
import io
import json
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import kernel_times

TRACE = ("K\t1000\t4000\t7\tvoid norm<float>\n" "C\t0\t90000\t7\tcopy2 99\n" "K\t5000\t6000\t7\tvoid scores\n"
         "K\t7000\t12000\t7\tvoid norm<float>\n" "K\t13000\t17000\t7\tvoid norm<float>\n")


class KernelTimesTest(unittest.TestCase):
    def test_takes_medians_of_kernels_and_leaves_copies_out(self):
        with tempfile.TemporaryDirectory() as folder:
            trace, out = Path(folder) / "fast.tsv", Path(folder) / "out.json"
            trace.write_text(TRACE)
            said = io.StringIO()
            with mock.patch("sys.argv", ["", str(trace), "--json", str(out)]), contextlib.redirect_stdout(said):
                kernel_times.main()
            norm, scores = json.loads(out.read_text())["fast"]
        self.assertIn("norm", norm["kernel"])
        self.assertEqual((norm["calls"], norm["median_us"], norm["sum_ms"]), (3, 4.0, 0.012))
        self.assertEqual((scores["calls"], scores["median_us"]), (1, 1.0))
        self.assertIn("4.0       3     0.012", said.getvalue())


if __name__ == "__main__":
    unittest.main()
