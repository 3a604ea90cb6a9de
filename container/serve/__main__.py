"""`serve`: checks the settings, fits the threads to the container, and becomes gunicorn. Takes no arguments.

Settings are environment variables (SAGEMAKER_TS_BATCH_SIZE=16, SAGEMAKER_BIND_TO_PORT=9000; docs/serving.md lists
them). To serve on this machine: `make serve-local`.
"""

from __future__ import annotations

import logging
import os
import signal
import sys


def main() -> int:
    if sys.argv[1:]:
        print(__doc__)
        return 0 if {"-h", "--help"} & set(sys.argv[1:]) else 2
    # Process 1 ignores SIGTERM until it handles it; gunicorn takes over in a moment.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    sys.dont_write_bytecode = True  # the model's code is imported, and its folder is not ours to write to
    from container.serve import logs
    from container.serve.heap import share_heaps
    from container.serve.settings import Settings, SettingsError, misspelt
    from container.serve.workers import threads_of_each

    try:
        settings = Settings.from_environment(os.environ)
    except SettingsError as error:
        print(f"serve: {error}", file=sys.stderr)
        return 2
    logs.configure(settings.log_level)
    for name, meant in misspelt(os.environ).items():
        logging.getLogger(__name__).warning("%s is no setting and has no effect: is %s meant?", name, meant)
    share_heaps()
    # Read by libraries when they are loaded, which happens after the fork.
    os.environ["OMP_NUM_THREADS"] = str(threads_of_each(settings.worker_count))
    os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")  # its threads spin; requests are prepared side by side anyway
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # ONNX Runtime from 1.29 on reports to Microsoft and writes to the home
    from container.serve.gunicorn_server import Server

    Server(settings).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
