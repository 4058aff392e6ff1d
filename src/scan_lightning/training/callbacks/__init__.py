"""Callbacks that work in any Trainer."""
