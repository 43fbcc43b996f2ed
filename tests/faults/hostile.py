"""What hostile or broken clients send: payloads that are certainly wrong, and some of which nobody can say. No I/O.

Everything comes from one ``random.Random``, so that a seed makes all of it again.
"""

import json
import string
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

Members = dict[str, Any]

CLIMATE = ("temperature", "humidity", "pressure")
NUMBERS = [b"NaN", b"-Infinity", b"1e999", b"1" + b"0" * 400, b"9" * 5000, b"0x10", b"01", b"+1", b"1.", b".5", b"1_0"]
VALUES = [None, True, "25.5", "", [1], {"a": 1}, {}, [], 1e308, -1e308]
TIMES = [True, {}, "", "now", "2026-11-02", "2026-11-02T10:11:12", "9999-12-31T23:59:59-23:59", 0, -1, 1e308, 2**62]
FIELDS = ["a b", "1a", "", "a,b", "a=b", "ä", "a\x00", "\u202e", "a" * 65, "id", "client_ip", "timestamp", "-"]
TEXTS = ["\x00", "a\nb", "\x1b[2J", "\x7f", "x" * 257]
SENSOR_IDS = ["a/b", "a+", "#", "", "a b", "\x00", "-a", "a" * 65, "../a", "a'--", 'a"', "é", "\u202ea", "\uffff"]

NAME_CHARACTERS = string.ascii_letters + string.digits + "._-"
PIECES = [
    *("\x00", "\n", "\r\n", "\t", "\x1b[31m", "\x7f", "\x85", "\u202e", "\u2028", "\ufeff", "\ufffe", "\uffff"),
    *("é", "😀", "٣", "\uff41", " ", ",a=b", " a=1 1\nb", "\\", '"', "=", "/", "../", "..%2f", "%00", "*", "<b>", "{"),
    *("+", "#", "/#", "$", "$SYS/", "$share/g/", "'", "';--", "' OR '1'='1", '"; DROP TABLE sensor_readings; --'),
    *("$1", "${x}", "{{x}}"),
]


def good(chance: Random, *, is_climate: bool) -> Members:
    """A reading as it should be."""
    number = round(chance.uniform(0, 99), 3)
    if is_climate:
        return {"temperature": number, "humidity": chance.randrange(100), "pressure": 1000 + number}
    return {"number": number, "third": chance.random() < 0.5, "text": chance.choice(["ok", "a:b", "✓ “”", "\\", '"'])}


def spoiled(chance: Random, members: Members, *, is_climate: bool) -> bytes:
    """The same, broken in a way that no kind accepts."""
    broken: bytes = chance.choice(_FOR_CLIMATE if is_climate else _FOR_ALL)(chance, members)
    return broken


def flipped(chance: Random, body: bytes, *, first: int = 0) -> bytes:
    """One to three of its bytes, from the ``first`` on, changed at random: it may be as good as before."""
    flipped_body = bytearray(body)
    for _ in range(chance.randint(1, 3)):
        flipped_body[chance.randrange(first, len(body))] = chance.randrange(256)
    return bytes(flipped_body)


