#!/usr/bin/env python3
"""Checks who may know whom: the rules of README.md, "Layout", as file:line findings.

    app -> engine -> kernels
                  -> scheduler

Run without arguments it checks this repository; with a folder, that folder. Exit code 1 where a
rule is broken. tests/unit/scripts/check_layering_test.py shows each rule failing and passing.
"""

import pathlib
import re
import sys

import source_tree

CPP = {".h", ".cc", ".cu", ".cuh"}
HEADERS = {".h", ".cuh"}
TEXT = CPP | {".cmake", ".in", ".json", ".md", ".py", ".sh", ".txt", ".yml", ".yaml", ""}
LIBRARIES = ("kernels", "scheduler", "engine")
LAYERS = LIBRARIES + ("app",)

# Which of our own folders a folder may include; the longest matching prefix decides.
MAY_INCLUDE = {
    "kernels": ("kernels/",),
    "scheduler": ("scheduler/", "kernels/core/error.h"),
    "engine": ("engine/", "kernels/", "scheduler/"),
    "app": ("app/", "engine/", "kernels/core/", "scheduler/"),
}

# Our own folders that only their neighbours may include: (folder, who may).
PRIVATE_FOLDERS = (
    ("kernels/reference/", ("kernels/reference/",)),  # what "right" means: tests only
    ("kernels/cpu/", ("kernels/cpu/", "kernels/backend.cc")),
    ("kernels/cuda/", ("kernels/cuda/", "kernels/backend.cc")),
    ("kernels/plan/", ("kernels/plan/", "kernels/backend.cc")),
)

# Vendor headers and the one place each is known in.
VENDORS = (
    ("CUDA", r"(cuda|cublas|cudnn|curand|nvtx|nvml|cub/|thrust/|mma\.h|cooperative_groups)",
     ("kernels/cuda/",)),
    ("oneDNN", r"(dnnl|oneapi/)", ("kernels/cpu/",)),
    ("Highway", r"hwy/", ("kernels/cpu/",)),
    ("OpenMP", r"omp\.h", ("kernels/cpu/",)),
    ("sentencepiece", r"sentencepiece", ("engine/text/",)),
    ("utf8proc", r"utf8proc", ("engine/text/",)),
    ("FFmpeg", r"lib(av|sw)[a-z]*/", ("engine/media/",)),
    ("stb", r"(stb/)?stb_", ("engine/media/",)),
    # Everything the program reads or writes as JSON, safetensors headers among it.
    ("nlohmann/json", r"nlohmann/", ("engine/config/", "engine/weights/", "app/")),
    ("GoogleTest and Benchmark", r"(gtest|gmock|benchmark)/", ()),
)

# Headers that the build writes into its own folder.
GENERATED = {"commit.h"}

# What clang 14 and GCC 12 cannot both read.
UNAVAILABLE = {"format", "expected", "ranges", "print", "generator", "flat_map", "mdspan"}

# Words of models; kernels know tensors only.
MODEL_WORDS = {"umt5", "t5", "dit", "vae", "wan", "i3d"}
# Words that say nothing about what a thing does differently.
EMPTY_WORDS = {"new", "old", "fast", "utils", "util", "helper", "helpers", "manager", "misc", "v2"}

FUNCTION_MACROS = {
    "PSAGEN_CHECK", "PSAGEN_ASSERT", "PSAGEN_CUDA",
    "PSAGEN_STRINGIFY", "PSAGEN_STRINGIFY_2",  # the preprocessor has no other way to join a line number
}

INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)')
CONDITION = re.compile(r"^\s*#\s*(?:if|ifdef|ifndef|elif)\b(.*)")
BUILD_FLAG = re.compile(r"\b(PSAGEN_[A-Z0-9_]+|(?:HAVE|USE|WITH|ENABLE)_[A-Z0-9_]+|__CUDACC__|__CUDA_ARCH__)\b")
FUNCTION_MACRO = re.compile(r"^\s*#\s*define\s+(\w+)\(")
PRINTING = re.compile(r"\bstd::(cout|cerr|clog)\b|(?<![\w.>])(?:std::)?(printf|puts|putchar|fprintf|fputs)\s*\(")
ENDING = re.compile(r"(?<![\w.>:])(?:std::)?(exit|_exit|quick_exit|_Exit|abort|terminate)\s*\(")
MACHINE_PATH = re.compile(r"(?<![\w.$}/~*-])/(?!home/somebody\b)(home|root|work|opt|mnt|Users|tmp)/[\w.]|\b[A-Z]:\\\\?[A-Za-z]")
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
WORD = re.compile(r"[A-Z]+(?![a-z])\d*|[A-Z]?[a-z]+\d*|\d+")
IDENTIFIER = re.compile(r"[A-Za-z_]\w*")


