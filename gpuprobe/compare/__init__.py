"""Two studies or recordings side by side: which strategy became faster or slower beyond the noise, and what differs."""
