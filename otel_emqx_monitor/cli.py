"""The commands: options in, messages and exit codes out."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from otel_emqx_monitor import logs
from otel_emqx_monitor.version import __version__

if TYPE_CHECKING:
    from otel_emqx_monitor.config import Config
    from otel_emqx_monitor.emqx.broker import Broker

log = logging.getLogger(__name__)

F = TypeVar("F", bound=Callable[..., Any])

EXIT_CODES = {
    0: "Done. `check`: all monitored clients are connected, or were seen as lately as expected, or "
    "`--all` was given.",
    1: "`check`: some monitored clients were not. `healthcheck`: the agent is not well. Else: the "
    "port cannot be listened on.",
    2: "Wrong usage or wrong configuration.",
    3: "EMQX could not be asked.",
}

#: Names the configuration where --cfg does not: whoever runs a command in a container need not know
#: where the image has it.
_CONFIG_VARIABLE = "OTEL_EMQX_MONITOR_CONFIG"


class Commands(click.Group):
    """Ends the program with its message where an exception has an ``exit_code``: no traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except Exception as error:
            exit_code = getattr(error, "exit_code", None)
            if exit_code is None:
                raise
            click.echo(f"otel-emqx-monitor: {error}", err=True)
            return ctx.exit(exit_code)


def _remember(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Keep an option that may stand before or after the command's name; the later one wins."""
    if value is not None:
        ctx.meta[f"otel_emqx_monitor.{parameter.name}"] = value


def _recall(name: str, default: Any = None) -> Any:
    return click.get_current_context().meta.get(f"otel_emqx_monitor.{name}", default)


def _log_options(command: F) -> F:
    for name, choices in (
        ("--log-level", logs.LEVELS),
        ("--log-format", logs.FORMATS),
    ):
        command = click.option(
            name,
            type=click.Choice(choices),
            callback=_remember,
            expose_value=False,
            help=f"Default: {'info' if name == '--log-level' else 'text'}.",
        )(command)
    return command


def _config_option(command: F) -> F:
    return click.option(
        "--cfg",
        metavar="FILE",
        type=click.Path(path_type=Path),
        callback=_remember,
        expose_value=False,
        help=f"The configuration. Default: what the variable {_CONFIG_VARIABLE} names, else"
        " ~/.config/otel-emqx-monitor/config.yaml.",
    )(command)


def _service_options(command: F) -> F:
    """Give a command the options of those that run until they are stopped."""
    watch = click.option(
        "--watch/--no-watch",
        "watching",
        default=True,
        show_default=True,
        help="Read the configuration again when its file changes, or one that it names. SIGHUP has"
        " it read again in any case.",
    )
    return _config_option(_log_options(watch(command)))


def _load_config() -> "Config":
    from otel_emqx_monitor.config import load

    return load(_chosen())


def _chosen() -> Path | None:
    """Return the file that --cfg names, else the variable; ``None`` for the default place."""
    named = os.environ.get(_CONFIG_VARIABLE)
    default = Path(named) if named else None
    chosen: Path | None = _recall("cfg", default)
    return chosen


def _start_logging() -> None:
    logs.configure(_recall("log_format", "text"), _recall("log_level", "info"))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="otel-emqx-monitor")
@_config_option
@_log_options
def main() -> None:
    """Watch the MQTT clients of an EMQX broker and export them as OpenTelemetry metrics."""


@main.command()
@_service_options
def prometheus(*, watching: bool) -> None:
    """Serve the metrics for Prometheus to scrape."""
    _run(_load_config, serve=True, push=lambda _config: False, watching=watching)


@main.command()
@_service_options
def otlp(*, watching: bool) -> None:
    """Push the metrics to an OpenTelemetry Collector."""
    _run(_load_config_to_push, serve=False, push=lambda _config: True, watching=watching)


def _load_config_to_push() -> "Config":
    config = _load_config()
    if config.otlp is None:
        raise click.UsageError(
            "the configuration has no section otlp; give one, otlp: {} takes everything from the"
            " OTEL_* variables"
        )
    return config


