"""scripts/benchmarks/timeline.py on a trace made up here: which part is denoising, and what is idle."""

import unittest

import timeline

MS = 1_000_000
ATTENTION = "void psagen::kernels::cuda::hopper_attention_kernel<A>"


def kernel(begin_ms, end_ms, name=ATTENTION):
    return f"K\t{begin_ms * MS}\t{end_ms * MS}\t7\t{name}\n"


def read(*lines):
    return timeline.read_trace(lines)


class ReadTest(unittest.TestCase):
    def test_sorts_and_leaves_broken_lines_out(self):
        events, samples = read(kernel(5, 6), "C\t1\t2\t7\tcopy2 99\n", "T\t9\t1\t2\n", "K\t12")
        self.assertEqual([event[2] for event in events], ["C", "K"])
        self.assertEqual(samples, [(9, 1, 2)])


class DenoisingTest(unittest.TestCase):
    def test_is_the_longest_run_without_a_long_gap(self):
        events, _ = read(kernel(0, 10), kernel(200, 210), kernel(250, 260), kernel(400, 405))
        self.assertEqual(timeline.longest_run(events, 50 * MS), [200 * MS, 260 * MS])

    def test_idle_is_where_nothing_runs_on_any_stream(self):
        events, _ = read(kernel(0, 10), kernel(5, 20, "other stream"), kernel(21, 25), kernel(30, 40))
        found = timeline.describe_denoising(events, 0, 40 * MS)
        self.assertAlmostEqual(found["idle_share"], 6 / 40)
        self.assertEqual([gap["us"] for gap in found["longest_gaps"]], [5000, 1000])

    def test_copies_of_any_size_are_one_name(self):
        events, _ = read("C\t0\t10\t7\tcopy2 99\n", "C\t10\t30\t7\tcopy2 7\n")
        self.assertEqual(timeline.by_name(events, 0, 30), [{"name": "copy2", "ms": 3e-5, "calls": 2}])


class DecodingTest(unittest.TestCase):
    def decode(self, limit=None):
        # The other threads compute half of the time up to 250 ms, the main one all the time up to 300.
        samples = [f"T\t{t * MS}\t{min(t, 300) * MS}\t{min(t, 250) * MS // 2}\n" for t in range(0, 501, 10)]
        events, samples = read(kernel(90, 100), kernel(100, 150, "conv"), kernel(160, 200, "conv"),
                               kernel(400, 410), *samples)
        return timeline.describe_decoding(events, samples, 100 * MS, limit)

    def test_ends_before_the_next_attention_kernel(self):
        found = self.decode(400 * MS)
        self.assertEqual(found["ms"], 100)
        self.assertAlmostEqual(found["busy_share"], 0.9)
        self.assertEqual(len(found["bins"]), 6)

    def test_the_encoder_is_the_others_and_the_main_thread_after_the_last_kernel(self):
        found = self.decode(400 * MS)["encoder"]
        self.assertAlmostEqual(found["before_last_kernel_ms"], 50)
        self.assertAlmostEqual(found["after_last_kernel_ms"], 25)
        self.assertAlmostEqual(found["main_after_last_kernel_ms"], 100)
        self.assertAlmostEqual(found["share_before"], 50 / 175)

    def test_cores_in_use(self):
        row = self.decode(400 * MS)["bins"][1]
        self.assertAlmostEqual(row["gpu_busy"], 0.8)
        self.assertAlmostEqual(row["main_cores"], 1.0)
        self.assertAlmostEqual(row["other_cores"], 0.5)


if __name__ == "__main__":
    unittest.main()
