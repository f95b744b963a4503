"""Models trained and measured under equal conditions, and the recommendation that follows."""
