"""Pairs of noisy and clean images: read, checked, brought to [0, 1] and split."""
