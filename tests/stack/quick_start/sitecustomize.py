"""What Python runs at its start, in the tools that a test starts and in the tests: they read YAML with libyaml, and collect garbage
less often.

SAM reads a template seven times in a deployment, and makes some hundred thousand objects of its modules: this takes a quarter of
its processor time away, and nothing of what it does.
"""

import contextlib
import gc

gc.set_threshold(100_000, 50, 50)
with contextlib.suppress(ImportError, AttributeError):
    import yaml

    yaml.SafeLoader = yaml.CSafeLoader
