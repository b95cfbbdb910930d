from otel_emqx_monitor.config.model import SECTIONS, Config
from otel_emqx_monitor.config.reference import reference

KEYS = [
    ("emqx.api_key", "secret", "required"),
    ("emqx.api_secret", "secret", "required"),
    ("emqx.api_key_file", "text", "not set"),
    ("emqx.api_secret_file", "text", "not set"),
    ("emqx.api_url", "text", "required"),
    ("emqx.ssl", "true/false or text", "true"),
    ("emqx.alias", "text", "required"),
    ("emqx.node", "text", "not set"),
    ("emqx.timeout_seconds", "number above 0 up to 3600", "5"),
    ("emqx.attempts", "whole number from 1 up to 100", "3"),
    ("monitored_clients", "list", "[]"),
    ("monitored_clients[].alias", "text", '"{client_id}"'),
    ("monitored_clients[].client_id", "text", "not set"),
    ("monitored_clients[].client_id_glob", "text", "not set"),
    ("monitored_clients[].client_id_regex", "text", "not set"),
    ("monitored_clients[].username", "text", "not set"),
    ("monitored_clients[].expected_every_seconds", "number above 0", "not set"),
    ("exclude", "list", "[]"),
    ("exclude[].client_id", "text", "not set"),
    ("exclude[].client_id_glob", "text", "not set"),
    ("exclude[].client_id_regex", "text", "not set"),
    ("exclude[].username", "text", "not set"),
    ("max_clients", "whole number from 1 up to 1000000", "100000"),
    ("prometheus.port", "whole number from 0 up to 65535", "9671"),
    ("prometheus.address", "text", '"0.0.0.0"'),
    ("prometheus.web_config_file", "text", "not set"),
    ("prometheus.max_connections", "whole number from 1 up to 100000", "1024"),
    ("prometheus.ttl_seconds", "number from 0 up to 86400", "15"),
    ("prometheus.enable_processed_counters", "true/false", "true"),
    ("prometheus.enable_qos_split", "true/false", "false"),
    ("prometheus.enable_dropped_counters", "true/false", "false"),
    ("prometheus.enable_reason_split", "true/false", "false"),
    ("prometheus.enable_bytes_metrics", "true/false", "true"),
    ("prometheus.enable_packet_metrics", "true/false", "true"),
    ("prometheus.enable_dates", "true/false", "false"),
    ("prometheus.enable_inflight_metrics", "true/false", "true"),
    ("prometheus.enable_subscription_count", "true/false", "true"),
    ("prometheus.enable_last_seen", "true/false", "false"),
    ("prometheus.enable_connection_counters", "true/false", "false"),
    ("prometheus.enable_queue_metrics", "true/false", "false"),
    ("prometheus.enable_keepalive", "true/false", "false"),
    ("prometheus.enable_client_info", "true/false", "false"),
    ("polling.interval_seconds", "number above 0 up to 86400", "not set"),
    ("polling.stale_after_seconds", "number above 0", "not set"),
    ("polling.deadline_seconds", "number above 0 up to 3600", "60"),
    ("counters", "`live` or `cumulative`", '"live"'),
    ("forget_after_seconds", "number above 0", "604800"),
    ("state.path", "text", "not set"),
    ("events.webhook", "mapping", "not set"),
    ("events.webhook.token", "secret", "required"),
    ("events.webhook.token_file", "text", "not set"),
    ("events.webhook.max_body_bytes", "whole number from 1024 up to 67108864", "1048576"),
    ("events.webhook.max_per_second", "number above 0 up to 1000000", "10000"),
    ("events.mqtt", "mapping", "not set"),
    ("events.mqtt.host", "text", "required"),
    ("events.mqtt.port", "whole number from 1 up to 65535", "not set"),
    ("events.mqtt.tls", "true/false", "false"),
    ("events.mqtt.verify", "true/false", "true"),
    ("events.mqtt.ca_file", "text", "not set"),
    ("events.mqtt.client_certificate_file", "text", "not set"),
    ("events.mqtt.client_key_file", "text", "not set"),
    ("events.mqtt.username", "text", "not set"),
    ("events.mqtt.password", "secret", "not set"),
    ("events.mqtt.password_file", "text", "not set"),
    ("events.mqtt.topic_prefix", "text", '"$SYS"'),
    ("events.mqtt.client_id", "text", "not set"),
    ("events.mqtt.keepalive_seconds", "whole number from 5 up to 65535", "30"),
    ("otlp", "mapping", "not set"),
    ("otlp.protocol", "`grpc` or `http/protobuf`", "not set"),
    ("otlp.endpoint", "text", "not set"),
    ("otlp.headers", "mapping of text to secret", "{}"),
    ("otlp.interval_seconds", "number above 0 up to 86400", "not set"),
    ("otlp.timeout_seconds", "number above 0 up to 3600", "not set"),
    ("otlp.compression", "`none` or `gzip`", "not set"),
    ("otlp.insecure", "true/false", "not set"),
    ("otlp.ca_file", "text", "not set"),
    ("otlp.client_certificate_file", "text", "not set"),
    ("otlp.client_key_file", "text", "not set"),
    ("otlp.max_points_per_request", "whole number from 1 up to 1000000", "5000"),
]


def test_every_key_has_a_type_and_a_default() -> None:
    assert [key[:3] for key in reference()] == KEYS


def test_every_key_is_described_in_a_sentence() -> None:
    for key in reference():
        assert key.description[:1].isupper(), key.key
        assert key.description.endswith("."), key.key


def test_every_section_is_in_the_reference() -> None:
    places = [key.key for key in reference()]
    assert [name for name in Config.model_fields if name in SECTIONS] == list(SECTIONS)
    assert [name for name in Config.model_fields if name not in {*SECTIONS, *places}] == []
    assert all(field.description for field in Config.model_fields.values())
