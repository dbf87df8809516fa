"""The study: published experiments run again, part by part.

    python bench/paper.py agreement --quick
    python bench/paper.py agreement --out FOLDER

What it is made of stands in the folder beside it.
"""

from __future__ import annotations

import sys

from paper.command import main  # the folder comes before this file

if __name__ == "__main__":
    sys.exit(main())
