"""Pages: one HTML file each, which needs nothing beside it and asks the network for nothing."""
