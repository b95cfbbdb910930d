"""How the instruments leave the process: a Prometheus exposition, OTLP to a Collector."""
