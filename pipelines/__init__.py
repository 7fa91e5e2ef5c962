"""Raw data to registered model."""
