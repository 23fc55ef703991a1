"""How good a model is: scores, legibility, baselines beside it, and the verdict on its training."""
