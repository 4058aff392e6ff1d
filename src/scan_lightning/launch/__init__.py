"""Starting jobs: from the words after `scan-lightning train` to checked configs, runs and sweeps."""