def without_comments(text):
    """The same text, same lines, with comments blanked; string literals stay."""
    pattern = re.compile(
        r'//[^\n]*|/\*.*?\*/|R"([^(\s]*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])\'', re.S)

    def blank(match):
        token = match.group(0)
        return re.sub(r"[^\n]", " ", token) if token.startswith("/") else token

    return pattern.sub(blank, text)


def without_strings(line):
    return re.sub(r'"(?:\\.|[^"\\])*"', '""', line)


def words(identifier):
    return {word.lower() for word in WORD.findall(identifier)}


def check_include(path, number, quoted, angled):
    name = str(path)
    top = path.parts[0]
    target = quoted or angled
    if quoted and top in MAY_INCLUDE:
        if quoted.split("/")[0] in LAYERS + ("tests",) and not quoted.startswith(MAY_INCLUDE[top]):
            yield number, f"{top} may not include {quoted}"
        if "/" not in quoted and quoted not in GENERATED:
            yield number, f'includes start at the root of the repository: "{quoted}"'
        for folder, friends in PRIVATE_FOLDERS:
            if quoted.startswith(folder) and not name.startswith(friends):
                yield number, f"{folder} is private to {', '.join(friends)}"
    if angled in UNAVAILABLE:
        yield number, f"<{angled}> cannot be read by every compiler the program is built with"
    if top == "tests":
        return
    for vendor, pattern, homes in VENDORS:
        if re.match(pattern, target) and not (quoted and quoted.split("/")[0] in LAYERS):
            if not name.startswith(homes or ("tests/",)):
                yield number, f"{vendor} headers belong in {', '.join(homes or ('tests/',))}"


def check_code_line(path, number, line):
    top = path.parts[0]
    name = str(path)
    match = INCLUDE.match(line)
    if match:
        yield from check_include(path, number, match.group(1), match.group(2))
    match = CONDITION.match(line)
    if match and path.suffix in HEADERS and top in LAYERS and not name.startswith("kernels/cuda/"):
        # The guard with which Highway reads a header once per instruction set is no build flag.
        flag = BUILD_FLAG.search(match.group(1))
        if flag and not (path.name.endswith("-inl.h") and flag.group(1).endswith("_INL_H")):
            yield number, f"a header outside kernels/cuda tests the build flag {flag.group(1)}"
    match = FUNCTION_MACRO.match(line)
    if match and top in LAYERS and match.group(1) not in FUNCTION_MACROS:
        yield number, f"function-like macro {match.group(1)}; the program has PSAGEN_CHECK, PSAGEN_ASSERT, PSAGEN_CUDA"
    if top == "kernels":
        for identifier in IDENTIFIER.findall(line):
            known = words(identifier) & MODEL_WORDS
            if known:
                yield number, f"kernels know no models: '{known.pop()}' in {identifier}"
    if top in LIBRARIES and name != "kernels/core/error.h":
        bare = without_strings(line)
        match = PRINTING.search(bare)
        if match:
            yield number, f"a library prints nothing: {match.group(1) or match.group(2)}"
        match = ENDING.search(bare)
        if match:
            yield number, f"a library does not end the process: {match.group(1)}"


def check_file(path, text):
    """Yields (line number, finding); `path` is relative to the root."""
    empty = words(path.stem) & EMPTY_WORDS
    if empty and path.parts[0] not in ("configs", "docs"):  # presets are named for their users
        yield 1, f"a file name says what is in it, '{empty.pop()}' does not"
    for number, line in enumerate(text.split("\n"), 1):
        match = MACHINE_PATH.search(line)
        if match:
            yield number, f"path of one machine: {match.group(0)}..."
        match = UNFINISHED.search(line)
        if match:
            yield number, f"unfinished: {match.group(1)}"
    if path.suffix in CPP:
        if path.suffix in HEADERS and "#pragma once" not in text and not path.name.endswith("-inl.h"):
            yield 1, "a header without #pragma once"
        for number, line in enumerate(without_comments(text).split("\n"), 1):
            yield from check_code_line(path, number, line)


def check_tree(root):
    findings = []
    count = 0
    for path in source_tree.list_files(root):
        # This file and its test spell out what they look for.
        if path.suffix not in TEXT or path.stem in ("check_layering", "check_layering_test"):
            continue
        if path.parts[0] in ("models", "LICENSE") or path.parts[:2] == ("tests", "data"):
            continue
        count += 1
        text = (pathlib.Path(root) / path).read_text(encoding="utf-8", errors="replace")
        findings += [f"{path}:{number}: {finding}" for number, finding in check_file(path, text)]
    return count, findings


def main(arguments):
    root = arguments[0] if arguments else source_tree.ROOT
    count, findings = check_tree(root)
    for finding in findings:
        print(finding, file=sys.stderr)
    if findings:
        print(f"check_layering.py: {len(findings)} findings", file=sys.stderr)
        return 1
    print(f"check_layering.py: {count} files keep the rules")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
