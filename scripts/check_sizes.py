#!/usr/bin/env python3
"""Checks that files stay small enough to read and the repository small enough to clone.

Exit code 1 where a limit is passed; long files are named before they pass it.
"""

import pathlib
import sys

import source_tree

MB = 1_000_000
SOURCES = {".h", ".cc", ".cu", ".cuh", ".py", ".sh", ".cmake"}
AIM_LINES = 400
MAX_LINES = 800
MAX_TREE = 45 * MB
MAX_MODELS = 30 * MB
MAX_FIXTURE = 1 * MB


def check(sizes):
    """`sizes`: path -> (bytes, lines). Returns (failures, warnings)."""
    failures, warnings = [], []
    tree = models = 0
    for path, (num_bytes, num_lines) in sizes.items():
        tree += num_bytes
        if path.parts[0] == "models":
            models += num_bytes
        if path.parts[:2] == ("tests", "data") and num_bytes > MAX_FIXTURE:
            failures.append(f"{path}: {num_bytes / MB:.2f} MB, a fixture has at most {MAX_FIXTURE / MB:g}")
        if path.suffix in SOURCES or path.name == "CMakeLists.txt":
            if num_lines > MAX_LINES:
                failures.append(f"{path}: {num_lines} lines, at most {MAX_LINES}")
            elif num_lines > AIM_LINES:
                warnings.append(f"{path}: {num_lines} lines, the aim is {AIM_LINES}")
    if tree > MAX_TREE:
        failures.append(f"the repository: {tree / MB:.1f} MB, at most {MAX_TREE / MB:g}")
    if models > MAX_MODELS:
        failures.append(f"models/: {models / MB:.1f} MB, at most {MAX_MODELS / MB:g}")
    return failures, warnings


def measure(root):
    sizes = {}
    for path in source_tree.list_files(root):
        data = (pathlib.Path(root) / path).read_bytes()
        sizes[path] = (len(data), data.count(b"\n"))
    return sizes


def main(arguments):
    sizes = measure(arguments[0] if arguments else source_tree.ROOT)
    failures, warnings = check(sizes)
    for warning in warnings:
        print(f"warning: {warning}")
    for failure in failures:
        print(failure, file=sys.stderr)
    if failures:
        print(f"check_sizes.py: {len(failures)} findings", file=sys.stderr)
        return 1
    total = sum(num_bytes for num_bytes, _ in sizes.values())
    print(f"check_sizes.py: {len(sizes)} files, {total / MB:.1f} MB, within the limits")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
