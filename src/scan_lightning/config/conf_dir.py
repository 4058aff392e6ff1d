"""Where the configuration files lie: the checkout's `conf/`, or the copy inside the installed package."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def conf_dir() -> Path:
    """The folder with config.yaml and the groups.

    A checkout (or an editable install of one) has `conf/` beside `src/`, and editing it must take effect;
    a wheel carries a copy in `scan_lightning/conf`.
    """
    checkout = PACKAGE.parents[1]
    if PACKAGE.parent.name == "src" and (checkout / "conf" / "config.yaml").is_file():
        return checkout / "conf"
    return PACKAGE / "conf"


def group_options(group: str, search: list[Path] | None = None) -> list[str]:
    """The names that `group=` takes, sorted, from `search` (default: `conf_dir()` alone)."""
    folders = [conf_dir()] if search is None else search
    return sorted({file.stem for folder in folders for file in (folder / group).glob("*.yaml")})


def groups(config_name: str) -> list[str]:
    """The groups in the defaults list of a primary config (`config` or `evaluate`), in its order."""
    from omegaconf import OmegaConf

    file = conf_dir() / f"{config_name}.yaml"
    if not file.exists():  # a primary config of the user's own
        file = conf_dir() / "config.yaml"
    entries = [entry for entry in OmegaConf.load(file).defaults if not isinstance(entry, str)]
    return [str(group) for entry in entries for group in entry if (conf_dir() / str(group)).is_dir()]
