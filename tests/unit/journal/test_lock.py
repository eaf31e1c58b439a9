"""`FileLock`: one holder at a time, and none once its process has ended."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from asyncbatch import JournalInUse
from asyncbatch._journal import _lock
from asyncbatch._journal._lock import FileLock

HOLD = """
import os, sys
from pathlib import Path
from asyncbatch._journal._lock import FileLock
lock = FileLock(Path(sys.argv[1]), sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


def test_it_is_held_until_it_is_released(tmp_path: Path) -> None:
    """Nothing is left behind."""
    path = tmp_path / "run.db"
    lock = FileLock(path, "run.db")
    with pytest.raises(JournalInUse, match=r"^run\.db: another batch of this program"):
        FileLock(path, "run.db")

    lock.release()
    lock.release()

    assert list(tmp_path.iterdir()) == []
    FileLock(path, "run.db").release()


def test_it_is_held_against_other_programs_until_they_are_killed(tmp_path: Path) -> None:
    """The error names the process; the file that a killed one leaves is no lock."""
    path = tmp_path / "run.db"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"

        with pytest.raises(JournalInUse, match=f"process {holder.pid}"):
            FileLock(path, "run.db")
        holder.kill()

    assert (tmp_path / "run.db-lock").exists()
    FileLock(path, "run.db").release()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_process_does_not_hold_the_lock_of_its_parent(tmp_path: Path) -> None:
    """Neither does it release it, nor is it refused once the parent has."""
    path = tmp_path / "run.db"
    lock = FileLock(path, "run.db")
    child = os.fork()
    if not child:
        code = 1
        try:
            lock.release()
            try:
                FileLock(path, "run.db")
            except JournalInUse:
                code = 0
        finally:
            os._exit(code)

    assert os.waitpid(child, 0)[1] == 0
    with pytest.raises(JournalInUse):
        FileLock(path, "run.db")
    lock.release()


def test_a_link_in_the_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    """Another file would be emptied."""
    other = tmp_path / "other"
    other.write_text("content")
    (tmp_path / "run.db-lock").symlink_to(other)

    with pytest.raises(OSError, match="lock"):
        FileLock(tmp_path / "run.db", "run.db")

    assert other.read_text() == "content"


def test_the_lock_of_another_program_is_left_alone(tmp_path: Path) -> None:
    """Someone has removed a journal that was in use, and another batch has begun a new one."""
    lock = FileLock(tmp_path / "run.db", "run.db")
    (tmp_path / "run.db-lock").unlink()
    (tmp_path / "run.db-lock").write_text("of another program")

    lock.release()

    assert (tmp_path / "run.db-lock").read_text() == "of another program"


def test_a_lock_whose_file_was_removed_before_it_was_locked_is_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last holder removes the file as it leaves: a lock on it keeps nobody out."""
    path = tmp_path / "run.db"
    try_lock, tries = _lock._try_lock, list[int]()

    def lock_late(descriptor: int) -> bool:
        if not tries:
            Path(f"{path}-lock").unlink()
        tries.append(descriptor)
        return try_lock(descriptor)

    monkeypatch.setattr(_lock, "_try_lock", lock_late)
    lock = FileLock(path, "run.db")

    assert len(tries) == 2
    assert Path(f"{path}-lock").read_text() == str(os.getpid())
    lock.release()
