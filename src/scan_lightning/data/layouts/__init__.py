"""Foreign layouts of region features and captions, each read as a stream of records."""
