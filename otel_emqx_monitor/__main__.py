"""``python -m otel_emqx_monitor``."""

from otel_emqx_monitor.cli import main

if __name__ == "__main__":
    main()
