"""What is kept and seen: MLflow runs, figures and the report. The only room that imports MLflow."""
