"""What MLflow is told of a finished run besides its numbers."""

from mlflow import MlflowClient

from tests.finished_run import CONFIGURATIONS, FOLDS, FinishedRun, mlflow_runs


def test_descriptions_figures_and_search_are_there(finished_run: FinishedRun) -> None:
    client = MlflowClient(f"sqlite:///{finished_run.workspace}/mlflow.db")
    runs = mlflow_runs(finished_run.workspace)
    sweep = runs[finished_run.sweep_key]
    files = {file.path for file in client.list_artifacts(sweep.info.run_id)}
    assert {"report.html", "report.md", "figures.html", "figures", "experiment.yaml"} <= files
    text = sweep.data.tags["mlflow.note.content"]
    assert f"/runs/{sweep.info.run_id}/artifacts/figures.html?" in text
    assert f"/runs/{sweep.info.run_id}/artifacts/report.html?" in text
    assert sweep.info.run_name.endswith(f"UAR {100 * sweep.data.metrics['test_uar_mean']:.1f} %")
    for fold in range(FOLDS):
        run = runs[f"{finished_run.sweep_key}/fold:{fold}"]
        assert f"UAR {100 * run.data.metrics['test_uar']:.1f}"[4:] in run.data.tags["mlflow.note.content"]
        counts = [run.data.metrics[f"num_{state}"] for state in ("complete", "pruned", "failed")]
        assert sum(counts) == CONFIGURATIONS
        assert {"search.png", "learning_curves.png"} <= {f.path for f in client.list_artifacts(run.info.run_id)}
    experiment = client.get_experiment(sweep.info.experiment_id)
    assert sweep.info.run_name in experiment.tags["mlflow.note.content"]
