-- SQL as InfluxDB's users write it, one statement a line; test_dialect.py runs each on the targets and on DataFusion.
SELECT * FROM df ORDER BY time
SELECT DISTINCT sensor FROM df ORDER BY sensor
SELECT count(*) AS n, count(note) AS notes, count(DISTINCT note) AS kinds FROM df
SELECT sensor, avg(temperature) AS t, min(level) AS lo, max(level) AS hi, sum(level) AS s FROM df GROUP BY sensor ORDER BY 1
SELECT date_bin(interval '5 minutes', time) AS t, avg(temperature) AS v FROM df GROUP BY 1 ORDER BY 1
SELECT date_bin(interval '90 second', time, timestamp '1970-01-01T00:00:00Z') AS t, count(*) AS n FROM df GROUP BY 1 ORDER BY 1
SELECT date_bin(interval '1 day', time, timestamp '2023-11-14T05:00:00Z') AS t, count(*) AS n FROM df GROUP BY 1 ORDER BY 1
SELECT date_bin('10m', time) AS t, sensor, max(temperature) AS v FROM df GROUP BY 1, 2 ORDER BY 1, 2
SELECT date_trunc('hour', time) AS t, count(*) AS n FROM df GROUP BY 1 ORDER BY 1
SELECT date_part('hour', time) AS h, count(*) AS n FROM df GROUP BY 1 ORDER BY 1
SELECT extract(minute FROM time) AS m, count(*) AS n FROM df GROUP BY 1 ORDER BY 1
SELECT count(*) AS n FROM df WHERE time >= '2023-11-14T22:30:00Z' AND time <= '2023-11-14T22:40:00.5Z'
SELECT count(*) AS n FROM df WHERE time >= '2023-11-14T23:30:00+01:00'
SELECT count(*) AS n FROM df WHERE time < now() - interval '1 hour'
SELECT count(*) AS n FROM df WHERE time >= cast('2023-11-14T22:30:00Z' as timestamp)
SELECT sensor, last_value(temperature ORDER BY time) AS v FROM df GROUP BY sensor ORDER BY sensor
SELECT sensor, first_value(level ORDER BY time DESC) AS v FROM df GROUP BY sensor ORDER BY sensor
SELECT median(temperature) AS m, stddev(temperature) AS s, var(temperature) AS v FROM df
SELECT time, level - lag(level) OVER (PARTITION BY sensor ORDER BY time) AS d FROM df ORDER BY time
SELECT sensor, time, row_number() OVER (PARTITION BY sensor ORDER BY time DESC) AS n FROM df ORDER BY sensor, time
SELECT time, avg(temperature) OVER (ORDER BY time ROWS BETWEEN 3 PRECEDING AND CURRENT ROW) AS v FROM df ORDER BY time
SELECT sensor FROM df WHERE note ~ '^n[12]$' GROUP BY sensor ORDER BY sensor
SELECT count(*) AS n FROM df WHERE note LIKE 'n%' AND room IN ('r0') AND NOT ok
SELECT count(*) AS n FROM df WHERE note IS NULL OR level BETWEEN 3 AND 5
SELECT note, count(*) AS n FROM df GROUP BY note ORDER BY note
SELECT note, count(*) AS n FROM df GROUP BY note ORDER BY note DESC
SELECT level / 2 AS half, level % 2 AS odd, temperature / 2 AS t FROM df ORDER BY time LIMIT 5
SELECT round(temperature, 1) AS r, floor(temperature) AS f, ceil(temperature) AS c, abs(-level) AS a FROM df ORDER BY time LIMIT 7
SELECT CASE WHEN temperature > 21 THEN 'warm' ELSE 'cold' END AS w, count(*) AS n FROM df GROUP BY 1 ORDER BY 1
SELECT coalesce(note, 'none') AS n, upper(room) AS r, concat(sensor, '-', room) AS c FROM df ORDER BY time LIMIT 9
SELECT substr(sensor, 2, 1) AS s, length(room) AS l, replace(room, 'r', 'R') AS r FROM df ORDER BY time LIMIT 3
WITH hot AS (SELECT sensor, max(temperature) AS t FROM df GROUP BY sensor) SELECT * FROM hot ORDER BY sensor
SELECT a.sensor, a.t FROM (SELECT sensor, max(time) AS t FROM df GROUP BY sensor) a ORDER BY a.sensor
SELECT sensor, count(*) AS n FROM df GROUP BY sensor HAVING count(*) > 66 ORDER BY sensor
SELECT sensor FROM df WHERE level > 9 UNION SELECT room FROM df ORDER BY 1
SELECT bool_and(ok) AS a, bool_or(ok) AS o FROM df
SELECT to_timestamp_seconds(1700000000) AS s, to_timestamp_millis(1700000000123) AS m, to_timestamp_micros(5) AS u
SELECT regexp_like(sensor, 's[01]') AS r, nvl(note, '-') AS n FROM df ORDER BY time LIMIT 4
SELECT count(*) FILTER (WHERE level > 5) AS n FROM df
SELECT approx_distinct(note) AS n FROM df
SELECT corr(temperature, level) AS c FROM df
SELECT greatest(level, 5) AS g, least(level, 5) AS l, power(level, 2) AS p, sqrt(level) AS s FROM df ORDER BY time LIMIT 5
SELECT time, time + interval '1 hour' AS later FROM df ORDER BY time LIMIT 2
SELECT max(time) AS t FROM df WHERE sensor = 's1'
