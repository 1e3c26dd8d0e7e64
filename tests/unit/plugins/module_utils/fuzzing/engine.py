# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives a parser very many inputs, and says of each that made something else of it than data or a sentence.

Inputs that reach a line of ours, or of PyYAML's, that none reached before join those from which the next are made
(sys.monitoring, from Python 3.12 on; before that all are made of the first ones).
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import os
import signal
import sys
import time
import traceback
import typing as t
import zlib
from pathlib import Path
from types import CodeType, FrameType

from ansible_collections.kubeharden.core.plugins.module_utils.errors import HardeningError
from ansible_collections.kubeharden.core.tests.unit.plugins.module_utils.fuzzing.inputs import Mutator

#: Seconds of the processor that one input may take; of the clock it may be many more on a machine that is shared.
LIMIT = 3.0
CLOCK_LIMIT = 120
#: Seconds of the processor for making a failing input smaller, and how many kinds of failures are looked for.
SMALLER = 2.0
_MOST_FAILURES = 12
_MOST_HANGS = 3
_LONGEST_SENTENCE = 1500
_LONGEST_SHOWN = 1000


@dataclasses.dataclass(frozen=True)
class Parser:
    """One reader of what lies on a host.

    Attributes:
        name: What it is called in the results.
        call: Gives it the bytes of a file; what it may raise beside what is allowed is a defect.
        seeds: Files as they are.
        words: Pieces that mean something to it.
        documents: The values of some of the files, where they are structured.
        allowed: What it may raise beside HardeningError, as its documentation says.
        path: Where it looks for the file, which is laid there before each call; None where it takes the bytes.
        share: Of the inputs that are asked for, the part that it gets: less for what reads a whole host.
    """

    name: str
    call: t.Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    words: tuple[str, ...] = ()
    documents: tuple[t.Any, ...] = ()
    allowed: tuple[type[Exception], ...] = ()
    path: Path | None = None
    share: float = 1.0


@dataclasses.dataclass
class Outcome:
    """What came of it: how many inputs were given, taken and refused with a sentence, and what failed."""

    given: int = 0
    taken: int = 0
    refused: int = 0
    hangs: int = 0
    reached: int = 0
    slowest: float = 0.0
    failures: dict[str, str] = dataclasses.field(default_factory=dict)


class Hang(BaseException):
    """The parser took too long. No handler of the product is to catch it."""


def fuzz(parser: Parser, count: int, seed: str) -> Outcome:
    """Give a parser its seeds and then inputs made of them."""
    mutator = Mutator(f"{parser.name} {seed}", parser.words, parser.documents)
    corpus = list(parser.seeds)
    outcome = Outcome()
    wanted = max(int(count * parser.share), min(count, 20), len(corpus))
    with _restored(parser.path), _new_lines() as reached_new:
        while outcome.given < wanted and len(outcome.failures) < _MOST_FAILURES and outcome.hangs < _MOST_HANGS:
            fresh = outcome.given >= len(parser.seeds)
            data = mutator.choose(corpus) if fresh else parser.seeds[outcome.given]
            outcome.given += 1
            began = time.process_time()
            problem = attempt(parser, data)
            outcome.slowest = max(outcome.slowest, time.process_time() - began)
            if problem == _REFUSED:
                outcome.refused += 1
            elif not problem:
                outcome.taken += 1
            elif problem == _HANG:
                outcome.hangs += 1
                outcome.failures[problem] = _shown(parser, data)
            elif problem not in outcome.failures:
                outcome.failures[problem] = _shown(parser, _smaller(parser, data, problem))
            if reached_new():
                outcome.reached += 1
                if fresh:
                    corpus.append(data)
    return outcome


@contextlib.contextmanager
def _restored(path: Path | None) -> t.Iterator[None]:
    """Leaves the file as it was found."""
    before = path.read_bytes() if path and path.exists() else None
    try:
        yield
    finally:
        if path and before is not None:
            path.write_bytes(before)
        elif path:
            path.unlink(missing_ok=True)


_REFUSED = "a sentence"
_HANG = "no end"


