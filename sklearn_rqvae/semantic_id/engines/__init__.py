"""Generation that stays on the IDs of a catalog, in the engines that generate."""
