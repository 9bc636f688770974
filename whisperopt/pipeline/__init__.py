"""The way from a checkpoint to a release, and of a release through another machine."""
