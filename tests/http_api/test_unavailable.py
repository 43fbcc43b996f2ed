import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tests.broker import Broker
from tests.faults.intruder import Intruder
from tests.http_api.processes import KEY, Api, StandIn, StatusReader, silence
from tests.http_api.requests import READING, assert_problem
from tests.waiting import until

StartApi = Callable[..., Api]
StartBridge = Callable[[], StandIn]


def test_with_the_broker_away_it_is_503_at_once_and_comes_back_by_itself(
    broker: Broker, start_bridge: StartBridge, start_api: StartApi
) -> None:
    bridge = start_bridge()
    api = start_api()
    api.wait_until(bridge="active")
    broker.stop()
    until(lambda: api.client.get("/api/v1/health").status_code == 503)

    started = time.monotonic()
    response = api.post("temperature_reading", READING)

    assert time.monotonic() - started < 1
    assert_problem(response, 503, "not connected to the broker")
    assert 1 <= int(response.headers["retry-after"]) <= 5
    broker.start()
    api.wait_until(mqtt="connected")
    until(lambda: api.post("temperature_reading", READING).status_code == 201)
    assert bridge.received


def test_with_a_broker_that_is_silent_it_is_503_within_four_seconds(start_api: StartApi, broker: Broker) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        api = start_api(MQTT_PORT=server.getsockname()[1])
        api.wait_until(mqtt="disconnected")

        assert_problem(api.post("temperature_reading", READING), 503)


def test_with_a_broker_that_stops_to_answer_it_is_503_within_four_seconds(
    broker: Broker, start_bridge: StartBridge, start_api: StartApi
) -> None:
    start_bridge()
    api = start_api()
    api.wait_until(bridge="active")
    assert broker._process is not None
    broker._process.send_signal(signal.SIGSTOP)

    started = time.monotonic()
    response = api.post("temperature_reading", READING)

    broker._process.send_signal(signal.SIGCONT)
    assert time.monotonic() - started < 4.5
    assert_problem(response, 503, "no PUBACK within 4 s")


def test_after_a_failure_health_is_bad_until_a_reading_passes(
    broker: Broker, start_bridge: StartBridge, start_api: StartApi
) -> None:
    start_bridge()
    api = start_api()
    api.wait_until(bridge="active")
    assert broker._process is not None
    broker._process.send_signal(signal.SIGSTOP)
    assert_problem(api.post("temperature_reading", READING), 503)

    health = api.client.get("/api/v1/health")

    broker._process.send_signal(signal.SIGCONT)
    assert (health.status_code, health.json()["status"]) == (503, "unhealthy")
    until(lambda: api.post("temperature_reading", READING).status_code == 201)
    assert api.client.get("/api/v1/health").status_code == 200


def test_before_the_bridge_was_ever_there_it_is_503(start_api: StartApi, start_bridge: StartBridge) -> None:
    api = start_api()
    api.wait_until(mqtt="connected")
    assert api.client.get("/api/v1/health").json()["status"] == "degraded"

    response = api.post("temperature_reading", READING)

    assert_problem(response, 503, "the bridge has not been connected")
    assert "retry-after" in response.headers
    assert api.client.get("/api/v1/health").json()["status"] == "unhealthy"
    start_bridge()
    until(lambda: api.client.get("/api/v1/health").json()["status"] == "degraded")
    assert api.post("temperature_reading", READING).status_code == 201


def test_a_device_that_subscribes_to_everything_hides_from_nobody_that_the_bridge_was_never_there(
    broker: Broker, start_api: StartApi, start_bridge: StartBridge
) -> None:
    api = start_api()
    api.wait_until(mqtt="connected")
    with Intruder(broker.port, "device", broker.passwords["device"], "spy") as spy:
        spy.subscribe("#")

        before = api.post("temperature_reading", READING)
        start_bridge().leave()
        until(lambda: api.post("temperature_reading", READING).status_code == 202)

    assert_problem(before, 503, "the bridge has not been connected to this broker yet")


