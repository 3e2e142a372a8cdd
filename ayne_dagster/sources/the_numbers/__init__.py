"""Pages of The Numbers: addresses, robots.txt, reading, client. Off unless a person has acknowledged its terms."""
