"""Tests of 8-bit weights: which are rounded, how, and in which form they are stored."""
