"""Dashboards as Grafana's JSON: its classic model, which every release since 10 takes.

The tests hold the result against Grafana's own types; see ``tests/examples/grafana_types``.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dashboards.panels import Column, Dashboard, Kind, Panel, Query, Row, Variable
from dashboards.queries import agents

Json = dict[str, Any]

TAG = "otel-emqx-monitor"

#: The version of the JSON model that Grafana 11 writes; later releases migrate it as they load it.
_SCHEMA = 39
_WIDE = 24
_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
_CHOICES = "${datasource:queryparam}&${job:queryparam}&${broker:queryparam}&${__url_time_range}"


def uid(name: str) -> str:
    """Return the uid of the dashboard ``name``, the same in every Grafana, so that links work."""
    return f"{TAG}-{name}"


def as_json(dashboard: Dashboard) -> Json:
    """Return the JSON of a dashboard as a file that is provisioned holds it."""
    return {
        "uid": uid(dashboard.name),
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": [TAG, "emqx", "mqtt"],
        "schemaVersion": _SCHEMA,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,  # one crosshair in all panels
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "refresh": "1m",
        "links": [_others()],
        "annotations": {"list": [_unreachable()]},
        "templating": {"list": [_datasource(), *map(_variable, dashboard.variables)]},
        "panels": list(_laid_out(dashboard.rows)),
    }


def _others() -> Json:
    return {
        "type": "dashboards",
        "title": "EMQX clients",
        "tags": [TAG],
        "asDropdown": False,
        "icon": "dashboard",
        "tooltip": "",
        "targetBlank": False,
        "includeVars": True,
        "keepTime": True,
        "url": "",
    }


def _unreachable() -> Json:
    return {
        "name": "EMQX cannot be asked",
        "datasource": _DATASOURCE,
        "enable": True,
        "iconColor": "red",
        "expr": f"max by (broker) ({agents('up')}) == 0",
        "step": "30s",
        "titleFormat": "{{broker}} cannot be asked",
    }


def _datasource() -> Json:
    return {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
        "refresh": 1,
    }


def _variable(one: Variable) -> Json:
    named: Json = {"name": one.name, "label": one.title, "description": one.description}
    if not one.query:
        empty = {"text": "", "value": ""}
        return named | {"type": "textbox", "query": "", "current": empty, "options": []}
    chosen: Json = {"multi": True, "includeAll": one.everyone}
    if one.extract:
        everything = {"text": ["All"], "value": ["$__all"]}
        chosen |= {"hide": 2, "regex": f"/{one.extract}/", "current": everything}
    elif one.everyone:
        # Beside what has the label, ".*" takes what has none.
        everything = {"text": ["All"], "value": ["$__all"]}
        chosen |= {"allValue": ".*", "current": everything}
    return (
        named
        | chosen
        | {
            "type": "query",
            "datasource": _DATASOURCE,
            "query": {"query": one.query, "refId": one.name, "qryType": 5},
            "definition": one.query,
            "refresh": 2,  # whenever the time range changes
            "sort": 1,
        }
    )


def _laid_out(rows: Sequence[Row]) -> Iterator[Json]:
    """Yield the panels of all rows, numbered, each where the ones before it leave room."""
    number, y = 0, 0
    for row in rows:
        number += 1
        place = {"h": 1, "w": _WIDE, "x": 0, "y": y}
        yield {
            "type": "row",
            "id": number,
            "title": row.title,
            "collapsed": False,
            "gridPos": place,
            "panels": [],
        }
        y, x, deepest = y + 1, 0, 0
        for panel in row.panels:
            if x + panel.width > _WIDE:
                y, x, deepest = y + deepest, 0, 0
            number += 1
            place = {"h": panel.height, "w": panel.width, "x": x, "y": y}
            yield _panel(panel, number) | {"gridPos": place}
            x, deepest = x + panel.width, max(deepest, panel.height)
        y += deepest


def _panel(panel: Panel, number: int) -> Json:
    made: Json = {
        "id": number,
        "type": str(panel.kind),
        "title": panel.title,
        "description": panel.description,
        "datasource": _DATASOURCE,
        "targets": [
            _target(query, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[place], panel.kind)
            for place, query in enumerate(panel.queries)
        ],
        "fieldConfig": {
            "defaults": _defaults(panel),
            "overrides": [*_painted(panel.colors), *_columns(panel.columns)],
        },
        "options": _OPTIONS[panel.kind],
    }
    if panel.every:
        made["interval"] = panel.every
    if panel.points:
        made["maxDataPoints"] = panel.points
    if panel.columns:
        made["transformations"] = list(_arranged(panel.columns))
    return made


def _target(query: Query, ref: str, kind: Kind) -> Json:
    over_time = kind in {Kind.LINES, Kind.STATES}
    return {
        "refId": ref,
        "datasource": _DATASOURCE,
        "editorMode": "code",
        "expr": query.expr,
        "legendFormat": query.legend,
        "format": "table" if kind is Kind.TABLE else "time_series",
        "instant": not over_time,
        "range": over_time,
    }


def _defaults(panel: Panel) -> Json:
    steps = [{"value": value, "color": color} for value, color in panel.steps]
    made: Json = {
        "unit": panel.unit,
        "mappings": _mappings(panel.texts),
        "thresholds": {"mode": "absolute", "steps": steps},
        "color": {"mode": "palette-classic" if panel.kind is Kind.LINES else "thresholds"},
        "custom": _custom(panel),
        "links": [_to_client("${__field.labels.client_id:percentencode}")]
        if panel.client_link
        else [],
    }
    if panel.decimals is not None:
        made["decimals"] = panel.decimals
    if panel.empty:
        made["noValue"] = panel.empty
    if panel.kind in {Kind.LINES, Kind.BARS}:
        made["min"] = 0
    return made


def _custom(panel: Panel) -> Json:
    if panel.kind is Kind.STATES:
        return {"fillOpacity": 85, "lineWidth": 0, "spanNulls": False}
    if panel.kind is Kind.TABLE:
        return {"align": "auto", "inspect": False, "filterable": True}
    if panel.kind is not Kind.LINES:
        return {}
    return {
        "drawStyle": "line",
        "lineInterpolation": "stepAfter" if panel.stacked else "linear",
        "lineWidth": 1,
        "fillOpacity": 60 if panel.stacked else 10,
        "showPoints": "never",
        "spanNulls": False,  # a gap is a gap: nothing is known
        "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
    }


def _mappings(texts: Mapping[int, tuple[str, str]]) -> list[Json]:
    options = {
        str(value): {"text": text, "color": color, "index": place}
        for place, (value, (text, color)) in enumerate(texts.items())
    }
    return [{"type": "value", "options": options}] if options else []


def _painted(colors: Mapping[str, str]) -> Iterator[Json]:
    for name, color in colors.items():
        paint = {"id": "color", "value": {"mode": "fixed", "fixedColor": color}}
        yield {"matcher": {"id": "byName", "options": name}, "properties": [paint]}


def _columns(columns: Sequence[Column]) -> Iterator[Json]:
    for column in columns:
        properties: list[Json] = []
        if column.unit:
            properties.append({"id": "unit", "value": column.unit})
        if column.texts:
            properties.append({"id": "mappings", "value": _mappings(column.texts)})
            properties.append({"id": "custom.cellOptions", "value": {"type": "color-text"}})
        if column.client_link:
            link = _to_client("${__value.raw:percentencode}")
            properties.append({"id": "links", "value": [link]})
        if properties:
            yield {"matcher": {"id": "byName", "options": column.title}, "properties": properties}


def _arranged(columns: Sequence[Column]) -> Iterator[Json]:
    """Yield what makes one table of the queries: a line for each client, columns as listed."""
    yield {"id": "merge", "options": {}}
    names = [column.name for column in columns]
    yield {"id": "filterFieldsByName", "options": {"include": {"names": names}}}
    organized = {
        "indexByName": {name: place for place, name in enumerate(names)},
        "renameByName": {column.name: column.title for column in columns},
        "excludeByName": {},
    }
    yield {"id": "organize", "options": organized}


def _to_client(client_id: str) -> Json:
    url = f"/d/{uid('client')}?var-client_id={client_id}&{_CHOICES}"
    return {"title": "This client in detail", "url": url, "targetBlank": False}


_TOOLTIP = {"mode": "multi", "sort": "desc"}
_LEGEND = {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}
_LATEST = {"calcs": ["lastNotNull"], "fields": "", "values": False}
_OPTIONS: Mapping[Kind, Json] = {
    Kind.STAT: {
        "graphMode": "none",
        "colorMode": "value",
        "justifyMode": "auto",
        "textMode": "auto",
        "wideLayout": True,
        "showPercentChange": False,
        "percentChangeColorMode": "standard",
        "orientation": "auto",
        "reduceOptions": _LATEST,
    },
    Kind.LINES: {"legend": _LEGEND, "tooltip": _TOOLTIP},
    Kind.STATES: {
        "showValue": "never",
        "rowHeight": 0.85,
        "mergeValues": True,
        "alignValue": "left",
        "legend": _LEGEND,
        "tooltip": _TOOLTIP,
        "perPage": 25,
    },
    Kind.TABLE: {"showHeader": True, "cellHeight": "sm", "frameIndex": 0},
    Kind.BARS: {
        "displayMode": "basic",
        "valueMode": "text",
        "namePlacement": "left",
        "showUnfilled": False,
        "sizing": "auto",
        "minVizWidth": 8,
        "minVizHeight": 14,
        "maxVizHeight": 30,
        "legend": {**_LEGEND, "showLegend": False},
        "orientation": "horizontal",
        "reduceOptions": _LATEST,
    },
}
