"""The loop that plays a model's turns until the budget is spent."""
