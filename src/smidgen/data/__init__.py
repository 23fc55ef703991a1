"""From what the user typed to a data set: reading, checking, splitting, scaling, corrupting."""
