"""The commands on a spool as the bridge makes it, and against a real Mosquitto."""

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from paho.mqtt.client import MQTTMessage

from bridge.spool import Spool
from tests.broker import Broker
from tests.sensorflow.cli.conftest import Run
from tests.sensorflow.cli.test_mqtt import Subscriber

LETTERS = [
    (1_780_000_000_000_001, "bad_json", "expected value", "sensors/a/telemetry", b"{\x1b[31m\nbad\xff", "10.0.0.7"),
    (1_780_000_000_000_002, "unknown_kind", "no kind 'wind'", "sensors/b/wind", b'{"speed": 3}', None),
    (1_780_000_000_000_003, "bad_topic", "not a topic", "sensors/b", b"{}", None),
    (1_780_000_000_000_004, "unknown_kind", "no kind 'wind'", "sensors/c/wind", b'{"speed": 4}', None),
]


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """What the bridge made and has open."""
    bridge = Spool(tmp_path / "data/spool", max_bytes=2**24)
    with (
        closing(bridge),
        closing(sqlite3.connect(tmp_path / "data/spool/spool.db", isolation_level=None)) as connection,
    ):
        connection.executemany(
            "INSERT INTO dead_letter (time_us, reason, detail, topic, payload, client_ip) VALUES (?,?,?,?,?,?)", LETTERS
        )
        yield connection


def user_properties(message: MQTTMessage) -> object:
    return getattr(message.properties, "UserProperty", None)


def insert(spool: sqlite3.Connection, reason: str, count: int) -> None:
    rows = [(number, reason, b"%d" % number) for number in range(count)]
    sql = (
        "INSERT INTO dead_letter (time_us, reason, detail, topic, payload) VALUES (?, ?, '', 'sensors/a/telemetry', ?)"
    )
    spool.execute("BEGIN")
    spool.executemany(sql, rows)
    spool.execute("COMMIT")


def ids(spool: sqlite3.Connection) -> list[int]:
    return [number for (number,) in spool.execute("SELECT id FROM dead_letter ORDER BY id")]


def purged(spool: sqlite3.Connection) -> int:
    return sum(number for (number,) in spool.execute("SELECT value FROM meta WHERE name = 'purged'"))


def test_list_shows_the_newest_first_with_time_reason_topic_and_detail(run: Run, spool: sqlite3.Connection) -> None:
    result = run("dead-letters", "list", "--limit", 2)

    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[1] == ["4", "2026-05-28T20:26:40.000004Z", "unknown_kind", "sensors/c/wind", "no", "kind", "'wind'"]
    assert lines[2][0] == "3"
    assert lines[3] == ["2", "of", "4"]


def test_list_as_json_is_one_object_a_line(run: Run, spool: sqlite3.Connection) -> None:
    result = run("dead-letters", "list", "--reason", "bad_json", "--json")

    assert json.loads(result.stdout) == {
        "id": 1,
        "time": "2026-05-28T20:26:40.000001Z",
        "reason": "bad_json",
        "detail": "expected value",
        "topic": "sensors/a/telemetry",
        "client_ip": "10.0.0.7",
        "payload": "{\x1b[31m\nbad\\xff",
    }


def test_show_prints_the_payload_without_what_a_terminal_would_act_on(run: Run, spool: sqlite3.Connection) -> None:
    result = run("dead-letters", "show", 1)

    assert result.stdout.splitlines()[-3:] == ["payload    11 bytes", "  {\\x1b[31m", "  bad\\xff"]


def test_show_of_one_that_is_not_there_fails(run: Run, spool: sqlite3.Connection) -> None:
    result = run("dead-letters", "show", 99)

    assert (result.exit_code, result.stderr) == (1, "sensorflow: no dead letter 99\n")


def test_list_of_a_reason_without_letters_says_which_there_are(run: Run, spool: sqlite3.Connection) -> None:
    result = run("dead-letters", "list", "--reason", "badjson")

    assert result.exit_code == 0
    assert result.stdout.endswith("0 of 0\n")
    assert result.stderr == (
        "sensorflow: no dead letter of the reason 'badjson'; the reasons here: bad_json, bad_topic, unknown_kind\n"
    )


def test_list_of_an_empty_spool_has_no_reasons_to_name(run: Run, spool: sqlite3.Connection) -> None:
    spool.execute("DELETE FROM dead_letter")

    result = run("dead-letters", "list", "--reason", "bad_json")

    assert (result.exit_code, result.stderr) == (0, "")


def test_purge_names_the_ids_that_are_not_there_and_deletes_the_others(run: Run, spool: sqlite3.Connection) -> None:
    result = run("dead-letters", "purge", 99, 2, 98, "--yes")

    assert result.exit_code == 1
    assert result.stdout == "1 deleted\n"
    assert result.stderr == "sensorflow: no dead letter 98, 99\n"
    assert ids(spool) == [1, 3, 4]


def test_ids_that_are_of_another_reason_are_named_with_it(run: Run, spool: sqlite3.Connection) -> None:
    result = run("dead-letters", "purge", 1, 2, "--reason", "bad_json", "--yes")

    assert result.exit_code == 1
    assert result.stderr == "sensorflow: no dead letter 2 of the reason 'bad_json'\n"
    assert ids(spool) == [2, 3, 4]


def test_purge_of_one_asks_in_the_singular(run: Run, spool: sqlite3.Connection) -> None:
    result = run("dead-letters", "purge", 1, stdin="n\n")

    assert "Delete 1 dead letter for good?" in result.stdout


