"""What every run stands on: devices, workers, keyed randomness, files, the cache."""