@main.command()
@_service_options
def run(*, watching: bool) -> None:
    """Serve the metrics, and push them if the configuration has a section otlp."""
    _run(_load_config, serve=True, push=lambda config: config.otlp is not None, watching=watching)


def _run(
    load: Callable[[], "Config"],
    *,
    serve: bool,
    push: Callable[["Config"], bool],
    watching: bool,
) -> None:
    from otel_emqx_monitor.signals import service_signals

    with service_signals() as signals:  # first: imports and many clients take seconds to read
        from otel_emqx_monitor import service
        from otel_emqx_monitor.config import locate

        _start_logging()
        command = service.Command(locate(_chosen()), load, serve=serve, push=push)
        service.run(command, signals, watching=watching)


@main.command()
@click.option("--all", "everyone", is_flag=True, help="All clients, not only the monitored ones.")
@click.option("--output", type=click.Choice(["table", "json", "csv"]), default="table")
@click.option(
    "--watch",
    "seconds",
    metavar="SECONDS",
    type=click.FloatRange(0.1, 86_400),
    help="Ask again every so many seconds, and draw the table in place, until Ctrl-C.",
)
@_config_option
@_log_options
@click.pass_context
def check(ctx: click.Context, everyone: bool, output: str, seconds: float | None) -> None:
    """Ask EMQX once and print how the clients are.

    Exit code 0: all monitored clients are connected, or were seen as lately as expected, or --all
    was given; 1: some were not; 2: wrong usage or configuration; 3: EMQX could not be asked.
    """
    from otel_emqx_monitor import checking

    if seconds is not None and output != "table":
        raise click.UsageError(f"--watch draws a table; it does not go with --output {output}")
    config = _load_config()
    _start_logging()
    if seconds is None:
        ctx.exit(checking.check(config, output, everyone=everyone))
    ctx.exit(checking.watch(config, seconds, everyone=everyone))


@main.command()
@click.option("--connect", is_flag=True, help="Also ask EMQX whether the configuration works.")
@click.option("--show", is_flag=True, help="Print the effective configuration, secrets masked.")
@_config_option
@_log_options
def validate(connect: bool, show: bool) -> None:
    """Check the configuration, without a broker unless --connect is given."""
    from otel_emqx_monitor.config import effective_yaml

    config = _load_config()
    if show:
        click.echo(effective_yaml(config), nl=False)
    else:
        click.echo(f"The configuration is valid: {config.whom} of {config.emqx.alias}.")
    if connect:
        _start_logging()
        click.echo(_probe(config), err=show)


def _probe(config: "Config") -> str:
    """Ask EMQX who it is, whether it shows its clients, and how fresh; some lines for people."""
    from otel_emqx_monitor.emqx.client import EmqxClient
    from otel_emqx_monitor.freshness import advice, in_words
    from otel_emqx_monitor.text import printable

    client = EmqxClient(
        config.emqx, ["clientid"], None, deadline_seconds=config.polling.deadline_seconds
    )
    broker = client.probe()
    versions = ", ".join(sorted({printable(version, 40) for version in broker.versions}))
    works = (
        f"EMQX {versions or 'of unknown version'} at {config.emqx.api_url} accepts the API key and"
        f" shows its clients ({_nodes(broker)})."
    )
    refresh = broker.refresh_seconds
    return "\n".join([works, in_words(refresh), *advice(refresh, config)])


def _nodes(broker: "Broker") -> str:
    """How the cluster is, as in ``2 running nodes, not running: emqx3@host``."""
    from otel_emqx_monitor.text import printable

    if not broker.nodes:
        return "nodes not readable with this key"
    running = len(broker.running)
    text = f"{running} running node{'' if running == 1 else 's'}"
    others = sorted(printable(node.node, 200) for node in broker.nodes if not node.runs)
    return f"{text}, not running: {', '.join(others)}" if others else text


