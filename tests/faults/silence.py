"""A broker that falls silent: R18. Its connections stay open, as those of a machine do whose cable was pulled."""

import json
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from bridge.service import STATUS_FILE_NAME
from tests.e2e.system import System
from tests.faults.device import Device
from tests.faults.findings import look, settle
from tests.faults.judge import judge
from tests.faults.oracle import Oracle
from tests.faults.reading import Sensors
from tests.faults.trial import Outcome, trial
from tests.waiting import until

# As 60 s are to the default of 15 s, so that it takes a quarter of the time.
KEEPALIVE_S = 4
SILENCE_S = 4 * KEEPALIVE_S
NOTICED_WITHIN_S = 1.5 * KEEPALIVE_S
ANSWERED_WITHIN_S = 5.0
MESSAGES = 2_000


@trial("R18", must_hold="bridge notices <= 1.5 x keepalive; every POST is 503 in <= 5 s; 0 lost")
def broker_falls_silent(directory: Path) -> Outcome:
    system = System(directory, MQTT_KEEPALIVE_S=KEEPALIVE_S)
    device = Device(system.settings.mqtt_port, "device", system.settings.mqtt_device_password.get_secret_value())
    numbered, posted = Sensors("numbered", 10), Sensors("posted", 1)
    try:
        system.start()
        system.wait_until()
        with Oracle(device) as oracle:
            oracle.offer(device, numbered.make(MESSAGES // 2))
            with silent(system), ThreadPoolExecutor(1) as beside:
                noticing = beside.submit(notice, system)
                oracle.offer(device, numbered.make(MESSAGES // 2))
                answers, longest_s = keep_posting(system, posted)
                noticed_s = noticing.result()
            system.wait_until()
            accepted, _ = post(system, posted)
            oracle.wait()
            settle(system, messages=MESSAGES + 1)
        findings = look(system)
    finally:
        system.stop_all()
    found = judge(numbered.made + posted.made, findings.rows + findings.buried)
    return Outcome(
        injected=f"SIGSTOP of the broker for {SILENCE_S} s, keepalive {KEEPALIVE_S} s (60 s and 15 s to scale)",
        offered=found.offered,
        accepted=found.accepted,
        lost=found.lost,
        duplicated=found.duplicated,
        measured=(
            f"noticed after {noticed_s:.1f} s; {', '.join(f'{count} x {code}' for code, count in answers.items())}, "
            f"the slowest after {longest_s:.1f} s; "
            f"{found.words()}"
        ),
        holds=found.holds
        and findings.is_conserved
        and noticed_s <= NOTICED_WITHIN_S
        and set(answers) == {503}
        and longest_s <= ANSWERED_WITHIN_S
        and accepted == 201,
    )


@contextmanager
def silent(system: System) -> Iterator[None]:
    """Stop the broker's process, not its connections."""
    broker = system._processes["mosquitto"]
    broker.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        broker.send_signal(signal.SIGCONT)


def keep_posting(system: System, posted: Sensors) -> tuple[Counter[int], float]:
    """What POSTs are answered for as long as it is silent, and the longest that one took in seconds."""
    answers, longest_s = Counter[int](), 0.0
    until_s = time.monotonic() + SILENCE_S
    while time.monotonic() < until_s:
        code, took_s = post(system, posted)
        answers[code] += 1
        longest_s = max(longest_s, took_s)
        time.sleep(0.1)  # a board's pause between two readings
    return answers, longest_s


def notice(system: System) -> float:
    """How long it takes the bridge to say that it has no broker, in seconds."""
    began_s = time.monotonic()
    status = system.settings.data_dir / STATUS_FILE_NAME
    until(lambda: json.loads(status.read_bytes())["broker"] == "disconnected", SILENCE_S)
    return time.monotonic() - began_s


def post(system: System, posted: Sensors) -> tuple[int, float]:
    """Send one reading; the status code, and how long it took in seconds."""
    (reading,) = posted.make(1)
    began_s = time.monotonic()
    answer = system.http.post(
        f"/api/v1/{reading.kind}",
        content=reading.payload(sensor_id=reading.sensor_id),
        headers={"Content-Type": "application/json"},
    )
    if answer.status_code in {201, 202}:
        reading.answer = str(answer.status_code)
    return answer.status_code, time.monotonic() - began_s
