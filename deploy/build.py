"""`make build`: compiles the functions for Lambda, and prints the digest of each one's code as Lambda will report it.

`make digests` prints those of what is built already.
"""

from __future__ import annotations

import argparse
import os
import subprocess
from pathlib import Path

from build_environment import UMASK, build_environment
from built_functions import code_digests
from problem import Problem, run

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ROOT / ".tools"
BUILD = ROOT / ".aws-sam" / "build"


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--digests", action="store_true", help="compile nothing")
    if not arguments.parse_args().digests:
        sam = [TOOLS / "sam" / "bin" / "sam", "build"]
        done = subprocess.run(sam, cwd=ROOT, env=build_environment(ROOT, TOOLS, os.environ), umask=UMASK)
        if done.returncode:
            return done.returncode
    if not (BUILD / "template.yaml").exists():
        raise Problem("Nothing is built yet: run `make build`.")
    for name, digest in code_digests(BUILD).items():
        print(f"{digest}  {name}")
    return 0


if __name__ == "__main__":
    run(main)
