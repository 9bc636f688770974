"""Turns audio into words with an opened session, whatever runtime is behind it."""
