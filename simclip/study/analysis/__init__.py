"""What the trial records say: ranking, verdict, best configuration, importances."""