@pytest.mark.parametrize(
    ("selection", "left"), [(["2", "3"], [1, 4]), (["--reason", "unknown_kind"], [1, 3]), (["--all"], [])]
)
def test_purge_deletes_what_was_selected_and_counts_it(
    run: Run, spool: sqlite3.Connection, selection: list[str], left: list[int]
) -> None:
    spool.execute("INSERT INTO meta VALUES ('purged', 10)")

    result = run("dead-letters", "purge", *selection, "--yes")

    assert result.stdout == f"{4 - len(left)} deleted\n"
    assert (ids(spool), purged(spool)) == (left, 14 - len(left))


def test_purge_asks_first(run: Run, spool: sqlite3.Connection) -> None:
    result = run("dead-letters", "purge", "--all", stdin="n\n")

    assert "Delete 4 dead letters for good?" in result.stdout
    assert (result.exit_code, ids(spool), purged(spool)) == (1, [1, 2, 3, 4], 0)


def test_purge_of_many_goes_in_short_transactions(run: Run, spool: sqlite3.Connection) -> None:
    insert(spool, "bad_time", 2500)

    result = run("dead-letters", "purge", "--reason", "bad_time", "--yes")

    assert result.stdout == "2,500 deleted\n"
    assert (ids(spool), purged(spool)) == ([1, 2, 3, 4], 2500)


def test_deletion_waits_while_the_bridge_commits(run: Run, spool: sqlite3.Connection, tmp_path: Path) -> None:
    writer = sqlite3.connect(tmp_path / "data/spool/spool.db", isolation_level=None, check_same_thread=False)
    writer.execute("BEGIN IMMEDIATE")
    commit = threading.Timer(0.3, writer.execute, ["COMMIT"])
    commit.start()

    result = run("dead-letters", "purge", "--all", "--yes")

    commit.join()
    writer.close()
    assert result.stdout == "4 deleted\n"


@pytest.mark.parametrize("command", ["purge", "replay"])
@pytest.mark.parametrize(
    ("selection", "message"), [([], "say which: ids, --reason or --all"), (["--all", "1"], "--all leaves no room")]
)
def test_command_that_changes_something_wants_to_know_what(
    run: Run, spool: sqlite3.Connection, command: str, selection: list[str], message: str
) -> None:
    result = run("dead-letters", command, *selection)

    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize("command", [["list"], ["show", "1"], ["replay", "--all"], ["purge", "--all"]])
def test_without_a_spool_the_commands_say_so_and_make_none(run: Run, tmp_path: Path, command: list[str]) -> None:
    result = run("dead-letters", *command)

    assert result.exit_code == 1
    assert "no spool at" in result.stderr
    assert not (tmp_path / "data").exists()


def test_file_that_is_no_spool_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "data/spool").mkdir(parents=True)
    (tmp_path / "data/spool/spool.db").write_bytes(b"not a database, whatever it is called" * 100)

    result = run("dead-letters", "list")

    assert result.exit_code == 1
    assert "spool.db: file is not a database" in result.stderr


@pytest.fixture
def mqtt(broker: Broker, settings: Callable[..., None]) -> Broker:
    settings(mqtt_port=broker.port, mqtt_password=broker.passwords["operator"])
    return broker


def test_replay_publishes_with_the_first_time_and_deletes_what_the_broker_took(
    run: Run, spool: sqlite3.Connection, mqtt: Broker
) -> None:
    bridge = Subscriber(mqtt, "bridge", "sensors/#")

    result = run("dead-letters", "replay", "1", "2")

    first, second = bridge.next(), bridge.next()
    bridge.close()
    assert result.exit_code == 0, result.output
    assert (first.topic, first.payload) == ("sensors/a/telemetry", LETTERS[0][4])
    assert user_properties(first) == [("received_us", "1780000000000001"), ("client_ip", "10.0.0.7")]
    assert user_properties(second) == [("received_us", "1780000000000002")]
    assert (ids(spool), purged(spool)) == ([3, 4], 2)


def test_replay_names_the_ids_that_are_not_there_and_sends_the_others(
    run: Run, spool: sqlite3.Connection, mqtt: Broker
) -> None:
    bridge = Subscriber(mqtt, "bridge", "sensors/#")

    result = run("dead-letters", "replay", 99, 2)

    bridge.close()
    assert result.exit_code == 1
    assert result.stdout == "1 of 1 sent again\n"
    assert result.stderr == "sensorflow: no dead letter 99\n"
    assert ids(spool) == [1, 3, 4]


def test_replay_leaves_what_has_no_topic_and_says_so(run: Run, spool: sqlite3.Connection, mqtt: Broker) -> None:
    bridge = Subscriber(mqtt, "bridge", "sensors/#")

    result = run("dead-letters", "replay", "--all")

    bridge.close()
    assert result.exit_code == 1
    assert result.stdout == "3 of 4 sent again\n"
    assert "3 cannot be replayed: topic: 'sensors/b' is not sensors/<sensor_id>/<kind>" in result.stderr
    assert ids(spool) == [3]


def test_replay_of_many_takes_them_in_batches_and_once_each(run: Run, spool: sqlite3.Connection, mqtt: Broker) -> None:
    spool.execute("DELETE FROM dead_letter")
    insert(spool, "bad_time", 250)
    bridge = Subscriber(mqtt, "bridge", "sensors/#")

    result = run("dead-letters", "replay", "--all")

    assert [int(bridge.next().payload) for _ in range(250)] == list(range(250))
    bridge.close()
    assert result.stdout == "250 of 250 sent again\n"
    assert (ids(spool), purged(spool)) == ([], 250)


def test_replay_keeps_what_nobody_takes(run: Run, spool: sqlite3.Connection, mqtt: Broker) -> None:
    result = run("dead-letters", "replay", "2")

    assert result.exit_code == 1
    assert "2 stays: MQTT 127.0.0.1:" in result.stderr
    assert "answered 0x10" in result.stderr
    assert (ids(spool), purged(spool)) == ([1, 2, 3, 4], 0)
