"""Watch an agent: ``python play.py --world 1 --stage 1``; see ``--help``."""

import sys

from mario_a3c.play_cli import main

if __name__ == "__main__":
    sys.exit(main())
