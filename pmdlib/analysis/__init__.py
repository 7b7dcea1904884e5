"""What is true of a game and a policy."""