def attempt(parser: Parser, data: bytes) -> str:
    """Give a parser one input; empty where it took it, else what it made of it."""
    _written.clear()
    if parser.path is not None:
        parser.path.write_bytes(data)
    problem = ""
    try:
        with _limits(), _watched():
            parser.call(data)
    except HardeningError as error:
        problem = _of_sentence(str(error))
    except parser.allowed:
        problem = _REFUSED
    except Hang:
        problem = _HANG
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if "module_utils" in frame.filename and "tests" not in frame.filename]
        last = (ours or frames)[-1]
        problem = f"{type(error).__name__} from {os.path.basename(last.filename)}, {last.name}: {last.line}"
    return f"it did {_written[0]}" if _written else problem


def _of_sentence(text: str) -> str:
    """What is wrong with the sentence of a refusal, if anything: it is printed on a terminal."""
    if not text.strip():
        return "an empty sentence"
    return _REFUSED if len(text) <= _LONGEST_SENTENCE else f"a sentence of too many words: {text[:60]}"


def _smaller(parser: Parser, data: bytes, problem: str) -> bytes:
    """Less of the input that still fails in this way."""
    end = time.process_time() + SMALLER
    size = len(data) // 2
    while size and time.process_time() < end:
        for start in range(0, len(data), size):
            less = data[:start] + data[start + size :]
            if attempt(parser, less) == problem:
                data = less
                break
        else:
            size //= 2
    return data


def _shown(parser: Parser, data: bytes) -> str:
    """How to have it again, to be pasted into a test."""
    shown = repr(data)
    if len(shown) > _LONGEST_SHOWN:  # mostly one word again and again
        shown = f"zlib.decompress(base64.b64decode({base64.b64encode(zlib.compress(data, 9))!r}))"
    return f"attempt(PARSERS[{parser.name!r}], {shown})"


# ---- limits ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _limits() -> t.Iterator[None]:
    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise Hang

    before = signal.signal(signal.SIGPROF, stop), signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_PROF, LIMIT)
    signal.alarm(CLOCK_LIMIT)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
        signal.signal(signal.SIGPROF, before[0])
        signal.signal(signal.SIGALRM, before[1])


# ---- no writes -------------------------------------------------------------------------------------------------------

_FORBIDDEN = (
    *("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.chmod", "os.chown", "os.link", "os.symlink", "os.truncate"),
    *("os.utime", "os.setxattr", "os.removexattr", "os.system", "os.exec", "os.fork", "os.posix_spawn"),
    *("subprocess.Popen", "socket.connect", "socket.bind", "tempfile.mkstemp", "tempfile.mkdtemp"),
)
_written: list[str] = []
_watching = False
_installed = False


def _audit(event: str, arguments: tuple[t.Any, ...]) -> None:
    if not _watching:
        return
    if event == "open":
        path, mode, flags = arguments
        if (isinstance(mode, str) and set(mode) & set("wax+")) or flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            _written.append(f"open {path!r} for writing")
    elif event in _FORBIDDEN:
        _written.append(f"{event} {arguments!r}")


@contextlib.contextmanager
def _watched() -> t.Iterator[None]:
    """Notes what a parser does to the system. A hook of Python's cannot be taken away, so it is there once."""
    global _watching, _installed  # noqa: PLW0603
    if not _installed:
        sys.addaudithook(_audit)
        _installed = True
    _watching = True
    try:
        yield
    finally:
        _watching = False


# ---- lines reached ---------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _new_lines() -> t.Iterator[t.Callable[[], bool]]:
    """Gives a function that says whether a line was reached, since it was last asked, that never was before."""
    monitoring: t.Any = getattr(sys, "monitoring", None)
    if monitoring is None:
        yield lambda: False
        return
    tool = monitoring.PROFILER_ID
    new = False

    def reached(code: CodeType, _line: int) -> t.Any:
        nonlocal new
        if "kubeharden" in code.co_filename or f"{os.sep}yaml{os.sep}" in code.co_filename:
            new = True
        return monitoring.DISABLE

    def since() -> bool:
        nonlocal new
        seen, new = new, False
        return seen

    monitoring.use_tool_id(tool, "fuzzing")
    monitoring.register_callback(tool, monitoring.events.LINE, reached)
    monitoring.set_events(tool, monitoring.events.LINE)
    monitoring.restart_events()
    try:
        yield since
    finally:
        monitoring.set_events(tool, 0)
        monitoring.register_callback(tool, monitoring.events.LINE, None)
        monitoring.free_tool_id(tool)
