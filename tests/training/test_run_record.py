"""What a run's record says about the code it ran."""

import importlib.util
import shutil
import subprocess
from pathlib import Path

import pytest

from scan_lightning.training import run_record


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with the module under test, a source file and a recorded run, all committed."""
    for name in ("src/code.py", "experiments/table/results.csv"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("one\n")
    shutil.copy(Path(run_record.__file__), tmp_path / "src" / "record.py")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "-c", "user.name=A", "-c", "user.email=a@b", "commit", "--quiet", "-m", "one")
    return tmp_path


def git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True).stdout


def version(checkout: Path) -> dict[str, object]:
    spec = importlib.util.spec_from_file_location("record_there", checkout / "src" / "record.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.code_version()


def test_the_commit_and_whether_code_differs_from_it(checkout: Path) -> None:
    commit = git(checkout, "rev-parse", "HEAD").strip()
    assert version(checkout) == {"commit": commit, "dirty": False}
    (checkout / "experiments/table/results.csv").write_text("two\n")  # as the last row of a table did
    assert version(checkout) == {"commit": commit, "dirty": False}
    (checkout / "src/code.py").write_text("two\n")
    assert version(checkout) == {"commit": commit, "dirty": True}


def test_another_projects_checkout_is_not_ours(checkout: Path) -> None:
    git(checkout, "rm", "--cached", "--quiet", "src/record.py")
    git(checkout, "-c", "user.name=A", "-c", "user.email=a@b", "commit", "--quiet", "-m", "two")
    assert version(checkout) == {"commit": None, "dirty": None}
