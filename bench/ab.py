"""Two builds of rnncore, side by side.

    python -m bench.ab WHEEL_A WHEEL_B --only "LSTM B32" --mode training
"""

from __future__ import annotations

import sys

from bench.compare.builds import main

if __name__ == "__main__":
    sys.exit(main())
