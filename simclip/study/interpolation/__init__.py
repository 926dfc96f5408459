"""Models between the base model and the confirmed arms' models: measured, and compared with the control's."""
