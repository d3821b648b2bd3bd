"""The experiment file to start from is one that runs as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from distributed.errors import UserError
from distributed.views import ViewsConfig
from jobs.experiment import load_experiment
from jobs.init import write_experiment


@pytest.mark.parametrize("dataset", ["ravdess", "crema-d", "csv"])
def test_what_is_written_is_a_valid_experiment_over_the_folder(tmp_path: Path, dataset: str) -> None:
    videos = tmp_path / "my videos"
    videos.mkdir()
    path = write_experiment(dataset, videos, tmp_path / "first.yaml")
    experiment = load_experiment(path)
    assert (experiment.data.format, experiment.data.root, experiment.name) == (dataset, str(videos), "first")
    assert experiment.encoder.weights == str(tmp_path / "vith16-384.pth.tar")
    assert experiment.workspace == str(tmp_path / "runs" / "first")
    if dataset == "csv":
        assert experiment.data.table == str(videos / "videos.csv")


def test_its_settings_are_the_defaults_where_it_does_not_say_why(tmp_path: Path) -> None:
    """A value in the file that silently differs from the documented default would mislead."""
    path = write_experiment("ravdess", tmp_path, tmp_path / "first.yaml")
    written = load_experiment(path)
    bare = tmp_path / "bare.yaml"
    bare.write_text(f"data: {{format: ravdess, root: {tmp_path}}}\n")
    default = load_experiment(bare)
    for section in ("folds", "clips", "views", "search", "training", "evaluate", "data"):
        assert getattr(written, section) == getattr(default, section), section


@pytest.mark.parametrize("dataset", ["ravdess", "crema-d"])
def test_the_published_recipe_is_one_file_per_data_set(tmp_path: Path, dataset: str) -> None:
    """16 frames x 8 segments x 3 views of 384 pixels, all tokens, 20 epochs of one fixed probe on augmented clips."""
    path = write_experiment(dataset, tmp_path, tmp_path / "published.yaml", "paper")
    written = load_experiment(path)
    assert (written.encoder.name, written.tokens.pool, written.views.crops) == ("vjepa-vith16-384", "none", 3)
    assert (written.clips.segments, written.clips.frames_per_clip, written.clips.frame_step) == (8, 16, 4)
    assert (written.evaluate.selection, written.training.epochs) == ("paper", 20)
    assert "search:" not in path.read_text()  # nothing is searched, so nothing of it is set
    assert written.views == ViewsConfig(crops=3, train=4) and written.training.views == "augmented"
    grid = 8 * 8 * 24 * 24 * 1280 * 2 * (3 + 4)
    assert f"{grid / 1e6:.0f} MB a video" in path.read_text()
    assert f"{1440 * grid / 1e9:.0f} GB" in path.read_text() and f"{7442 * grid / 1e12:.1f} TB" in path.read_text()


def test_what_would_be_wrong_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="kinetics: no such kind of dataset; choose ravdess, crema-d or csv"):
        write_experiment("kinetics", tmp_path, tmp_path / "a.yaml")
    with pytest.raises(UserError, match=f"{tmp_path}/none: not a folder"):
        write_experiment("ravdess", tmp_path / "none", tmp_path / "a.yaml")
    with pytest.raises(UserError, match="--recipe best: no such recipe; choose nested or paper"):
        write_experiment("ravdess", tmp_path, tmp_path / "a.yaml", "best")
    assert not (tmp_path / "a.yaml").exists()
    mine = tmp_path / "mine.yaml"
    mine.write_text("mine")
    with pytest.raises(UserError, match=r"mine.yaml: exists already; name another with --output"):
        write_experiment("ravdess", tmp_path, mine)
    assert mine.read_text() == "mine"
