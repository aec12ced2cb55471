"""What holds for all tests."""

from __future__ import annotations

import signal

from hypothesis import settings

settings.register_profile("brief", max_examples=25)  # for CI: --hypothesis-profile=brief

# A shell starts what it puts in the background with SIGINT ignored, and children inherit that: the programs that these
# tests interrupt would not notice.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
