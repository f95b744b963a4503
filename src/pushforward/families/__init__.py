"""A model is a game of turns; here are the game and the components that variants are made of."""
