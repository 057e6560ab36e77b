"""Speed beside a peer or a limit: each script prints one table."""
