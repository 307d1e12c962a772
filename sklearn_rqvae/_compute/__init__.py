"""How this machine multiplies: products alike for any number of rows, threads, devices."""
