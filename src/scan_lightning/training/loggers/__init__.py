"""Loggers that work in any Trainer."""
