"""Timing several variants in interleaved rounds, so that a noisy machine is unfair to none."""
