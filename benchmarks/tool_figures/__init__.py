"""What `scripts/bench tools` measures: a module for each of its measures, which use what tests have in `support`."""

import sys

from benchmarks.calls import ROOT

sys.path.insert(0, str(ROOT / "tests"))
