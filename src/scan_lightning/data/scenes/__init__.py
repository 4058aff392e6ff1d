"""Scenes: the built-in data set of rendered pictures, captions and word-to-object links."""
