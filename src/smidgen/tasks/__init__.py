"""Named, reproducible sources of pairs."""
