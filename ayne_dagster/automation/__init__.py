"""What happens unasked, or by one click: jobs, schedules, the sensor for due movies, alerts."""
