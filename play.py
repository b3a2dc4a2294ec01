"""Watch an agent: ``python play.py --world 1 --stage 1``; see ``--help``."""

import signal
import sys

if __name__ == "__main__":
    # Until something can be closed, Ctrl-C just ends: importing PyTorch takes seconds.
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)

    from mario_a3c.play_cli import main

    signal.signal(signal.SIGINT, before)
    sys.exit(main())
