"""Which movie of the warehouse a row from outside is about: by ids, else by title and year; never by likeness alone."""
