"""From pairs and a spec to the best weights; everything here needs torch."""
