"""Whether an MLflow server takes what a sweep would write."""

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from tracking.server import api_problem

EXPERIMENT = "fersweep doctor"


def write_problem(uri: str) -> str | None:
    """None when a run can be written to the server at `uri` and removed again, otherwise what is wrong in words.

    Leaves an empty experiment named "fersweep doctor" behind.
    """
    if problem := api_problem(uri):
        return problem
    client = MlflowClient(tracking_uri=uri)
    try:
        found = client.get_experiment_by_name(EXPERIMENT)
        number = found.experiment_id if found is not None else client.create_experiment(EXPERIMENT)
        run = client.create_run(number)
        client.log_metric(run.info.run_id, "written", 1.0)
        written = client.get_run(run.info.run_id).data.metrics
        client.delete_run(run.info.run_id)
    except MlflowException as error:
        return " ".join(str(error).split())
    return None if written == {"written": 1.0} else f"a metric that was written came back as {written}"
