"""The experiment file: what it fills in, where its paths are read from, and what it says of every mistake."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from distributed.errors import UserError
from jobs.experiment import Experiment, load_experiment

SMALL = "data:\n  format: ravdess\n  root: videos\n"


def written(folder: Path, text: str = SMALL) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def complaint(path: Path, *overrides: str) -> str:
    with pytest.raises(UserError) as error:
        load_experiment(path, overrides)
    return str(error.value)


def test_a_file_of_two_lines_is_a_whole_experiment(tmp_path: Path) -> None:
    experiment = load_experiment(written(tmp_path))
    assert experiment.name == "mine"
    assert experiment.workspace == str(tmp_path / "runs" / "mine")
    assert experiment.data.root == str(tmp_path / "videos")
    assert experiment.evaluate.selection == "nested"
    assert experiment.clips.segments == 8 and experiment.encoder.name == "tiny"


def test_overrides_reach_every_depth_and_keep_the_types_of_yaml(tmp_path: Path) -> None:
    experiment = load_experiment(
        written(tmp_path),
        [
            "seed=7",
            "search.pack=4",
            "search.families=[linear, mlp]",
            "search.optimisation.lr=[1e-5, 1e-2]",  # YAML 1.1 reads 1e-5 as text
            "sweep.cpus_per_trial=null",
            "data.modality=02",  # and 02 as an octal number
            "name=other",
        ],
    )
    assert (experiment.seed, experiment.search.pack, experiment.name) == (7, 4, "other")
    assert experiment.search.families == ("linear", "mlp")
    assert experiment.search.optimisation.lr == (1e-5, 1e-2)
    assert experiment.sweep.cpus_per_trial is None and experiment.data.modality == "02"
    assert experiment.workspace.endswith("runs/other")


def test_augmentation_is_set_in_depth_and_its_mistakes_are_named(tmp_path: Path) -> None:
    path = written(tmp_path)
    found = load_experiment(path, ["views.train=4", "views.augmentation={erasing: 0, crop_area: [0.5, 1]}"]).views
    assert (found.train, found.augmentation.erasing, found.augmentation.crop_area) == (4, 0, (0.5, 1))
    assert found.augmentation.randaugment_magnitude == 7
    assert "did you mean randaugment_ops?" in complaint(path, "views.augmentation.randaugment_op=2")
    assert "views.augmentation" in complaint(path, "views.augmentation.erasing=2")
    assert "set views.train to a number of passes" in complaint(path, "training.views=augmented")
    assert load_experiment(path, ["training.views=augmented", "views.train=1"]).training.views == "augmented"
    assert "training.views" in complaint(path, "training.views=some")


def test_a_table_of_faces_is_read_from_the_file_s_folder(tmp_path: Path) -> None:
    path = written(tmp_path, SMALL + "views: {face: {table: faces.csv, margin: 1.5}}\n")
    face = load_experiment(path).views.face
    assert face is not None and (face.table, face.margin) == (str(tmp_path / "faces.csv"), 1.5)
    assert "did you mean margin?" in complaint(path, "views.face.margn=2")
    assert "views.face.table: missing" in complaint(written(tmp_path, SMALL + "views: {face: {margin: 2}}\n"))


def test_paths_are_read_from_where_they_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the file from its folder, those of the command line from the working directory; URIs stay."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    text = SMALL + "workspace: ../runs\ntokens:\n  store: s3://bucket/tokens\nencoder:\n  weights: ~/w.safetensors\n"
    experiment = load_experiment(written(tmp_path, text), ["data.root=here"])
    assert experiment.workspace == str(tmp_path.parent / "runs")
    assert experiment.data.root == str(elsewhere / "here")
    assert experiment.tokens.store == "s3://bucket/tokens"
    assert experiment.encoder.weights == str(Path("~/w.safetensors").expanduser())


def test_an_encoder_can_be_its_name_alone_and_a_model_folder_is_found_from_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models" / "clip").mkdir(parents=True)
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "dino").mkdir(parents=True)
    monkeypatch.chdir(elsewhere)

    def name(value: str, *overrides: str) -> str:
        return load_experiment(written(tmp_path, f"{SMALL}encoder: {value}\n"), overrides).encoder.name

    assert name("tiny") == "tiny"
    assert name("huggingface:models/clip") == f"huggingface:{tmp_path}/models/clip"
    assert name("huggingface:./not-yet") == f"huggingface:{tmp_path}/not-yet"
    assert name("huggingface:facebook/dinov2-base") == "huggingface:facebook/dinov2-base"
    assert name("huggingface:dino") == "huggingface:dino"  # there is one in the working directory, not beside the file
    assert name("tiny", "encoder=huggingface:dino") == f"huggingface:{elsewhere}/dino"
    assert name("{name: tiny}", "encoder.name=huggingface:dino") == f"huggingface:{elsewhere}/dino"


def test_written_out_it_loads_as_the_same_experiment(tmp_path: Path) -> None:
    first = load_experiment(written(tmp_path), ["search.configurations=3", "views.crops=3"])
    text = first.to_yaml()
    assert load_experiment(written(tmp_path, text)) == first
    assert set(yaml.safe_load(text)) == set(Experiment.model_fields), "a default was not written out"


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("trainin.epochs=3", ["trainin: unknown key; did you mean training?"]),
        ("training.epoch=3", ["training.epoch: unknown key; did you mean epochs?"]),
        ("search.attentive.querys=[1]", ["search.attentive.querys: unknown key; did you mean queries?"]),
        ("views.zzz=1", ["views.zzz: unknown key; known here: crops"]),
        ("search.linear.zzz=1", ["search.linear.zzz: unknown key; known here: dropout\n"]),
        ("training.epochs=many", ["training.epochs", "valid integer", "'many'"]),
        ("training.epochs=0", ["training.epochs = 0 must be at least 1"]),
        ("seed=-1", ["seed", "greater than or equal to 0", "-1"]),
        ("data.format=kinetics", ["data.format", "'ravdess', 'crema-d' or 'csv'", "'kinetics'"]),
        ("data.modality=03", ["data.modality", "'01' or '02'", "'03'"]),
        ("data.format=csv", ["data: table is missing"]),
        ("data.table=videos.csv", ["table is not used with format ravdess; remove it"]),
        ("data.max_failures=2", ["data.max_failures", "less than or equal to 1", "2"]),
        ("data=3", ["data: Input should be a valid dictionary", "3"]),
        ("encoder.name=vith", ["'vith' is not known", "vjepa-vith16-384"]),
        ("encoder.name=vjepa-vith16-384", ["has no `weights`"]),
        ("search.families=[]", ["search.families is []; name at least one family"]),
        ("search.families=[linear,forest]", ["search.families names forest", "['attentive', 'deep', 'linear'"]),
        ("tokens.pool=space:x", ["tokens.pool is 'space:x'; it must be none, space:k"]),
        ("views.crops=2", ["crops is 2. Set it to 1"]),
        ("name=a/b", ["name", "'a/b'"]),
        ("workspace=3", ["workspace: Input should be a valid string", "3"]),
        ("cluster={address: auto, num_cpus: 2}", ["num_cpus", "not used with an address"]),
        ("tracking.uri=http://me:S3CRET@host:5000", ["tracking.uri", "MLFLOW_TRACKING_PASSWORD", "//me:...@host"]),
        ("name=!!python/object/apply:os.getcwd []", ["the value is not YAML"]),
        ("pack", ["pack: an override is written section.key=value"]),
        ("name.first=3", ["name.first=3: name is a value, not a section"]),
        ("folds.count=[1", ["folds.count=[1: the value is not YAML"]),
        ("folds={count: 2, count: 3}", ["the key count is there twice"]),
    ],
)
def test_every_mistake_names_key_value_and_fix(tmp_path: Path, override: str, parts: list[str]) -> None:
    text = complaint(written(tmp_path, SMALL + "name: mine\n"), override)
    for part in parts:
        assert part in text + "\n", text


@pytest.mark.parametrize("key", ["workspace", "data.root", "data.table", "encoder.weights", "tokens.store"])
def test_a_password_in_an_address_is_refused_and_not_shown(tmp_path: Path, key: str) -> None:
    text = complaint(written(tmp_path), f"{key}=s3://AKIA12:S3CRET@bucket/folder")
    assert f"{key}: a password in an address" in text and "AWS_SECRET_ACCESS_KEY" in text and "S3CRET" not in text


def test_several_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = complaint(written(tmp_path, "data:\n  format: ravdess\nsearch:\n  packs: 3\n"))
    assert text.startswith(f"{tmp_path}/mine.yaml:\n")
    assert "  data.root: missing; add it" in text and "  search.packs: unknown key; did you mean pack?" in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no keys; write one with `fersweep init"),
        (b"- a\n- b\n", "holds no keys"),
        (b"data: [1\nb: {", "not a YAML file"),
        (b"\xff\xfe\x00", "not a YAML file"),
        (b"data: \x00", "not a YAML file"),
        (b"data: {format: csv}\nseed: 1\nseed: 2\n", "the key seed is there twice"),
        (b"data: !!python/object/apply:os.getcwd []\n", "not a YAML file"),
    ],
)
def test_a_file_that_is_no_experiment(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "odd.yaml"
    path.write_bytes(content)
    text = complaint(path)
    assert text.startswith(str(path)) and message in text


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    text = complaint(tmp_path / "none.yaml")
    assert f"{tmp_path}/none.yaml: the experiment file cannot be read (No such file" in text
    assert "fersweep init" in text
    assert "Is a directory" in complaint(tmp_path)
