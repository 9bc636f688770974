"""What makes one variant better than another: pure values and rules, without any I/O."""
