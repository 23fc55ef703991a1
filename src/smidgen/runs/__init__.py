"""The folder that a training leaves: model, figures, report."""
