"""The checks that every test runs under must themselves find something."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import _marks_of_all_tests_in

pytestmark = pytest.mark.once

CONFTEST = Path(__file__).with_name("conftest.py")

LEAKS = """
import asyncio, socket, threading
import pytest

pytestmark = pytest.mark.once

kept = []

@pytest.mark.asyncio_only
async def test_task():
    kept.append(asyncio.create_task(asyncio.sleep(60)))

def test_socket():
    kept.append(socket.socket())

def test_thread():
    end = threading.Event()
    kept.append(end)
    threading.Thread(target=end.wait, daemon=True).start()
"""

CLEAN = """
import asyncio, time
import anyio
import pytest

async def test_everywhere():
    await anyio.to_thread.run_sync(time.sleep, 0)

@pytest.mark.asyncio_only
async def test_on_asyncio():
    await asyncio.create_task(asyncio.sleep(0))

async def test_connection():
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with await anyio.connect_tcp("127.0.0.1", port):
            pass

def test_plain():
    pass
"""


def run(
    pytester: pytest.Pytester, tests: str, conftest: str | None = None, *arguments: str
) -> pytest.RunResult:
    """Run tests under the project's conftest, in a process of their own."""
    pytester.makeconftest(CONFTEST.read_text() if conftest is None else conftest)
    pytester.makepyprojecttoml(
        '[tool.pytest]\nanyio_mode = "auto"\nfilterwarnings = ["error"]\nstrict = true'
    )
    pytester.makepyfile(tests)
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", *arguments)


def test_a_leak_is_an_error(pytester: pytest.Pytester) -> None:
    """A task, a socket and a thread that outlive their test make it fail."""
    # What never ends is not waited for as long as what does.
    conftest = CONFTEST.read_text().replace("SECONDS_TO_END = 20.0", "SECONDS_TO_END = 0.1")
    result = run(pytester, LEAKS, conftest)

    result.assert_outcomes(passed=4, errors=4)
    result.stdout.fnmatch_lines_random(
        [
            "*the test left tasks running*",
            "*the test left sockets open*",
            "*the test left threads running*",
        ]
    )


def test_a_clean_test_passes_on_each_back_end(pytester: pytest.Pytester) -> None:
    """A test that closes what it opens passes, on three back ends or on the two of asyncio."""
    run(pytester, CLEAN).assert_outcomes(passed=3 + 2 + 3 + 1)


def test_a_blocking_call_of_ours_is_an_error(pytester: pytest.Pytester) -> None:
    """What asyncbatch calls inside a running loop may not block, unless the test says so."""
    # The code gets a file name under the package: that is what tells whose call it is.
    tests = """
        import time
        import asyncbatch
        import pytest
        from pathlib import Path

        def sleep():
            name = str(Path(asyncbatch.__path__[0]) / "_sleeper.py")
            exec(compile("time.sleep(0)", name, "exec"), {"time": time})

        @pytest.mark.asyncio_only
        async def test_sleep():
            sleep()

        @pytest.mark.may_block
        @pytest.mark.asyncio_only
        async def test_sleep_on_purpose():
            sleep()
    """

    result = run(pytester, tests)

    result.assert_outcomes(failed=2, passed=2)
    result.stdout.no_fnmatch_line("FAILED *test_sleep_on_purpose*")


def test_a_mark_that_its_file_does_not_name_is_an_error(pytester: pytest.Pytester) -> None:
    """`-m once` does not read such a file: its test would run nowhere."""
    pytester.makepyfile(marks="import pytest\nlong = getattr(pytest.mark, 'on' + 'ce')\n")
    tests = "from marks import long\n\n@long\ndef test_long():\n    pass\n"

    result = run(pytester, tests)

    result.stderr.fnmatch_lines(["*is marked 'once', and its file does not say so*"])


def test_a_mark_is_asked_for_in_files_that_name_it(pytester: pytest.Pytester) -> None:
    """The others are not imported, but for an expression that may ask for more."""
    pytester.makepyfile(test_broken="raise AssertionError")
    tests = "import pytest\n\n@pytest.mark.once\ndef test_long():\n    pass\n"

    found = run(pytester, tests, None, "-m", "once and not slow")
    wider = run(pytester, tests, None, "-m", "once or slow")

    found.assert_outcomes(passed=1)
    wider.assert_outcomes(errors=1)


def test_a_file_of_tests_that_are_not_asked_for_is_not_imported(pytester: pytest.Pytester) -> None:
    """Where its `pytestmark` says so of all of them."""
    pytester.makepyfile(
        test_broken="import pytest\npytestmark = pytest.mark.once\nraise AssertionError"
    )
    tests = "import pytest\n\n@pytest.mark.once\ndef test_long():\n    pass\n\ndef test(): pass\n"

    found = run(pytester, tests, None, "-m", "not slow and not once and not extras")
    wider = run(pytester, tests, None, "-m", "not once or slow")

    found.assert_outcomes(passed=1, deselected=1)
    wider.assert_outcomes(errors=1)


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ("pytestmark = pytest.mark.once", {"once"}),
        ("pytestmark = [pytest.mark.any_loop, pytest.mark.once]", {"any_loop", "once"}),
        (
            "pytestmark = [\n    pytest.mark.skip(),\n    pytest.mark.extras,\n]",
            {"skip()", "extras"},
        ),
        ("pytestmark = pytest.mark.once\npytestmark = pytest.mark.slow", {"slow"}),
        ("pytestmark = [pytest.mark.once][:0]", set()),
        ("once = pytest.mark.skip\npytestmark = once", set()),
        ("TEXT = '''\npytestmark = pytest.mark.once\n'''", set()),
        ("@pytest.mark.once\ndef test_one():\n    pytestmark = pytest.mark.once", set()),
    ],
)
def test_the_marks_of_all_tests_in_a_file_are_those_of_its_pytestmark(
    tmp_path: Path, text: str, marks: set[str]
) -> None:
    """No line of a string counts, nor one of a function, nor what was replaced."""
    file = tmp_path / "test_made_up.py"
    file.write_text(text)

    assert _marks_of_all_tests_in(file) == marks
