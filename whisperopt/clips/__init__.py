"""The default clip set: our own sentences, spoken by a CC0 voice (see ci/make_clips.py)."""
