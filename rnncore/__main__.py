"""`python -m rnncore` is the command `rnncore`."""

from __future__ import annotations

import sys

from rnncore.cli import main

sys.exit(main())
