"""What a training run is: its fields, the schedule of p, and one-line messages for wrong fields."""
