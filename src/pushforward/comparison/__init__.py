"""Models beside each other under equal conditions, and what the evidence allows to be said."""
