"""`python -m bench.profiled FILE ARGUMENTS` is `hiddenstate ARGUMENTS`; SIGUSR1 begins a profile, SIGUSR2 writes it."""

from __future__ import annotations

import cProfile
import signal
import sys
from types import FrameType

from hiddenstate.cli import main

if __name__ == "__main__":
    path = sys.argv.pop(1)
    profile = cProfile.Profile()

    def start(number: int, frame: FrameType | None) -> None:
        profile.clear()
        profile.enable()

    def stop(number: int, frame: FrameType | None) -> None:
        profile.disable()
        profile.dump_stats(path)

    signal.signal(signal.SIGUSR1, start)
    signal.signal(signal.SIGUSR2, stop)
    main()
