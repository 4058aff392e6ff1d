"""Stacked cross attention for image-text matching."""
