"""What a process asked of the kernel, and in which order, read from a file that ``strace`` wrote. No other I/O."""

import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

# -D: the process stays our child, and strace is its grandchild. -yy: what a file descriptor leads to. -xx: strings in
# hexadecimal, paths too. Without --seccomp-bpf every other call would stop the process as well.
_OPTIONS = ["-D", "-f", "-yy", "-ttt", "-T", "-xx", "-s", "2000000", "--seccomp-bpf", "-e", "signal=none"]
_CALLS = "fdatasync,fsync,read,recvfrom,recvmsg,write,writev,sendto,sendmsg"

_LINE = re.compile(r"(?P<thread>\d+) +(?P<at_s>\d+\.\d+) (?P<rest>.*)")
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>")
_CALL = re.compile(
    r"(?P<name>\w+)\(\d+<(?P<target>(?:->|[^>])*)>(?P<rest>.*) = (?P<result>-?\d+).* <(?P<took_s>[\d.]+)>"
)
_HEXADECIMAL = re.compile(r"\\x([0-9a-f]{2})")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})+)"')


@dataclass(frozen=True, slots=True)
class Call:
    """One system call on a file descriptor.

    Args:
        target: The file's path, or ``TCP:[here:port->there:port]``.
        moved: What was read or written.
        began: Its place in the order of all that began or ended; so is ``ended``.
        began_s: Since the epoch, so that two processes' calls can be compared.
    """

    name: str
    target: str
    moved: bytes
    began: int
    ended: int
    began_s: float
    ended_s: float

    @property
    def is_sync(self) -> bool:
        return self.name in {"fdatasync", "fsync"}

    @property
    def is_in(self) -> bool:
        return self.name in {"read", "recvfrom", "recvmsg"}

    @property
    def is_out(self) -> bool:
        return not (self.is_sync or self.is_in)


def traced(command: list[str], file: Path) -> list[str]:
    """The command that runs this one and writes to ``file`` what it asks of the kernel.

    Raises:
        FileNotFoundError: There is no strace here.
    """
    if shutil.which("strace") is None:
        raise FileNotFoundError("strace is not installed; Debian, Ubuntu: apt-get install strace")
    return ["strace", *_OPTIONS, "-e", f"trace={_CALLS}", "-o", str(file), "--", *command]


def is_complete(file: Path, pid: int) -> bool:
    """Whether the process has ended and strace has said so."""
    with file.open("rb") as lines:
        lines.seek(-min(file.stat().st_size, 4096), 2)
        return re.search(rb"^%d +\S+ \+\+\+ (exited|killed)" % pid, lines.read(), re.MULTILINE) is not None


def calls(lines: Iterable[str]) -> Iterator[Call]:
    """The calls that succeeded, in the order in which they ended."""
    unfinished: dict[str, tuple[int, float, str]] = {}
    for place, line in enumerate(lines):
        found = _LINE.match(line)
        if found is None:
            continue
        thread, at_s, rest = found["thread"], float(found["at_s"]), found["rest"]
        began, began_s, text = place, at_s, rest
        if rest.endswith("<unfinished ...>"):
            unfinished[thread] = place, at_s, rest.removesuffix("<unfinished ...>")
            continue
        if resumed := _RESUMED.match(rest):
            began, began_s, first = unfinished.pop(thread)
            text = first + rest[resumed.end() :]
        call = _CALL.fullmatch(text)
        if call is not None and int(call["result"]) >= 0:
            yield _call(call, began, place, began_s)


def _call(call: re.Match[str], began: int, ended: int, began_s: float) -> Call:
    strings = "".join(_STRING.findall(call["rest"])).replace("\\x", "")
    return Call(
        name=call["name"],
        target=_HEXADECIMAL.sub(lambda byte: chr(int(byte[1], 16)), call["target"]),
        moved=bytes.fromhex(strings)[: int(call["result"])],
        began=began,
        ended=ended,
        began_s=began_s,
        ended_s=began_s + float(call["took_s"]),
    )
