"""Results on disk or in a bucket: where they lie, trial records, which changes may extend them."""
