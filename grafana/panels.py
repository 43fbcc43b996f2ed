"""What the panels of all dashboards have in common; a dashboard's own module says what is its own.

SQL is what InfluxDB 3 and the embedded store both understand: no gap filling, no selectors. Gaps are closed by the
panel. A macro without an argument is written ``$__timeTo()``: without the parentheses it would swallow the next ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from grafana_foundation_sdk.builders import common, stat, table, timeseries
from grafana_foundation_sdk.builders.dashboard import (
    Dashboard,
    DashboardLink,
    FieldColor,
    ThresholdsConfig,
    TimePicker,
)
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    DataSourceRef,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue

if TYPE_CHECKING:
    from collections.abc import Iterator

DATASOURCE = DataSourceRef(type_val="influxdb", uid="sensorflow")
TAG = "sensorflow"
MAX_POINTS = 500
"""Of one series. Grafana would ask for one a pixel, which times the sensors comes near its limit of a million rows."""

Format = Literal["time_series", "table"]


class Sql(Dataquery, Builder[Dataquery]):
    """A query of the InfluxDB data source in SQL mode, which the SDK has no model of.

    The backend reads ``rawSql`` and ``format``; the rest tells the editor to show it as code.
    """

    def __init__(self, sql: str, output: Format) -> None:
        self.sql, self.output = sql, output

    def build(self) -> Sql:
        """Complete as it is."""
        return self

    def to_json(self) -> dict[str, object]:
        """As a dashboard has it among its targets."""
        return {
            "refId": "A",
            "datasource": DATASOURCE,
            "rawSql": self.sql,
            "format": self.output,
            "rawQuery": True,
            "editorMode": "code",
            "dataset": "iox",
        }


def graph(title: str, sql: str, *, span: int, min_interval: str = "1s", height: int = 8) -> timeseries.Panel:
    """Lines over time. ``$__dateBin`` does not go below ``min_interval``, which is whole seconds."""
    legend = common.VizLegendOptions().show_legend(True).display_mode(LegendDisplayMode.LIST)
    return (
        timeseries.Panel()
        .title(title)
        .datasource(DATASOURCE)
        .with_target(Sql(sql, "time_series"))
        .interval(min_interval)
        .max_data_points(MAX_POINTS)
        .span(span)
        .height(height)
        .span_nulls(True)
        .show_points(VisibilityMode.AUTO)
        .line_width(1)
        .fill_opacity(5)
        .color_scheme(FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC))
        .legend(legend.placement(LegendPlacement.BOTTOM).calcs([]))
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
        .no_value("No data in this time range")
    )


def limits_shown(panel: timeseries.Panel) -> timeseries.Panel:
    """Draw the thresholds as dashed lines."""
    return panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED))


def number(title: str, sql: str, *, span: int, height: int = 4) -> stat.Panel:
    """The columns of one row, as large numbers."""
    return (
        stat.Panel()
        .title(title)
        .datasource(DATASOURCE)
        .with_target(Sql(sql, "table"))
        .span(span)
        .height(height)
        .graph_mode(BigValueGraphMode.NONE)
        .color_mode(BigValueColorMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).fields("/.*/").values(False))
        .no_value("no data")
        .thresholds(steps((None, "text")))
    )


def rows(title: str, sql: str, *, span: int, height: int) -> table.Panel:
    """A table."""
    return (
        table.Panel()
        .title(title)
        .datasource(DATASOURCE)
        .with_target(Sql(sql, "table"))
        .span(span)
        .height(height)
        .show_header(True)
    )


def steps(*values: tuple[float | None, str]) -> ThresholdsConfig:
    """Colours, each from a value on; the first from None."""
    return ThresholdsConfig().steps([models.Threshold(value=value, color=color) for value, color in values])


def properties(**values: object) -> list[DynamicConfigValue]:
    """What an override sets, ``custom.width`` written ``custom__width``."""
    return [DynamicConfigValue(id_val=name.replace("__", "."), value=value) for name, value in values.items()]


def link_to_sensor(table_name: str, sensor: str, field: str | None = None) -> list[dict[str, object]]:
    """A link to the sensor's own dashboard, in the time range that is shown."""
    query = f"var-kind={table_name}&var-sensor={sensor}" + (f"&var-field={field}" if field else "")
    return [{"title": f"Open {sensor}", "url": f"/d/sensorflow-sensor/sensor?{query}&${{__url_time_range}}"}]


def new_dashboard(name: str, description: str) -> Dashboard:
    """An empty dashboard ``sensorflow-<name>`` with links to its siblings."""
    siblings = DashboardLink("SensorFlow").type(models.DashboardLinkType.DASHBOARDS).tags([TAG]).keep_time(True)
    siblings.placement("")  # the SDK's default hides them in a menu
    return (
        Dashboard(name.capitalize())
        .uid(f"sensorflow-{name}")
        .description(description)
        .tags([TAG])
        .readonly()
        .time("now-24h", "now")
        .timezone("browser")
        .refresh("30s")
        .timepicker(TimePicker().refresh_intervals(["10s", "30s", "1m", "5m", "15m", "1h"]))
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(siblings)
    )


def panels_of(built: models.Dashboard) -> Iterator[models.Panel | models.RowPanel]:
    """Its panels and rows from top to bottom, those of collapsed rows too."""
    for panel in built.panels or []:
        yield panel
        if isinstance(panel, models.RowPanel):
            yield from panel.panels


def numbered(built: models.Dashboard) -> models.Dashboard:
    """Give each panel an id: its place."""
    for place, panel in enumerate(panels_of(built), start=1):
        panel.id_val = place
    return built
