"""What is published about many movies at once, as tables: change feed, daily files, the signals they give."""
