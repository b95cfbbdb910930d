"""What ``check`` prints: a table for people, JSON and CSV for programs, a summary, an exit code."""

from otel_emqx_monitor.report.records import FIELDS, render_csv, render_json
from otel_emqx_monitor.report.table import render_table
from otel_emqx_monitor.report.verdict import exit_code, summary

__all__ = ["FIELDS", "exit_code", "render_csv", "render_json", "render_table", "summary"]
