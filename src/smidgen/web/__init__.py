"""Pages people open: the reading test and the playground."""
