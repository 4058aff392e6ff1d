"""`python -m scan_lightning` is the console command."""

import sys

from scan_lightning.cli import main

if __name__ == "__main__":
    sys.exit(main())
