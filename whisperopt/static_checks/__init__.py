"""What can be told of a variant without its device: its graphs, its weights, its wiring."""
