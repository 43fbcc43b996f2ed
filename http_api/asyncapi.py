"""The AsyncAPI document: what goes over MQTT and over the WebSocket, made from the kinds that validate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from http_api import samples, schemas
from sensorflow import topics
from sensorflow.kinds import MAX_READINGS, SENSOR_ID_PATTERN
from ws.app import PATH as WEBSOCKET

if TYPE_CHECKING:
    from sensorflow.kinds import Kind, Kinds

Json = dict[str, Any]

_DESCRIPTION = f"""\
Devices publish readings with QoS 1. A PUBACK of 0x00 says that the broker has the reading; the bridge then keeps it on
disk and brings it to the store exactly once. What is wrong becomes a dead letter, with its reason.

Everything that became durable is published once more on `{topics.LIVE}`, and goes to browsers over the WebSocket.
"""
_TIME = {"type": "string", "format": "date-time"}


def document(kinds: Kinds, version: str) -> Json:
    """The whole document, as a JSON object."""
    heard = {name: _readings(kind) for name, kind in kinds.items()}
    heard |= {f"{name}_of_many": _readings_of_many(kind) for name, kind in kinds.items()}
    channels = heard | _told(kinds)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "SensorFlow",
            "version": version,
            "description": _DESCRIPTION,
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": _servers(),
        "channels": channels,
        "operations": {
            f"{'receive' if name in heard else 'send'}_{name}": {
                "action": "receive" if name in heard else "send",
                "channel": {"$ref": f"#/channels/{name}"},
                "summary": channel["summary"],
            }
            for name, channel in channels.items()
        },
        "components": {
            "messages": {name: _reading(kind) for name, kind in kinds.items()}
            | {f"{name}_of_many": _reading_of_many(kind) for name, kind in kinds.items()}
            | {f"{name}_live": _live(kind) for name, kind in kinds.items()}
            | {"status": _status(), "dead_letter": _dead_letter(), "batch": _batch()},
            "schemas": {name: schemas.on_topic(kind) for name, kind in kinds.items()}
            | {f"{name}_of_many": schemas.over_http(kind) for name, kind in kinds.items()}
            | {f"{name}_live": schemas.frame(kind) for name, kind in kinds.items()},
            "securitySchemes": {
                "password": {
                    "type": "userPassword",
                    "description": "The user of a device may write below sensors/{its name}/ alone.",
                },
                "key": {
                    "type": "httpApiKey",
                    "in": "query",
                    "name": "api-key",
                    "description": "API_KEY_WS, or a key of scope live.",
                },
            },
        },
    }


def _servers() -> Json:
    def variable(default: str, description: str) -> Json:
        return {"default": default, "description": description}

    return {
        "mqtt": {
            "host": "{host}:{port}",
            "protocol": "mqtt",
            "protocolVersion": "5.0",
            "description": "Mosquitto; MQTT 3.1.1 too, which has no word for a refusal.",
            "variables": {
                "host": variable("localhost", "Where the broker runs."),
                "port": variable("1883", "The setting MQTT_PORT."),
            },
            "security": [{"$ref": "#/components/securitySchemes/password"}],
        },
        "websocket": {
            "host": "{host}:{port}",
            "protocol": "ws",
            "description": "The HTTP API's own port.",
            "variables": {
                "host": variable("localhost", "Where the HTTP API runs."),
                "port": variable("8000", "The setting HTTP_PORT."),
            },
            "security": [{"$ref": "#/components/securitySchemes/key"}],
        },
    }


def _readings(kind: type[Kind]) -> Json:
    name = kind.kind
    return {
        "address": topics.reading("{sensor_id}", name),
        "title": topics.reading("{sensor_id}", name),
        "summary": f"A device's {name.replace('_', ' ')}.",
        "description": "With QoS 1 and without the retain flag.",
        "servers": [{"$ref": "#/servers/mqtt"}],
        "parameters": {"sensor_id": {"description": f"Matches {SENSOR_ID_PATTERN}", "examples": [samples.SENSOR_ID]}},
        "messages": {name: _message(name)},
    }


def _readings_of_many(kind: type[Kind]) -> Json:
    name = kind.kind
    return {
        "address": topics.many(name),
        "title": topics.many(name),
        "summary": f"A gateway's {name.replace('_', ' ')}, of many sensors at once.",
        "description": "With QoS 1, by a user who may write for every sensor.",
        "servers": [{"$ref": "#/servers/mqtt"}],
        "messages": {f"{name}_of_many": _message(f"{name}_of_many")},
    }


def _told(kinds: Kinds) -> Json:
    """What we send."""
    live = {f"{name}_live": _message(f"{name}_live") for name in kinds}
    return {
        "websocket": {
            "address": WEBSOCKET,
            "title": WEBSOCKET,
            "summary": "Each reading as it becomes durable.",
            "description": (
                "One text frame a reading. What a client sends is ignored. One that falls behind is closed with 1013."
            ),
            "servers": [{"$ref": "#/servers/websocket"}],
            "messages": live,
        },
        "live": {
            "address": topics.LIVE,
            "title": topics.LIVE,
            "summary": "The readings of one commit.",
            "description": "For operators' tools: the same messages as over the WebSocket, one a line.",
            "servers": [{"$ref": "#/servers/mqtt"}],
            "messages": {"batch": _message("batch")},
        },
        "status": {
            "address": topics.status("{service}"),
            "title": topics.status("{service}"),
            "summary": "How a service is, every five seconds.",
            "description": "Retained; a service that dies without a word is said to be gone by its last will.",
            "servers": [{"$ref": "#/servers/mqtt"}],
            "parameters": {"service": {"enum": ["bridge", "http_api"]}},
            "messages": {"status": _message("status")},
        },
        "dead_letters": {
            "address": topics.dead_letters("{reason}"),
            "title": topics.dead_letters("{reason}"),
            "summary": "A reading that was rejected.",
            "description": "A mirror: the record is in the bridge's spool, see `sensorflow dead-letters`.",
            "servers": [{"$ref": "#/servers/mqtt"}],
            "parameters": {"reason": {"description": "Why.", "examples": ["bad_reading"]}},
            "messages": {"dead_letter": _message("dead_letter")},
        },
    }


def _message(name: str) -> Json:
    return {"$ref": f"#/components/messages/{name}"}


def _reading(kind: type[Kind]) -> Json:
    payload = {"$ref": f"#/components/schemas/{kind.kind}"}
    example = samples.values(kind)
    return {
        "summary": "One reading, or an array of them in the order in which they were taken.",
        "payload": {"anyOf": [payload, {"type": "array", "minItems": 1, "maxItems": MAX_READINGS, "items": payload}]},
    } | ({"examples": [{"payload": example}]} if example else {})


def _reading_of_many(kind: type[Kind]) -> Json:
    payload = {"$ref": f"#/components/schemas/{kind.kind}_of_many"}
    example = samples.payload(kind)
    return {
        "summary": "An array of readings, in the order in which they were taken; each names its sensor.",
        "payload": {"type": "array", "minItems": 1, "maxItems": MAX_READINGS, "items": payload},
    } | ({"examples": [{"payload": [example]}]} if samples.values(kind) else {})


def _live(kind: type[Kind]) -> Json:
    return {
        "summary": kind.kind.replace("_", " ").capitalize() + ".",
        "payload": {"$ref": f"#/components/schemas/{kind.kind}_live"},
    } | ({"examples": [{"payload": samples.frame(kind)}]} if samples.values(kind) else {})


def _batch() -> Json:
    return {
        "summary": "JSON objects, separated by line feeds.",
        "contentType": "application/x-ndjson",
        "payload": {"type": "string"},
    }


def _status() -> Json:
    return {
        "summary": "One service's heartbeat; what else is in it differs from service to service.",
        "payload": {
            "type": "object",
            "required": ["service", "state"],
            "properties": {
                "service": {"type": "string"},
                "state": {"enum": ["running", "stopped", "gone"]},
                "version": {"type": "string"},
                "time": _TIME,
                "uptime_s": {"type": "number", "minimum": 0},
                "counters": {"type": "object", "additionalProperties": {"type": "number"}},
            },
        },
        "examples": [{"payload": {"service": "bridge", "state": "gone"}}],
    }


def _dead_letter() -> Json:
    text = {"type": "string"}
    return {
        "summary": "What came, as far as it fits, and why it was rejected.",
        "payload": {
            "type": "object",
            "required": ["timestamp", "reason", "detail", "topic", "payload", "payload_bytes"],
            "properties": {
                "timestamp": _TIME,
                "reason": text,
                "detail": text,
                "topic": text,
                "payload": {"type": "string", "description": "The first KiB."},
                "payload_bytes": {"type": "integer", "minimum": 0},
            },
        },
        "examples": [
            {
                "payload": {
                    "timestamp": "2025-08-16T14:30:45.123Z",
                    "reason": "bad_reading",
                    "detail": "humidity: Field required",
                    "topic": "sensors/sensor_001/temperature_reading",
                    "payload": '{"temperature": 25.5}',
                    "payload_bytes": 21,
                }
            }
        ],
    }
