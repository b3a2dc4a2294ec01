"""Train an agent: ``python train.py --world 1 --stage 1``; see ``--help``."""

import signal
import sys

if __name__ == "__main__":
    # Until the run listens itself, Ctrl-C just ends: importing PyTorch takes seconds.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    from mario_a3c.cli import main

    sys.exit(main())
