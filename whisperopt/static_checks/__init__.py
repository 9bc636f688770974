"""What can be told of a variant without its device: its operators, its weights, its graphs."""
