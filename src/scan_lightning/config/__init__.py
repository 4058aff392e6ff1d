"""From a command line to a checked tree of nodes, and from nodes to objects."""
