"""Drawn faces that act emotions, as pictures and as two small data sets of real video files."""
