"""The story that `ayne demo` tells, and the strategies in contest on it. The server it runs on is in `standin`."""
