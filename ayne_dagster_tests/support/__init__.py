"""What tests share: processes, servers, samples, builders of old databases. No test of its own."""
