"""An answer's whole way, from asking a source to the commit. Which movies are asked for is decided above."""
