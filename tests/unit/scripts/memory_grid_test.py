"""scripts/benchmarks/memory_grid.py: what a limit costs a step."""

import unittest

import memory_grid


def row(limit, step, model="14b"):
    return {"name": f"{model}-{limit}", "model": model, "size": "832x480", "frames": 81, "limit_gb": limit,
            "step_s": step}


class SlowdownTest(unittest.TestCase):
    def test_compares_with_the_same_run_without_a_limit(self):
        rows = [row(24, 5.5), row(48, 5.0), row(None, 5.0), row(16, 1.0, "1.3b"), {**row(8, None), "step_s": None}]
        self.assertEqual(memory_grid.slowdowns(rows), {"14b-24": 1.1, "14b-48": 1.0})


if __name__ == "__main__":
    unittest.main()
