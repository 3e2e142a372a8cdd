"""Wikidata: client, the question that it asks, what answers mean, and the figures that they become."""
