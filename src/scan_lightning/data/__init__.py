"""The store, what fills it, and what reads batches from it."""