def test_when_access_rules_forbid_the_topic_it_is_503_and_an_error_in_the_log(
    broker: Broker, start_bridge: StartBridge, start_api: StartApi
) -> None:
    rules = broker.directory / "acl"
    broker.stop()
    user, _, rest = rules.read_text().partition("user http_api\n")
    rules.write_text(user + "user http_api\n" + rest.replace("topic write sensors/#\n", "", 1))
    broker.start()
    start_bridge()
    api = start_api()
    api.wait_until(bridge="active")

    for _ in range(3):
        assert_problem(api.post("temperature_reading", READING), 503, "0x87")

    assert api.log.read_text().count("reason code 0x87") == 1
    assert " ERROR " in api.log.read_text()


def test_with_a_full_spool_it_is_503_at_once(start_api: StartApi, start_bridge: StartBridge) -> None:
    bridge = start_bridge()
    api = start_api()
    api.wait_until(bridge="active")
    spool = {"readings": 9, "bytes": 900, "oldest_s": 4000.5, "is_full": True}
    bridge.say("running", store="disconnected", spool=spool)
    until(lambda: api.client.get("/api/v1/health").status_code == 503)

    assert_problem(api.post("temperature_reading", READING), 503, "spool is full")

    assert api.client.get("/api/v1/health").json()["spool"] == spool
    assert bridge.received == []


def test_with_the_bridge_gone_it_is_202_soon(start_api: StartApi, start_bridge: StartBridge) -> None:
    bridge = start_bridge()
    api = start_api(RECEIPT_TIMEOUT_S=20)
    api.wait_until(bridge="active")
    bridge.say("gone")
    bridge.leave()
    api.wait_until(bridge="inactive")

    started = time.monotonic()
    response = api.post("temperature_reading", READING)

    assert time.monotonic() - started < 1
    assert response.status_code == 202
    assert response.json()["durable"] is False
    assert api.client.get("/api/v1/health").json()["status"] == "degraded"


def test_what_is_open_is_answered_before_it_ends(start_api: StartApi, start_bridge: StartBridge) -> None:
    bridge = start_bridge()
    bridge.outcome = silence
    api = start_api(RECEIPT_TIMEOUT_S=1)
    api.wait_until(bridge="active")

    with ThreadPoolExecutor() as threads:
        answer = threads.submit(api.post, "temperature_reading", READING)
        until(lambda: bridge.received)
        api.process.terminate()
        assert answer.result().status_code == 202

    assert api.stop() == 0


def test_what_is_cut_off_by_the_stop_is_answered_without_a_traceback(
    start_api: StartApi, start_bridge: StartBridge
) -> None:
    bridge = start_bridge()
    bridge.outcome = silence
    api = start_api(RECEIPT_TIMEOUT_S=20)
    api.wait_until(bridge="active")

    with ThreadPoolExecutor() as threads, socket.create_connection(("127.0.0.1", api.port), 10) as half:
        half.sendall(
            f"POST /api/v1/vat HTTP/1.1\r\nHost: a\r\nX-API-Key: {KEY}\r\nContent-Length: 9\r\n\r\n{{".encode()
        )
        answer = threads.submit(api.post, "temperature_reading", READING)
        until(lambda: bridge.received)
        api.process.terminate()
        assert answer.result().status_code == 202
        assert half.recv(1000).startswith(b"HTTP/1.1 503")

    assert api.process.wait(10) == 0
    assert "Traceback" not in api.log.read_text()


def test_it_says_how_it_is_to_whoever_listens(broker: Broker, start_api: StartApi) -> None:
    status = StatusReader(broker)
    api = start_api()

    until(lambda: status.states == ["running"])
    assert api.stop() == 0
    until(lambda: status.states == ["running", "stopped"])
    api = start_api()
    until(lambda: status.states[2:] == ["running"])
    api.process.kill()
    until(lambda: status.states[3:] == ["gone"])
    late = StatusReader(broker)
    until(lambda: late.states == ["gone"])

    status.leave()
    late.leave()


def test_a_port_that_is_taken_ends_the_start_and_is_named(start_api: StartApi) -> None:
    first = start_api()
    first.wait_until(mqtt="connected")

    second = start_api(HTTP_PORT=first.port)

    assert second.process.wait(10) == 3
    assert "address already in use" in second.log.read_text()
    assert f"{first.port}" in second.log.read_text()
    assert "listening" not in second.log.read_text()
