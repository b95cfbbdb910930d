"""Wires the ways in that are configured to one inbox."""

import secrets
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from starlette.routing import Route

from otel_emqx_monitor.config import EventsConfig, MqttConfig, WebhookConfig
from otel_emqx_monitor.deadline import Deadline
from otel_emqx_monitor.events.event import Event, Source
from otel_emqx_monitor.events.inbox import Inbox, InboxView
from otel_emqx_monitor.events.mqtt import Subscriber
from otel_emqx_monitor.events.mqtt_session import MqttSettings
from otel_emqx_monitor.events.webhook import Refusal, Webhook, WebhookSettings
from otel_emqx_monitor.pulse import Pulse


@dataclass(frozen=True)
class EventsView:
    """What is known of the ways in now.

    Args:
        inbox: what came in, and what became of it.
        subscribed: whether the subscription of MQTT holds; ``None`` when it is not configured.
        refusals: posts that were refused, by reason; empty when the webhook is not configured.
    """

    inbox: InboxView
    subscribed: bool | None
    refusals: Mapping[Refusal, int]

    def up(self, corrected_at: float | None) -> Mapping[Source, int]:
        """Return whether events come in by each way, 0 or 1; no figure where that is not known.

        A subscription tells. A post that does not come is told by the polls alone: when they had to
        repair something since the last one, at ``corrected_at`` (seconds since the epoch).
        """
        found: dict[Source, int] = {}
        if self.subscribed is not None:
            found[Source.MQTT] = int(self.subscribed)
        delivered = self.inbox.last_delivery.get(Source.WEBHOOK)
        if self.refusals and (delivered is not None or corrected_at is not None):
            found[Source.WEBHOOK] = int((delivered or 0.0) >= (corrected_at or 0.0))
        return found


class Receivers:
    """All ways in that ``config`` turns on.

    Args:
        config: which, and how.
        apply: gets the events in batches, in a thread of the inbox.
    """

    def __init__(self, config: EventsConfig, apply: Callable[[Sequence[Event]], None]) -> None:
        on = {Source.WEBHOOK: config.webhook, Source.MQTT: config.mqtt}
        self._inbox = Inbox(apply, [source for source, section in on.items() if section])
        self._webhook: Webhook | None = None
        if config.webhook:
            self._webhook = Webhook(
                webhook_settings(config.webhook),
                lambda body: self._inbox.offer(Source.WEBHOOK, body),
            )
        self._subscriber: Subscriber | None = None
        if config.mqtt:
            self._subscriber = Subscriber(
                mqtt_settings(config.mqtt),
                lambda payload, topic: self._inbox.offer(Source.MQTT, payload, topic),
            )

    @property
    def pulse(self) -> Pulse:
        """That of the loop that applies events."""
        return self._inbox.pulse

    @property
    def routes(self) -> list[Route]:
        """What the agent's HTTP server has to serve."""
        return [self._webhook.route] if self._webhook else []

    def start(self) -> None:
        """Begin to apply events, and to subscribe."""
        self._inbox.start()
        if self._subscriber:
            self._subscriber.start()

    def hand_to(self, apply: Callable[[Sequence[Event]], None]) -> None:
        """Give the events to ``apply`` from now on."""
        self._inbox.hand_to(apply)

    def go_on_from(self, earlier: EventsView) -> None:
        """Count on from what other receivers, which are stopped, have counted."""
        self._inbox.go_on_from(earlier.inbox)
        if self._webhook:
            self._webhook.go_on_from(earlier.refusals)

    def stop(self, seconds: float) -> None:
        """End the subscription and apply what waits, for ``seconds`` at most.

        Posts are refused from then on, so stop the HTTP server before.
        """
        deadline = Deadline(seconds)
        if self._subscriber:
            self._subscriber.stop(deadline.remaining / 2)
        self._inbox.stop(deadline.remaining)

    def view(self) -> EventsView:
        """Return what is known now."""
        return EventsView(
            self._inbox.view(),
            self._subscriber.up if self._subscriber else None,
            self._webhook.refusals if self._webhook else {},
        )


def webhook_settings(config: WebhookConfig) -> WebhookSettings:
    """Return how to take posts by ``config``."""
    return WebhookSettings(
        config.token.get_secret_value(), config.max_body_bytes, config.max_per_second
    )


def mqtt_settings(config: MqttConfig) -> MqttSettings:
    """Return how to subscribe by ``config``, whose files have been checked when it was loaded."""
    password = config.password
    return MqttSettings(
        host=config.host,
        port=config.effective_port,
        client_id=config.client_id or f"otel-emqx-monitor-{secrets.token_hex(4)}",
        tls=_tls(config) if config.tls else None,
        username=config.username,
        password=None if password is None else password.get_secret_value(),
        topic_prefix=config.topic_prefix,
        keepalive=config.keepalive_seconds,
    )


def _tls(config: MqttConfig) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=config.ca_file)
    if not config.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if config.client_certificate_file and config.client_key_file:
        # The empty password keeps OpenSSL from asking for one at the terminal.
        context.load_cert_chain(config.client_certificate_file, config.client_key_file, password="")
    return context
