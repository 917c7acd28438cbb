"""The files of the repository, as the checks see them."""

import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent


def list_files(root=ROOT):
    """Paths relative to `root`, sorted: what git tracks or would track, or all files without git."""
    root = pathlib.Path(root)
    try:
        listing = subprocess.run(
            ["git", "-C", str(root), "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
            check=True, capture_output=True).stdout.decode()
        names = {name for name in listing.split("\0") if name}
    except (OSError, subprocess.CalledProcessError):
        names = set()
        for folder, folders, files in os.walk(root):
            folders[:] = [name for name in folders if name not in (".git", "build", "out", "__pycache__")]
            names.update(os.path.relpath(os.path.join(folder, name), root) for name in files)
    return sorted(pathlib.PurePosixPath(name) for name in names if (root / name).is_file())
