"""Starts ministack as its own program does, with what `sitecustomize.py` beside this file makes quicker. Its functions inherit none
of that."""

import runpy
import sys
from pathlib import Path

from ministack.app import main
from ministack.core.lambda_runtime import ProvidedWorker

# After each invocation it looks for output 50 times within 50 ms. A function here writes to a file.
ProvidedWorker._drain_stderr_bounded = ProvidedWorker._drain_stderr

if __name__ == "__main__":
    runpy.run_path(str(Path(__file__).with_name("sitecustomize.py")))
    sys.exit(main())
