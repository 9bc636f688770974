"""Weights in 8 bits: which of them, how they are rounded, and the forms they are stored in."""
