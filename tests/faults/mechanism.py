"""The lines that the promise stands on, each cut in a copy of the tree, and the tests that notice.

``python -m tests.faults.mechanism [WORDS …]`` cuts all, or those that have such words in their names, and prints the
table of docs/reliability.md; it ends with 1 where nothing noticed. Some minutes; ``test_mechanism.py`` sees that each
line is still where it is said to be.
"""

import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEADLINE_S = 400
NO_CONTROLS = "not is_caught and not is_found"  # they look for a flaw of their own, and find this one too
SHOWN = 3  # tests by name in the table

_DECISIONS = "test_histories test_intake test_fingerprints test_timeline test_spool test_order"
TESTS = {
    "bridge/__main__.py": (
        "tests/bridge/test_process.py::test_retained_message_of_a_device_is_stored_once "
        "tests/bridge/test_process.py::test_bridge_that_is_told_to_stop_under_load_loses_and_doubles_nothing"
    ),
    "bridge/shipper.py": "tests/bridge/test_shipper.py",
    "http_api/ingest.py": "tests/http_api/test_post.py tests/http_api/test_unavailable.py",
    "sensorflow/mqtt.py": "tests/bridge/test_histories.py tests/sensorflow/test_mqtt.py",
    "": " ".join(f"tests/bridge/{name}.py" for name in _DECISIONS.split()),
}
"""Which tests are run for a cut in this file; the last for all others."""


@dataclass(frozen=True, slots=True)
class Cut:
    """One line of the mechanism, and what is there once it is cut.

    Args:
        edits: Pairs of text as it is, which has to be there exactly once, and as it becomes.
    """

    name: str
    path: str
    edits: tuple[tuple[str, str], ...]

    @property
    def tests(self) -> list[str]:
        return TESTS.get(self.path, TESTS[""]).split()


def _cut(name: str, path: str, *texts: str) -> Cut:
    return Cut(name, path, tuple(zip(texts[::2], texts[1::2], strict=True)))


_ACKNOWLEDGE = "            self._session.acknowledge(commit.deliveries)\n"
_ANNOUNCE = "            await self._announcer.announce(commit)\n"
_BEFORE_THE_COMMIT = "            if not commit.is_empty:\n"
_SHIPPED_AT_ONCE = """\
                await self._in_spool(self._spool.mark_shipped, chunk, 1, {})
                refused = await self._in_store("""

