"""`fersweep init`: a commented experiment file to start from."""

from __future__ import annotations

from pathlib import Path

from distributed.errors import UserError

_DATA = {
    "ravdess": """data:
  format: ravdess
  root: {root}            # the folder that holds Actor_01 ... Actor_24
  modality: "01"          # 01 with sound, 02 the same pictures without; never both
  channels: [speech]      # speech, song or both
""",
    "crema-d": """data:
  format: crema-d
  root: {root}            # the folder that holds VideoFlash/ (run `git lfs pull` in it first)
""",
    "csv": """data:
  format: csv
  root: {root}            # paths in the table are read from here and may not leave it
  table: {root}/videos.csv  # CSV or Parquet, one row a video
  path_column: path
  label_column: label
  actor_column: actor     # whoever must not be in two parts of a fold: a person, a session, a camera
""",
}

_REST = """  max_failures: 0.01      # share of videos that may fail before the run stops with their list

folds:
  count: 5                # disjoint in actors; RAVDESS has published ones
  validation: 0.2         # share of each fold's other actors that the search is scored on

encoder:
  name: vjepa-vith16-384  # vjepa-vitl16-224, vjepa-vith16-224, vjepa-vith16-384, or tiny (only for trying out)
  weights: vith16-384.pth.tar

clips:
  segments: 8             # clips a video
  frames_per_clip: 16
  frame_step: 4           # source frames between two frames of a clip

views:
  crops: 1                # 1 centre crop, or 3 along the long side

tokens:
  pool: space:4           # none, space:k (mean of k x k), time (mean over space), mean
  dtype: float16

search:
  families: [linear, mlp, attentive]
  configurations: 40      # in every fold
  pack: 8                 # trained together on one read of the tokens

training:
  epochs: 20

evaluate:
  selection: nested       # nested: chosen on inner actors; paper: the fixed published recipe

# workspace: runs/{name}  # everything that is written goes here; a folder or a URI
# tracking:
#   uri: http://mlflow.example:5000   # a team's server; by default a file in the workspace
"""


def write_experiment(format_name: str, root: Path, output: Path) -> Path:
    """Write an experiment file for a dataset.

    Raises:
        UserError: the format is unknown, the folder is missing, or the file is there already.
    """
    if format_name not in _DATA:
        raise UserError(f"{format_name}: no such kind of dataset; choose ravdess, crema-d or csv")
    if not root.is_dir():
        raise UserError(f"{root}: not a folder; give the folder that holds the videos")
    if output.exists():
        raise UserError(f"{output}: exists already; name another with --output, or remove it")
    text = _DATA[format_name] + _REST
    output.write_text(text.replace("{root}", str(root.absolute())).replace("{name}", output.stem))
    return output
