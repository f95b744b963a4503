"""Tables: columns of numbers, categories, dates and truth values, to cells and back."""
