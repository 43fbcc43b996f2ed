#!/bin/sh
# Send readings with curl, and read the newest: API_KEY=… sh send.sh
set -eu
url=${SENSORFLOW_URL:-http://127.0.0.1:8000}

# Tries again where nobody answers, or not now (408, 429, 503).
api() {
  path=$1
  shift
  curl --silent --show-error --fail-with-body --max-time 10 --retry 5 --retry-connrefused \
    -H "X-API-Key: $API_KEY" "$url/api/v1/$path" "$@"
}

# One reading; with its own time it is the same one, however often it is sent.
api temperature_reading -H "Content-Type: application/json" -H "Accept: text/plain" \
  -d "{\"sensor_id\": \"curl\", \"time\": $(date +%s), \"temperature\": 21.5, \"humidity\": 45, \"pressure\": 1013}"

# Many: one on each line. The server gives them their time; the key makes it one request, however often it is sent.
api readings -H "Content-Type: application/x-ndjson" -H "Idempotency-Key: curl-$$-$(date +%s)" --data-binary @- <<END
{"sensor_id": "curl", "temperature": 21.6, "humidity": 45, "pressure": 1013}
{"sensor_id": "curl", "kind": "telemetry", "battery": 3.9, "is_charging": true}
END
echo

api sensor/curl/latest
echo
