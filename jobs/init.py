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
  duplicates: error       # the same video of two actors: error, warn or ignore

folds:
  count: 5                # disjoint in actors; RAVDESS has published ones
  validation: 0.2         # share of each fold's other actors that the search is scored on

encoder:
  name: vjepa-vith16-384  # vjepa-vitl16-224, vjepa-vith16-224, huggingface:FOLDER, or tiny (only for trying out)
  weights: vith16-384.pth.tar

clips:
  segments: 8             # clips a video
  frames_per_clip: 16
  frame_step: 4           # source frames between two frames of a clip

views:
  crops: 1                # 1 centre crop, or 3 along the long side
  train: 0                # augmented passes to train on; each costs as much as a view (docs/views.md)

tokens:
  pool: space:4           # none, space:k (mean of k x k), time (mean over space), mean
  dtype: float16

search:
  families: [linear, mlp, attentive]
  configurations: 40      # in every fold
  pack: 8                 # trained together on one read of the tokens

training:
  epochs: 20
  views: all              # an epoch reads one pass of a video: all, augmented (never the clean one), clean

evaluate:
  selection: nested       # nested: chosen on inner actors; paper: the fixed published recipe
  repeats: 1              # trainings of each winner with other seeds; its score is their mean
  ensemble: 0             # also average the best N configurations, as a result of its own
  calibrate: true         # fit a temperature for the probabilities on the inner actors

# workspace: runs/{name}  # everything that is written goes here; a folder or a URI
# tracking:
#   uri: http://mlflow.example:5000   # a team's server; by default a file in the workspace
"""


# As many passes as epochs would be the published training to the letter.
_PAPER_PASSES = """train: 4                # augmented passes to train on. Published: a new one in each of 20 epochs, as
                          # `train: 20` gives for 184 encoded clips and 2.2 GB a video; with 4 each
                          # is seen in 5 epochs, for 56 clips and 0.66 GB (24 clips and 0.28 GB without any)"""

# Where the file of the published recipe differs from the other: (its text, what stands there instead).
_PAPER = (
    (
        "crops: 1                # 1 centre crop, or 3 along the long side",
        "crops: 3                # scored on all three",
    ),
    (
        "train: 0                # augmented passes to train on; each costs as much as a view (docs/views.md)",
        _PAPER_PASSES,
    ),
    (
        "views: all              # an epoch reads one pass of a video: all, augmented (never the clean one), clean",
        "views: augmented        # as published: the clean views are for scoring alone",
    ),
    (
        "search:\n  families",
        "embedding:\n  videos_per_task: 1      # seven views of every token are 0.7 GB a video\n\nsearch:\n  families",
    ),
    ("pool: space:4           # none, space:k (mean of k x k), time (mean over space), mean", "pool: none"),
    (
        """search:
  families: [linear, mlp, attentive]
  configurations: 40      # in every fold
  pack: 8                 # trained together on one read of the tokens

""",
        "",
    ),
    ("epochs: 20", "epochs: 20              # AdamW, lr 1e-3 to 0 and weight decay 0.01 to 1e-6 by cosine, batch 4"),
    (
        "nested       # nested: chosen on inner actors; paper: the fixed published recipe",
        "paper        # one attentive probe, nothing searched, scored at the last epoch",
    ),
)
_PAPER_TITLE = """# The published recipe (Eing et al., 2026, arXiv 2601.09524): V-JEPA ViT-H/16 at 384 pixels, 8
# segments of 16 frames, 3 views, every token kept. With 4 augmented passes these are 661 MB a video, so 951 GB for
# RAVDESS's speech and 4.9 TB for CREMA-D; with `pool: space:4` it is a sixteenth. One thing differs: the published
# training clips were augmented anew in every epoch, which takes the encoder again each time; here an epoch takes one
# of the augmented passes that are stored.
"""
RECIPES = ("nested", "paper")


def write_experiment(format_name: str, root: Path, output: Path, recipe: str = "nested") -> Path:
    """Write an experiment file for a dataset: one that searches, or that of the published recipe.

    Raises:
        UserError: the format or recipe is unknown, the folder is missing, or the file is there already.
    """
    if recipe not in RECIPES:
        raise UserError(f"--recipe {recipe}: no such recipe; choose {' or '.join(RECIPES)}")
    if format_name not in _DATA:
        raise UserError(f"{format_name}: no such kind of dataset; choose ravdess, crema-d or csv")
    if not root.is_dir():
        raise UserError(f"{root}: not a folder; give the folder that holds the videos")
    if output.exists():
        raise UserError(f"{output}: exists already; name another with --output, or remove it")
    text = _DATA[format_name] + _REST if recipe == "nested" else _PAPER_TITLE + _DATA[format_name] + _paper_rest()
    output.write_text(text.replace("{root}", str(root.absolute())).replace("{name}", output.stem))
    return output


def _paper_rest() -> str:
    text = _REST
    for searched, fixed in _PAPER:
        assert searched in text, f"the two recipes have grown apart: {searched}"
        text = text.replace(searched, fixed)
    return text
