"""The readings that the oracle owns: each has a number, and its values tell which it is; and what became of it."""

import json
from dataclasses import dataclass

CONSTANT_VALUES = {"temperature": 25.5, "humidity": 60.25, "pressure": 1012.5}
CONSTANT_TABLE = "sensor_readings"
NUMBERED_TABLE = "telemetry"

Values = tuple[float, bool, str]


@dataclass(slots=True, eq=False)
class Reading:
    """One reading that a device owes to the system, and the system to its owner once it was accepted.

    Args:
        number: Rising within its sensor, in the order of sending.
        time_us: What the device says; None for a device without a clock.
        is_constant: All readings of the sensor are equal, so that only their number can be judged.
        sent: How often it went out; a device sends again what was not answered.
        answer: The one that the device took for good: ``0x00`` of a PUBACK, ``201``, ``202``; empty before.
    """

    sensor_id: str
    number: int
    time_us: int | None = None
    is_constant: bool = False
    sent: int = 0
    answer: str = ""

    @property
    def kind(self) -> str:
        return "temperature_reading" if self.is_constant else "telemetry"

    @property
    def topic(self) -> str:
        return f"sensors/{self.sensor_id}/{self.kind}"

    @property
    def values(self) -> Values:
        """A number, a truth and a text that belong to this reading of this sensor alone."""
        return float(self.number), self.number % 3 == 0, f"{self.sensor_id} says {self.number}"

    def payload(self, **more: object) -> bytes:
        """As JSON, with ``time`` where the device has one."""
        number, is_third, text = self.values
        values = CONSTANT_VALUES if self.is_constant else {"number": number, "third": is_third, "text": text}
        time = {"time": self.time_us} if self.time_us else {}
        return json.dumps({**values, **time, **more}).encode()


class Sensors:
    """Makes readings in turn for some sensors of one sort, and keeps them all."""

    def __init__(self, prefix: str, count: int, *, is_constant: bool = False, first_us: int | None = None) -> None:
        self.made: list[Reading] = []
        self.prefix = prefix
        self._count = count
        self._is_constant, self._first_us = is_constant, first_us

    def make(self, count: int) -> list[Reading]:
        """The next ``count``; those with a time are 1 ms apart at the same sensor."""
        numbers = range(len(self.made), len(self.made) + count)
        made = [self._one(number % self._count, number // self._count) for number in numbers]
        self.made += made
        return made

    def _one(self, sensor: int, number: int) -> Reading:
        time_us = self._first_us + 1000 * number if self._first_us else None
        return Reading(f"{self.prefix}-{sensor}", number, time_us, self._is_constant)
