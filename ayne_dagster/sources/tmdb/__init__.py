"""TMDB: client, the shape of its answers, and the rows that they become."""
