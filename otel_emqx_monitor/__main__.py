"""``otel-emqx-monitor`` and ``python -m otel_emqx_monitor``."""

from otel_emqx_monitor.signals import end_as_others_do


def main() -> None:
    """Run the command; signals first, as the imports take a while."""
    end_as_others_do()
    from otel_emqx_monitor import cli

    cli.main()


if __name__ == "__main__":
    main()
