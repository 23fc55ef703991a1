"""Pickles and what holds them, read without running anything in them."""
