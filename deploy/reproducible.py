"""`make reproducible`: builds functions twice from the last commit, in two folders and with two homes of cargo, and compares.

Exits with 0 if each function's zip file has the same digest both times. What was built is removed then, and stays otherwise.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from build_environment import UMASK, build_environment
from built_functions import code_digests, function_of
from problem import Problem, run

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ROOT / ".tools"
# Of different lengths, so that a path in a binary would move what follows it.
PLACES = ["one", "another/and-longer"]


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--function", help="name of the one binary to build, such as machnet; all by default")
    options = arguments.parse_args()
    function = function_of(ROOT / "template.yaml", options.function) if options.function else None

    folder = Path(tempfile.mkdtemp(prefix="reproducible-"))
    first, second = (_built(folder / place, function) for place in PLACES)
    differing = [name for name in first if first[name] != second[name]]
    for name, digest in first.items():
        print(f"{digest}  {name}" + (f"  {second[name]} the second time" if name in differing else ""))
    if differing:
        print(f"The functions differ that were built in {folder}: {', '.join(differing)}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    print("Built twice in two folders, with the same digests.")
    return 0


def _built(folder: Path, function: str | None) -> dict[str, str]:
    checkout, home = folder / "checkout", folder / "cargo"
    subprocess.run(["git", "clone", "--quiet", ROOT, checkout], check=True)
    _link_all(Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo")), home)
    environment = build_environment(checkout, TOOLS, os.environ | {"CARGO_HOME": str(home)})
    sam = [TOOLS / "sam" / "bin" / "sam", "build", *([function] if function else [])]
    if subprocess.run(sam, cwd=checkout, env=environment, umask=UMASK).returncode:
        raise Problem(f"The functions could not be built in {checkout}: the reason is above.")
    return code_digests(checkout / ".aws-sam" / "build")


def _link_all(home: Path, new: Path) -> None:
    """A home of cargo with another path, which shares all that was downloaded."""
    new.mkdir()
    for each in home.iterdir():
        (new / each.name).symlink_to(each)


if __name__ == "__main__":
    run(main)
