"""Entry point of `fersweep` and of `python -m jobs`."""

import os


def main() -> None:
    """Set what Ray and MLflow read once while they are imported, then hand over to the command line.

    Token authentication is on by default in a local Ray and off by default in `ray start`; said outright, it
    is on in both, whatever the defaults of the day.
    """
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # nothing leaves the machine unasked
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")  # what it says of its tables is not for our user
    from jobs.main import main as command_line

    command_line()


if __name__ == "__main__":
    main()
