"""The stand-in for TMDB and OMDb: a server on this machine, and the invented movies that it serves."""
