"""The door of `foreshore` and `python -m operate`: an interrupt during the imports ends the process in silence."""

from __future__ import annotations

import signal


def main() -> None:
    """Import the command line and run it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from operate.cli import main as run

    signal.signal(signal.SIGINT, signal.default_int_handler)  # from here on it is answered in one line
    run()


if __name__ == "__main__":
    main()
