"""pushforward."""
