"""Grafana's data source, dashboards and alert rules: files that Grafana reads, and what writes them from the kinds."""

import warnings

# The SDK would have us write dashboards of schema v2, which in Grafana 12 are a preview, and says so at every import of
# another. Imported here first, they are quiet later.
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from grafana_foundation_sdk.builders import dashboard, stat  # noqa: F401 - for the reason above