def bodies() -> Iterator[bytes]:
    """Temperature readings, each with one thing that JSON, or a reading, must not have."""
    rest = b'"humidity": 60, "pressure": 1000, "sensor_id": "hostile"}'
    deep = 10_000
    digits = b"9" * 5000
    values = [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999", b"1e+400", b"2e3", digits, b"-" + digits]
    values += [b"true", b"false", b"null", b'"25.5"', b"0x1F", b"1_000", b"[25.5]", b'{"a": 1}']
    values += [b'"\\ud800"', b'"\xed\xa0\x80"', b'"\xff"']
    values += [b"[" * deep + b"]" * deep, b'{"a":' * deep + b"1" + b"}" * deep, b"[" * 1000 + b"]" * 1000]
    for value in values:
        yield b'{"temperature": ' + value + b", " + rest
    good_body = b'{"temperature": 25.5, ' + rest
    yield good_body[:-1] + b', "temperature": 25.5}'
    yield good_body[:-1] + b', "\\u0074emperature": 1}'
    yield good_body[:-1] + b', "sensor_id": "another"}'
    yield good_body[:-1] + b', "\\udfff": 1}'
    yield b"\xef\xbb\xbf" + good_body
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"):
        yield good_body.decode().encode(encoding)
    yield b"[" * 60_000
    yield b'{"a":' * 12_000


def sensor_ids(chance: Random, count: int) -> Iterator[str]:
    """So many: a third of them as they may be, or nearly."""
    for _ in range(count):
        piece = chance.choice(PIECES)
        name = "".join(chance.choices(NAME_CHARACTERS, k=chance.randint(1, 70)))
        yield chance.choice([name, name[1:], piece, piece + name, name[:60] + piece, name[:20] + piece + name[20:40]])


def is_sensor_id(text: str) -> bool:
    """What passes, in other words than the product's."""
    return 1 <= len(text) <= 64 and set(text) <= set(NAME_CHARACTERS) and text[0] not in "._-"


def _dumped(members: Members) -> bytes:
    return json.dumps(members).encode()


def _cut(chance: Random, members: Members) -> bytes:
    body = _dumped(members)
    return body[: chance.randrange(len(body))]


def _noise(chance: Random, _: Members) -> bytes:
    return chance.randbytes(chance.randrange(200))


def _trailed(chance: Random, members: Members) -> bytes:
    return _dumped(members) + chance.choice([b"\x00", b",", b"}", b"{}", b"//", _dumped(members)])


def _led(chance: Random, members: Members) -> bytes:
    return chance.choice([b"\xef\xbb\xbf", b"\x00", b"\xa0", b"(", b"data: "]) + _dumped(members)


def _encoded(chance: Random, members: Members) -> bytes:
    return json.dumps(members).encode(chance.choice(["utf-16", "utf-16-be", "utf-32", "utf-7"])) + b"\xff"


def _no_object(chance: Random, _: Members) -> bytes:
    return chance.choice([b"", b" ", b"null", b"5", b'"text"', b"true", b"[]", b"{}", b"[" * 3000, b'{"a":' * 2000])


def _deep(chance: Random, members: Members) -> bytes:
    depth = chance.choice([2, 150, 300, 2000])
    return _with_raw(chance, members, b"[" * depth + b"]" * depth)


def _number(chance: Random, members: Members) -> bytes:
    return _with_raw(chance, members, chance.choice(NUMBERS))


def _surrogate(chance: Random, members: Members) -> bytes:
    return _with_raw(chance, members, chance.choice([b'"\\ud800"', b'"\\udfff\\ud800"', b'"\xed\xa0\x80"', b'"\xff"']))


def _twice(chance: Random, members: Members) -> bytes:
    name = chance.choice(list(members))
    return _dumped(members)[:-1] + b", " + _dumped({name: members[name]})[1:]


def _time(chance: Random, members: Members) -> bytes:
    return _dumped(members | {"time": chance.choice(TIMES)})


def _hostile_id(chance: Random, members: Members) -> bytes:
    return _dumped(members | {"sensor_id": chance.choice(SENSOR_IDS)})


def _field(chance: Random, members: Members) -> bytes:
    return _dumped(members | {chance.choice(FIELDS): 1})


def _text(chance: Random, members: Members) -> bytes:
    return _dumped(members | {"text": chance.choice(TEXTS)})


def _crowd(_: Random, members: Members) -> bytes:
    return _dumped(members | {f"f{number}": number for number in range(65)})


def _with_raw(chance: Random, members: Members, raw: bytes) -> bytes:
    """One value replaced by a text that ``json`` would not write."""
    name = chance.choice([each for each in members if each != "sensor_id"])
    return _dumped(members | {name: "@"}).replace(b'"@"', raw)


def _missing(chance: Random, members: Members) -> bytes:
    name = chance.choice(CLIMATE)
    return _dumped({each: value for each, value in members.items() if each != name})


def _value(chance: Random, members: Members) -> bytes:
    return _dumped(members | {chance.choice(CLIMATE): chance.choice(VALUES)})


_Spoiler = Callable[[Random, Members], bytes]
_FOR_ALL: list[_Spoiler] = [
    *(_cut, _noise, _trailed, _led, _encoded, _no_object, _deep, _number, _surrogate, _twice),
    *(_time, _hostile_id, _field, _text, _crowd),
]
_FOR_CLIMATE: list[_Spoiler] = [*_FOR_ALL, _missing, _value]
