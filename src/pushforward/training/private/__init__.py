"""Training with differential privacy: every number that is taken from rows is accounted for."""
