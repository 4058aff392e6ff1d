"""The files the report page is made of."""