CUTS = (
    _cut(
        "acknowledge after the commit",
        "bridge/service.py",
        *(_ACKNOWLEDGE, "", _BEFORE_THE_COMMIT, _ACKNOWLEDGE + _BEFORE_THE_COMMIT),
    ),
    _cut(
        "receipts and live readings after the commit",
        "bridge/service.py",
        *(_ANNOUNCE, "", _BEFORE_THE_COMMIT, _ANNOUNCE + _BEFORE_THE_COMMIT),
    ),
    _cut(
        "a failed commit acknowledges nothing, though the bridge has to stop",
        "bridge/service.py",
        *("                    return False\n", "                    return True\n"),
    ),
    _cut(
        "a failed commit is tried again",
        "bridge/service.py",
        *("                attempt += 1\n", "                return True\n"),
    ),
    _cut(
        "acknowledge in the order of arrival",
        "sensorflow/mqtt.py",
        *("for delivery in deliveries:", "for delivery in reversed(list(deliveries)):"),
    ),
    _cut(
        "acknowledge on the connection that it came on",
        "sensorflow/mqtt.py",
        *("pubacks.setdefault(delivery.connection, [])", "pubacks.setdefault(self._newest or delivery.connection, [])"),
    ),
    _cut(
        "take no more than may wait",
        "sensorflow/mqtt.py",
        *("return len(self._events) < MAX_PENDING_EVENTS", "return True or len(self._events) < MAX_PENDING_EVENTS"),
    ),
    _cut(
        "read the PUBACK's reason code",
        "sensorflow/mqtt.py",
        *("        if reason_code != 0:\n", "        if not connection:\n"),
    ),
    _cut(
        "no retained messages at a subscription (the packet)",
        "sensorflow/mqtt.py",
        *("else mqtt5.RetainHandling.SEND_NEVER", "else mqtt5.RetainHandling.SEND_ALWAYS"),
    ),
    _cut(
        "no retained messages at a subscription (the bridge)",
        "bridge/__main__.py",
        "with_retained=False",
        "with_retained=True",
    ),
    _cut("a session that waits for the bridge", "bridge/__main__.py", "clean_start=False", "clean_start=True"),
    _cut(
        "another subscription identifier for each connection",
        "sensorflow/mqtt.py",
        *(", subscription_id=connection.new_subscription_id()", ""),
    ),
    _cut("the subscription in the fingerprint", "bridge/fingerprints.py", ", salt=salt", ""),
    _cut(
        "topic and payload in the fingerprint",
        "bridge/fingerprints.py",
        *("(topic.encode(), payload)", '(b"", b"")'),
    ),
    _cut(
        "the packet id in the fingerprint",
        "bridge/fingerprints.py",
        *('packet_id.to_bytes(2, "big")', '(packet_id // 2).to_bytes(2, "big")'),
    ),
    _cut("fingerprints leave the window", "bridge/fingerprints.py", "WINDOW = 60_000", "WINDOW = 65_536"),
    _cut(
        "the fingerprint check",
        "bridge/intake.py",
        *("packet.duplicate and entry in self._fingerprints", "False"),
    ),
    _cut(
        "only what has DUP is a redelivery",
        "bridge/intake.py",
        *("packet.duplicate and entry in self._fingerprints", "entry in self._fingerprints"),
    ),
    _cut(
        "a new session makes fingerprints void (in memory)",
        "bridge/intake.py",
        *("        self._fingerprints.clear()\n", ""),
    ),
    _cut(
        "a new session makes fingerprints void (on the disk)",
        "bridge/spool.py",
        *('db.execute("DELETE FROM fingerprint")', "pass"),
    ),
    _cut(
        "receipts go to http_api alone",
        "bridge/intake.py",
        *("topics.is_receipts(response_topic) and ", ""),
    ),
    _cut("commit before receipt: fsync", "bridge/spool.py", "'FULL' if is_durable", "'NORMAL' if is_durable"),
    _cut(
        "fingerprints in the same transaction",
        "bridge/spool.py",
        *("            if commit.fingerprints:\n", "            if not commit:\n"),
    ),
    _cut(
        "dead letters in the same transaction",
        "bridge/spool.py",
        *("                self._bury(commit.dead_letters)\n", ""),
    ),
    _cut(
        "all of a commit or nothing",
        "bridge/spool.py",
        *('self._db.execute("ROLLBACK")', 'self._db.execute("COMMIT")'),
    ),
    _cut("a full spool says so", "bridge/spool.py", "if used >= self._max_bytes:", "if used >= 2 * self._max_bytes:"),
    _cut(
        "what is not shipped is never dropped",
        "bridge/spool.py",
        *('"DELETE FROM batch WHERE shipped_us IS NOT NULL"', '"DELETE FROM batch WHERE id > 0"'),
    ),
    _cut("one bridge for one spool", "bridge/spool.py", "fcntl.LOCK_EX | fcntl.LOCK_NB", "fcntl.LOCK_SH"),
    _cut(
        "fingerprints from the spool at the start",
        "bridge/service.py",
        *("Fingerprints(spool.fingerprints())", "Fingerprints()"),
    ),
    _cut(
        "times from the spool at the start",
        "bridge/service.py",
        *("Timeline(spool.recent_lines())", "Timeline()"),
    ),
    _cut(
        "types of fields from the spool at the start",
        "bridge/service.py",
        *("columns=Columns(columns)", "columns=Columns()"),
    ),
    _cut(
        "assigned times increase",
        "bridge/timeline.py",
        *("max(now_us, (self._newest.get(series) or 0) + 1)", "now_us"),
    ),
    _cut(
        "different readings at one time are moved apart",
        "bridge/timeline.py",
        *("(time_us, True) if known == digest else", "(time_us, True) if known is not None else"),
    ),
    _cut(
        "noted as shipped after the store has answered",
        "bridge/shipper.py",
        *(
            "                refused = await self._in_store(",
            _SHIPPED_AT_ONCE,
        ),
    ),
    _cut(
        "what the store refused is a dead letter",
        "bridge/shipper.py",
        *("for line, reason in refused}", "for line, reason in refused[:0]}"),
    ),
    _cut(
        "sent again to a store that may have lost it",
        "bridge/shipper.py",
        *("await self._ship_again(_number(ping))", "pass"),
    ),
    _cut(
        "201 by the receipt alone",
        "http_api/ingest.py",
        *('{"durable": False}, is_durable=False', '{"durable": False}, is_durable=True'),
    ),
)


def main(words: list[str]) -> int:
    """Cut, test and print."""
    _say("| line that was cut | where | tests that failed |\n|---|---|---|")
    unnoticed = 0
    with tempfile.TemporaryDirectory(prefix="sensorflow-cut-") as place:
        for cut in CUTS:
            if not words or any(word in cut.name for word in words):
                failed = failing_tests(cut, Path(place) / "tree")
                unnoticed += not failed
                _say(f"| {cut.name} | `{cut.path}` | {_shown(failed)} |")
    return 1 if unnoticed else 0


def failing_tests(cut: Cut, tree: Path) -> list[str]:
    """The names of the tests that fail without the line, in a copy of this tree."""
    shutil.rmtree(tree, ignore_errors=True)
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".*", "__pycache__", "data", "node_modules"))
    for is_there, becomes in cut.edits:
        text = (tree / cut.path).read_text()
        assert text.count(is_there) == 1, (cut.name, is_there)
        (tree / cut.path).write_text(text.replace(is_there, becomes))
    python = _python_of(tree)
    run = subprocess.run(
        [python, "-m", "pytest", "-q", "--timeout=60", "-p", "no:cacheprovider", "-k", NO_CONTROLS, *cut.tests],
        cwd=tree,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    if run.returncode not in (0, 1):
        raise RuntimeError(f"{cut.name}: pytest ended with {run.returncode}\n{run.stdout}{run.stderr}")
    return list(dict.fromkeys(_failed(run.stdout)))


def _failed(output: str) -> Iterator[str]:
    for found in re.finditer(r"^(?:FAILED|ERROR) tests/\S+::(\w+)", output, re.MULTILINE):
        yield found[1]


def _python_of(tree: Path) -> Path:
    """An interpreter that finds our packages in the tree and others where this one does, also in what tests start."""
    environment = tree / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    libraries = sysconfig.get_path("purelib")
    own = environment / Path(libraries).relative_to(sys.prefix)
    (own / "tree.pth").write_text(f"{tree}\n{libraries}\n")
    return environment / "bin" / "python"


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _shown(failed: list[str]) -> str:
    if not failed:
        return "**none**"
    more = f" and {len(failed) - SHOWN} more" if len(failed) > SHOWN else ""
    return ", ".join(f"`{name}`" for name in failed[:SHOWN]) + more


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
