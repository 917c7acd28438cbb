"""Each rule of scripts/check_layering.py on a line that breaks it and on one that keeps it."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

import check_layering


def findings(name, text):
    return [finding for _, finding in check_layering.check_file(pathlib.PurePosixPath(name), text)]


class RuleTest(unittest.TestCase):
    def breaks(self, name, text, expected):
        found = findings(name, text)
        self.assertEqual(len(found), 1, f"{name}: {text!r} gave {found}")
        self.assertIn(expected, found[0])

    def keeps(self, name, text):
        self.assertEqual(findings(name, text), [], f"{name}: {text!r}")

    def test_direction(self):
        self.breaks("kernels/a.cc", '#include "engine/nn/norm.h"', "kernels may not include")
        self.breaks("kernels/a.cc", '#include "scheduler/solver.h"', "kernels may not include")
        self.breaks("scheduler/a.cc", '#include "kernels/ops.h"', "scheduler may not include")
        self.breaks("engine/nn/a.cc", '#include "app/options.h"', "engine may not include")
        self.breaks("app/a.cc", '#include "kernels/ops.h"', "app may not include")
        self.breaks("engine/nn/a.cc", '#include "tests/support/random.h"', "engine may not include")
        self.keeps("scheduler/a.cc", '#include "kernels/core/error.h"')
        self.keeps("engine/nn/a.cc", '#include "kernels/ops.h"')
        self.keeps("app/a.cc", '#include "kernels/core/error.h"')
        self.keeps("tests/unit/a.cc", '#include "kernels/ops.h"')

    def test_includes_start_at_the_root(self):
        self.breaks("engine/nn/a.cc", '#include "norm.h"', "start at the root")
        self.keeps("app/version.cc", '#include "commit.h"')

    def test_private_folders(self):
        self.breaks("engine/nn/a.cc", '#include "kernels/cpu/cpu_ops.h"', "private")
        self.breaks("kernels/cpu/a.cc", '#include "kernels/reference/linear.h"', "private")
        self.keeps("kernels/backend.cc", '#include "kernels/cpu/cpu_ops.h"')
        self.keeps("tests/parity/a.cc", '#include "kernels/reference/linear.h"')

    def test_vendors(self):
        for header, home, stranger in (
                ("dnnl.hpp", "kernels/cpu/a.cc", "kernels/a.cc"),
                ("oneapi/dnnl/dnnl.hpp", "kernels/cpu/a.cc", "engine/nn/a.cc"),
                ("hwy/highway.h", "kernels/cpu/a.cc", "engine/synth/a.cc"),
                ("cuda_runtime.h", "kernels/cuda/a.cc", "kernels/core/a.cc"),
                ("cub/cub.cuh", "kernels/cuda/a.cu", "kernels/cpu/a.cc"),
                ("sentencepiece_processor.h", "engine/text/a.cc", "app/a.cc"),
                ("libavcodec/avcodec.h", "engine/media/a.cc", "app/a.cc"),
                ("libswscale/swscale.h", "engine/media/a.cc", "engine/synth/a.cc"),
                ("stb_image_write.h", "engine/media/a.cc", "engine/synth/a.cc"),
                ("nlohmann/json.hpp", "engine/config/a.cc", "engine/dit/a.cc"),
                ("nlohmann/json_fwd.hpp", "engine/weights/a.cc", "kernels/a.cc")):
            self.keeps(home, f"#include <{header}>")
            self.breaks(stranger, f"#include <{header}>", "headers belong in")
            self.breaks(stranger, f'extern "C" {{\n#include <{header}>\n}}', "headers belong in")
        self.breaks("engine/nn/a.cc", "#include <gtest/gtest.h>", "belong in tests/")
        self.keeps("tests/golden/a.cc", "#include <nlohmann/json.hpp>")
        self.keeps("engine/nn/a.cc", "#include <vector>")

    def test_standard_headers_that_are_not_everywhere(self):
        self.breaks("engine/nn/a.cc", "#include <format>", "cannot be read")
        self.breaks("tests/unit/a.cc", "#include <ranges>", "cannot be read")

    def test_kernels_know_no_models(self):
        for code in ("void dit_block();", "struct VaeDecoder {};", "int kUMT5Width;", "class WanModel;",
                     'PSAGEN_CHECK(x, y, "the VAE wants");'):
            self.breaks("kernels/a.cc", code, "know no models")
            self.keeps("engine/nn/a.cc", code)
        self.keeps("kernels/a.cc", "// Wan VAE, spec 4.1\nint width; /* DiT\n UMT5 */")
        self.keeps("kernels/a.cc", "int condition, audit, swan, elevated, edited;")

    def test_build_flags(self):
        header = "#pragma once\n"
        self.breaks("engine/a.h", header + "#ifdef PSAGEN_CUDA\n#endif", "build flag PSAGEN_CUDA")
        self.breaks("kernels/ops.h", header + "#if defined(USE_DNNL)\n#endif", "build flag USE_DNNL")
        self.keeps("kernels/cuda/module.h", header + "#ifdef PSAGEN_CUDA\n#endif")
        self.keeps("kernels/backend.cc", "#ifdef PSAGEN_CUDA\n#endif")
        self.keeps("kernels/cpu/a-inl.h", "#if defined(PSAGEN_A_INL_H) == defined(HWY_TARGET_TOGGLE)\n#endif")

    def test_headers_are_read_once(self):
        self.breaks("engine/a.h", "int x;\n", "#pragma once")

    def test_function_macros(self):
        self.breaks("engine/a.cc", "#define SQUARE(x) ((x) * (x))", "function-like macro SQUARE")
        self.keeps("engine/a.cc", "#define STB_IMAGE_WRITE_IMPLEMENTATION")
        self.keeps("kernels/core/error.h", "#pragma once\n#define PSAGEN_CHECK(condition, code, ...) \\\n  x")

    def test_libraries_neither_print_nor_end_the_process(self):
        for code in ('std::cout << "x";', 'printf("x");', 'std::fprintf(stderr, "x");'):
            self.breaks("engine/a.cc", code, "prints nothing")
            self.keeps("app/console.cc", code)
        for code in ("exit(1);", "std::exit(1);", "std::abort();"):
            self.breaks("scheduler/a.cc", code, "does not end the process")
        self.keeps("engine/a.cc", 'std::snprintf(text, 8, "x"); report("printf(x)"); loop.exit(); a->abort();')

    def test_paths_of_one_machine(self):
        for place in ("home/me/x", "root/x", "tmp/build", "opt/venv", "Users/me"):
            self.breaks("scripts/a.sh", f"cd /{place}", "path of one machine")
        self.keeps("scripts/a.sh", 'cd "$root/tmp/x"; x=../opt/y; z=~/root/q; cat /proc/self/status >/dev/null')
        self.keeps("tests/unit/a.cc", 'std::string path = "/home/somebody/clip.mp4";')

    def test_unfinished(self):
        self.breaks("engine/a.cc", "// TODO: finish", "unfinished")

    def test_file_names(self):
        for name in ("engine/nn/norm_utils.cc", "kernels/fast_norm.cc", "app/WindowManager.cc"):
            self.breaks(name, "", "a file name says")
        self.keeps("engine/text/newline.cc", "")
        self.keeps("configs/attention/fast.json", "{}")


class CommentTest(unittest.TestCase):
    def test_comments_go_and_lines_stay(self):
        text = 'a; // b\n/* c\n d */ e "// f" \'"\' // g\nR"x(// h)x" i'
        plain = check_layering.without_comments(text)
        self.assertEqual(plain.count("\n"), text.count("\n"))
        for kept in ('"// f"', "// h", "a;", "e ", " i"):
            self.assertIn(kept, plain)
        for gone in ("b\n", "c\n", "d */", "// g"):
            self.assertNotIn(gone, plain)


class ProgramTest(unittest.TestCase):
    def run_on(self, name, text):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, name)
            path.parent.mkdir(parents=True)
            path.write_text(text)
            return subprocess.run([sys.executable, check_layering.__file__, folder],
                                  capture_output=True, text=True)

    def test_names_file_and_line(self):
        result = self.run_on("kernels/core/a.cc", '\n\n#include "engine/nn/norm.h"\n')
        self.assertEqual(result.returncode, 1)
        self.assertIn("kernels/core/a.cc:3: kernels may not include engine/nn/norm.h", result.stderr)

    def test_passes(self):
        result = self.run_on("kernels/core/a.cc", "#include <vector>\n")
        self.assertEqual(result.returncode, 0, result.stderr)


if __name__ == "__main__":
    unittest.main()
