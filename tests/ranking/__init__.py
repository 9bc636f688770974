"""Objectives, merits, noise and fronts."""
