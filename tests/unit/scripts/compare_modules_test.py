"""scripts/benchmarks/compare_modules.py with a program made up here, which some modules upset."""

import contextlib
import io
import json
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import compare_modules

PROGRAM = """#!{python}
import json, os, sys
module = os.path.basename(os.environ["PSAGEN_CUDA_MODULE"])
if module == "broken.so":
    sys.exit("error: no such kernel")
ms = {{"old.so": 10.0, "new.so": 8.0}}[module]
zones = [{{"zone": "attention", "ms": ms / 4}}, {{"zone": "attention", "ms": ms / 4}}]
results = [{{"part": "product", "median_ms": 1.0}},
           {{"part": sys.argv[2], "median_ms": ms, "zones": zones}}]
open(sys.argv[sys.argv.index("-o") + 1], "w").write(json.dumps({{"results": results}}))
"""


class CompareModulesTest(unittest.TestCase):
    def run_script(self, *modules):
        with tempfile.TemporaryDirectory() as folder:
            program, out = Path(folder) / "psa-gen", Path(folder) / "out.json"
            program.write_text(PROGRAM.format(python=sys.executable))
            program.chmod(0o755)
            flags = ["", "--program", str(program), "--out", str(out), "--turns", "2", "--bench", "forward --rounds 3",
                     "--modules", *modules]
            said = io.StringIO()
            with mock.patch("sys.argv", flags), contextlib.redirect_stdout(said):
                compare_modules.main()
            return json.loads(out.read_text()), said.getvalue()

    def test_gives_ratios_to_the_first_module_and_sums_zones_of_a_name(self):
        written, said = self.run_script("old.so", "new.so")
        self.assertEqual(written["medians"], {"forward --rounds 3": {
            "forward": {"old.so": 10.0, "new.so": 8.0}, "forward: attention": {"old.so": 5.0, "new.so": 4.0}}})
        self.assertEqual(said.count(" 0.800"), 2)
        # Turn by turn, so that a clock that falls falls for both.
        self.assertEqual([run["module"] for run in written["runs"]], ["old.so", "new.so"] * 2)

    def test_a_module_that_fails_is_named_and_the_others_go_on(self):
        written, said = self.run_script("old.so", "broken.so", "new.so")
        self.assertIn("broken, forward --rounds 3: error: no such kernel", said)
        self.assertEqual(set(written["medians"]["forward --rounds 3"]["forward"]), {"old.so", "new.so"})


if __name__ == "__main__":
    unittest.main()
