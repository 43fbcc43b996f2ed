"""What InfluxDB 3's SQL has and DuckDB has under another name, or not at all: functions, and names of types."""

MACROS = """
CREATE MACRO memory.main.date_bin
    (stride, ts) AS time_bucket(stride::INTERVAL, ts::TIMESTAMPTZ, TIMESTAMPTZ '1970-01-01 00:00:00+00'),
    (stride, ts, origin) AS time_bucket(stride::INTERVAL, ts::TIMESTAMPTZ, origin::TIMESTAMPTZ);
CREATE MACRO memory.main.tz
    (ts) AS ts::TIMESTAMPTZ,
    (ts, zone) AS timezone(zone, ts::TIMESTAMPTZ);
CREATE MACRO memory.main.to_timestamp(x) AS CASE typeof(x)
    WHEN 'VARCHAR' THEN x::VARCHAR::TIMESTAMPTZ
    WHEN 'TIMESTAMP WITH TIME ZONE' THEN x::VARCHAR::TIMESTAMPTZ
    WHEN 'TIMESTAMP' THEN x::VARCHAR::TIMESTAMPTZ
    ELSE make_timestamptz(x::VARCHAR::BIGINT // 1000) END;
CREATE MACRO memory.main.to_timestamp_seconds(x) AS make_timestamptz(x::BIGINT * 1000000);
CREATE MACRO memory.main.to_timestamp_millis(x) AS make_timestamptz(x::BIGINT * 1000);
CREATE MACRO memory.main.to_timestamp_micros(x) AS make_timestamptz(x::BIGINT);
CREATE MACRO memory.main.to_timestamp_nanos(x) AS make_timestamptz(x::BIGINT // 1000);
CREATE MACRO memory.main.from_unixtime(x) AS make_timestamptz(x::BIGINT * 1000000);

CREATE MACRO memory.main.selector_first(v, ts) AS {'value': arg_min(v, ts), 'time': min(ts) FILTER (v IS NOT NULL)};
CREATE MACRO memory.main.selector_last(v, ts) AS {'value': arg_max(v, ts), 'time': max(ts) FILTER (v IS NOT NULL)};
CREATE MACRO memory.main.selector_min(v, ts) AS {'value': min(v), 'time': arg_min(ts, v)};
CREATE MACRO memory.main.selector_max(v, ts) AS {'value': max(v), 'time': arg_max(ts, v)};
CREATE MACRO memory.main.approx_percentile_cont
    (x, p) AS approx_quantile(x, p),
    (x, p, centroids) AS approx_quantile(x, p);
CREATE MACRO memory.main.approx_median(x) AS approx_quantile(x, 0.5);
CREATE MACRO memory.main.approx_distinct(x) AS approx_count_distinct(x);
CREATE MACRO memory.main.var(x) AS var_samp(x);
CREATE MACRO memory.main.covar(x, y) AS covar_samp(x, y);

CREATE MACRO memory.main.nvl(x, y) AS coalesce(x, y);
CREATE MACRO memory.main.nanvl(x, y) AS CASE WHEN isnan(x) THEN y ELSE x END;
CREATE MACRO memory.main.iszero(x) AS x = 0;
CREATE MACRO memory.main.signum(x) AS sign(x);
CREATE MACRO memory.main.btrim(s) AS trim(s);
CREATE MACRO memory.main.regexp_like
    (s, pattern) AS regexp_matches(s, pattern),
    (s, pattern, flags) AS regexp_matches(s, pattern, flags);
CREATE MACRO memory.main.arrow_typeof(x) AS typeof(x);
"""

INFORMATION_SCHEMA = """
CREATE SCHEMA memory.influxdb;
CREATE VIEW memory.influxdb.columns AS SELECT * REPLACE (
    CASE column_comment
        WHEN 'timestamp' THEN 'Timestamp(Nanosecond, None)'
        WHEN 'tag' THEN 'Dictionary(Int32, Utf8)'
        WHEN 'field::float' THEN 'Float64'
        WHEN 'field::integer' THEN 'Int64'
        WHEN 'field::uinteger' THEN 'UInt64'
        WHEN 'field::boolean' THEN 'Boolean'
        WHEN 'field::string' THEN 'Utf8'
        ELSE data_type
    END AS data_type
) FROM information_schema.columns;
"""
"""Types by their names in InfluxDB, which Grafana's query editor tells numbers and times from text by. A column's
comment is its kind (``store.tables``)."""