@main.command()
@click.option("--ready", is_flag=True, help="Ask for /readyz, not /healthz: is it of use by now?")
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.FloatRange(0.1, 300),
    default=5.0,
    show_default=True,
    help="How long to wait for the connection and for the answer, each.",
)
@_config_option
def healthcheck(*, ready: bool, timeout: float) -> None:
    """Ask the agent that runs on this machine whether it is well.

    For Docker's HEALTHCHECK and whoever else can only run a command. It asks where the
    configuration says that the agent listens. Exit code 0: it is well; 1: it is not, or nobody
    answers.
    """
    from otel_emqx_monitor import healthcheck

    click.echo(healthcheck.ask(_chosen(), ready=ready, timeout=timeout))


@main.command("setup-events")
@click.option("--url", help="The agent's base URL as EMQX sees it, as in http://agent:9671.")
@click.option(
    "--topic",
    "topics",
    multiple=True,
    metavar="FILTER",
    help="Count the messages of these topics too, as in 'up/#'; may be repeated.",
)
@click.option(
    "--token-file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Holds the token of the agent's webhook. Default: that of events.webhook in the"
    " configuration, else the variable EVENTS_TOKEN.",
)
@click.option("--dry-run", is_flag=True, help="Only print the requests; secrets are masked.")
@click.option("--remove", "removing", is_flag=True, help="Remove all that this command makes.")
@_config_option
@_log_options
def setup_events(
    url: str | None,
    topics: tuple[str, ...],
    token_file: Path | None,
    *,
    dry_run: bool,
    removing: bool,
) -> None:
    """Make EMQX post its events to the agent: a connector, an action and a rule.

    May be run again at any time: it changes what differs, and sends the token each time. The API
    key needs the role administrator and, if it has scopes, the one for data integration; give the
    agent itself a key that may only read. EMQX 5.4.0 or later.
    """
    from otel_emqx_monitor.events import setup

    config = _load_config()
    _start_logging()
    if removing:
        if url is not None or topics or token_file is not None:
            raise click.UsageError("--remove takes none of --url, --topic and --token-file")
        setup.remove(config.emqx, click.echo, dry_run=dry_run)
        return
    if url is None:
        raise click.UsageError("give --url, the agent's base URL as EMQX sees it")
    token = _events_token(config, token_file)
    try:
        wanted = setup.Wanted(url, token, topics)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    setup.set_up(config.emqx, wanted, click.echo, dry_run=dry_run)


def _events_token(config: "Config", file: Path | None) -> str:
    from otel_emqx_monitor.config.reading import FileRefused, read_text

    if file is not None:
        try:
            return read_text(file, 65_536).removesuffix("\n").removesuffix("\r")
        except FileRefused as refused:
            raise click.UsageError(f"--token-file cannot be used: {refused}") from None
    if config.events.webhook is not None:
        return config.events.webhook.token.get_secret_value()
    token = os.environ.get("EVENTS_TOKEN")
    if token is None:
        raise click.UsageError(
            "the configuration has no section events.webhook with the token; give it one, or"
            " --token-file, or the variable EVENTS_TOKEN"
        )
    return token


@main.command()
@click.option("--clients", type=click.IntRange(1, 100_000), default=25, show_default=True)
@click.option("--port", type=click.IntRange(0, 65_535), default=9671, show_default=True)
@_log_options
def demo(clients: int, port: int) -> None:
    """Run a simulated broker and the agent on it, to see what it does."""
    from otel_emqx_monitor.demo import run_demo

    _start_logging()
    run_demo(clients, port)


@main.command()
@click.option("--clients", type=click.IntRange(0, 1_000_000), default=1_000, show_default=True)
@click.option("--port", type=click.IntRange(0, 65_535), default=18083, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True, help="Another seed, other clients.")
@click.option(
    "--nodes",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    help="A cluster of so many nodes that can freeze, die, split and heal.",
)
def simulate(clients: int, port: int, seed: int, nodes: int) -> None:
    """Run a simulated broker alone: EMQX's REST API with made-up clients."""
    from otel_emqx_monitor.simulator.command import run_simulator

    run_simulator(clients, port, seed, nodes=nodes)
