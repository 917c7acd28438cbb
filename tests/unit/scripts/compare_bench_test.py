"""scripts/compare_bench.py on results made up here: what it reads and what it calls slower."""

import contextlib
import io
import json
import pathlib
import tempfile
import unittest

import compare_bench


def results(*runs):
    return {"benchmarks": [
        {"name": name, "run_name": name, "run_type": "iteration", "real_time": time, "time_unit": unit}
        for name, time, unit in runs]}


class ReadTest(unittest.TestCase):
    def test_takes_the_fastest_in_nanoseconds(self):
        times = compare_bench.read_times(results(("a", 3, "ms"), ("a", 2, "ms"), ("b", 5, "us")))
        self.assertEqual(times, {"a": 2e6, "b": 5e3})

    def test_leaves_aggregates_out(self):
        made = results(("a", 3, "ms"))
        made["benchmarks"].append({"name": "a_mean", "run_name": "a", "run_type": "aggregate",
                                   "real_time": 1, "time_unit": "ms"})
        self.assertEqual(compare_bench.read_times(made), {"a": 3e6})

    def test_a_failed_benchmark_is_an_error(self):
        made = results(("a", 3, "ms"))
        made["benchmarks"][0].update(error_occurred=True, error_message="results differ")
        with self.assertRaisesRegex(ValueError, "a: results differ"):
            compare_bench.read_times(made)


class CompareTest(unittest.TestCase):
    def test_threshold(self):
        base = {"same": 100.0, "slower": 100.0, "faster": 100.0, "gone": 1.0}
        head = {"same": 104.9, "slower": 105.1, "faster": 90.0, "added": 1.0}
        lines, slower = compare_bench.compare(base, head, 0.05)
        self.assertEqual(slower, ["slower"])
        text = "\n".join(lines)
        self.assertRegex(text, r"faster .*0\.900  faster")
        self.assertRegex(text, r"gone +only in base")
        self.assertRegex(text, r"added +only in head")

    def test_rounds(self):
        self.assertEqual(compare_bench.merge_fastest([{"a": 3.0}, {"a": 2.0, "b": 1.0}]), {"a": 2.0, "b": 1.0})

    def test_exit_code(self):
        with tempfile.TemporaryDirectory() as folder:
            names = [str(pathlib.Path(folder, side)) for side in ("base", "head")]
            for name, time in zip(names, (1.0, 2.0)):
                pathlib.Path(name).write_text(json.dumps(results(("a", time, "ms"))))
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                self.assertEqual(compare_bench.main(["--files", *names]), 1)
                self.assertEqual(compare_bench.main(["--files", *reversed(names)]), 0)


if __name__ == "__main__":
    unittest.main()
