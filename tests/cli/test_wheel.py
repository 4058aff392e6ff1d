"""The built wheel, installed away from the checkout, finds its configuration."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_command_works_from_a_wheel_in_another_folder(tmp_path: Path) -> None:
    source = tmp_path / "source"  # building in the checkout would leave files there
    shutil.copytree(
        ROOT, source, ignore=shutil.ignore_patterns(".git", ".venv", "outputs", "*.h5", "experiments")
    )
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path / "dist", source],
        check=True,
    )
    (wheel,) = (tmp_path / "dist").glob("*.whl")

    # The dependencies come from this environment through a .pth file, the package from the wheel: its folder
    # comes first, so that the editable install among the dependencies has no effect.
    home = tmp_path / "environment"
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    site = Path(sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)}))
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    subprocess.run([*pip, "--python", python, "install", "--no-deps", "--no-index", wheel], check=True)

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [str(home / "bin" / "scan-lightning"), *words]
        return subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True)

    where = subprocess.run(
        [python, "-c", "from scan_lightning.config.conf_dir import conf_dir; print(conf_dir())"],
        cwd=elsewhere,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(where.stdout.strip()) == site / "scan_lightning" / "conf"
    for words in (["--help"], ["train", "--help"], ["evaluate", "--help"], ["train", "--cfg", "job"]):
        done = run(*words)
        assert done.returncode == 0, done.stderr
    assert "flickr8k_t2i_mean" in run("train", "--help").stdout
    assert (
        run("train", "--help").stdout
        == subprocess.run(
            [sys.executable, "-m", "scan_lightning", "train", "--help"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )
    missing = run("train")
    assert missing.returncode == 2
    assert "data.path: missing" in missing.stderr
