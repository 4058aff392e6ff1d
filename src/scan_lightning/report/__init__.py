"""Tables, figures, attention pictures, the report page: results as people look at them."""
