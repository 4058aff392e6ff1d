"""Score a whole split, rank it, sum it up: recall, folds, ensembles, statistics."""
