"""Deliveries as the session hands them over, made by hand."""

from typing import Any, cast

from mqtt5 import PublishPacket, QoS

from sensorflow.mqtt import Delivery

TOPIC = "sensors/s1/temperature_reading"
CLIMATE = b'{"temperature": 25.5, "humidity": 60.2, "pressure": 1012.5}'
RECEIPTS = "receipts/http_api-1"


def delivery(
    payload: bytes = CLIMATE,
    topic: str = TOPIC,
    *,
    packet_id: int | None = None,
    duplicate: bool = False,
    connection: object = None,
    **properties: Any,
) -> Delivery:
    """With QoS 1 where it has a packet id. ``properties`` are the packet's own."""
    qos = QoS.AT_LEAST_ONCE if packet_id else QoS.AT_MOST_ONCE
    packet = PublishPacket(topic, payload, qos=qos, packet_id=packet_id, duplicate=duplicate, **properties)
    return Delivery(packet, cast("Any", connection))


def posted(
    payload: bytes = CLIMATE, topic: str = TOPIC, *, received_us: object, client_ip: str = "10.0.0.7", **more: Any
) -> Delivery:
    """As http_api publishes it."""
    properties = [("received_us", str(received_us)), ("client_ip", client_ip)]
    return delivery(payload, topic, **({"user_properties": properties, "response_topic": RECEIPTS} | more))
